//! Paths of entries within a scope (SPEC 4).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A path that cannot name an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("the path is empty: give a name after the scope")]
    Empty,
    #[error("the path has {0} bytes: at most 1024 are allowed")]
    TooLong(usize),
    #[error("the path is not UTF-8 after percent-decoding")]
    NotUtf8,
    #[error("the path has a % that no two hexadecimal digits follow: write it as %25")]
    BadEscape,
    #[error("the path contains a control character")]
    ControlCharacter,
    #[error("the path has an empty, '.' or '..' segment, or a slash at its start or end")]
    BadSegment,
}

/// The path of an entry: UTF-8, 1 to 1024 bytes, `/`-separated, no empty, `.` or `..` segment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FilePath(String);

impl FilePath {
    pub const MAX_BYTES: usize = 1024;

    /// Checks an already decoded path.
    pub fn new(path: impl Into<String>) -> Result<Self, PathError> {
        let path = path.into();
        if path.is_empty() {
            return Err(PathError::Empty);
        }
        if path.len() > Self::MAX_BYTES {
            return Err(PathError::TooLong(path.len()));
        }
        if path.chars().any(char::is_control) {
            return Err(PathError::ControlCharacter);
        }
        if path.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return Err(PathError::BadSegment);
        }
        Ok(Self(path))
    }

    /// Decodes the path part of a URL: percent escapes once, `+` literal (SPEC 4).
    pub fn from_url(raw: &str) -> Result<Self, PathError> {
        let mut escapes = raw.split('%').skip(1).map(str::as_bytes);
        let is_whole = |escape: &[u8]| {
            escape.get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
        };
        if !escapes.all(is_whole) {
            return Err(PathError::BadEscape);
        }
        let decoded = percent_encoding::percent_decode_str(raw)
            .decode_utf8()
            .map_err(|_| PathError::NotUtf8)?;
        Self::new(decoded.into_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment: the name under which a browser would save the file.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl FromStr for FilePath {
    type Err = PathError;
    fn from_str(s: &str) -> Result<Self, PathError> {
        Self::new(s)
    }
}

impl TryFrom<String> for FilePath {
    type Error = PathError;
    fn try_from(s: String) -> Result<Self, PathError> {
        Self::new(s)
    }
}

impl From<FilePath> for String {
    fn from(path: FilePath) -> String {
        path.0
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_path_is_decoded_once_and_checked() {
        assert_eq!(FilePath::from_url("a%2Fb+c%2520").map(String::from), Ok("a/b+c%20".into()));
        assert_eq!(FilePath::from_url("a%FF"), Err(PathError::NotUtf8));
        assert_eq!(FilePath::from_url("a/%2e%2e/b"), Err(PathError::BadSegment));
        for bad in ["/a", "a/", "a//b", ".", ".."] {
            assert_eq!(FilePath::new(bad), Err(PathError::BadSegment), "{bad}");
        }
        assert_eq!(FilePath::new(""), Err(PathError::Empty));
        assert_eq!(FilePath::new("a\nb"), Err(PathError::ControlCharacter));
        assert!(FilePath::new("a".repeat(1024)).is_ok());
        assert_eq!(FilePath::new("a".repeat(1025)), Err(PathError::TooLong(1025)));
    }
}
