//! What a client declares about an upload: size, type, digests (RFC 9530).

use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::server::errors::Failure;
use crate::transfer::Declared;

const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
const X_BLAKE3: HeaderName = HeaderName::from_static("x-blake3");

/// Headers that must come before the body: what they say is needed or verified then.
pub const NOT_IN_TRAILERS: [HeaderName; 3] = [REPR_DIGEST, CONTENT_DIGEST, X_BLAKE3];

const DEFAULT_TYPE: &str = "application/octet-stream";
/// Longest type that is kept: real ones are below 100 bytes.
const TYPE_MAX: usize = 255;

/// The size in `Content-Length`; `None` when the client does not know it.
pub fn size(headers: &HeaderMap) -> Result<Option<u64>, Failure> {
    let Some(value) = headers.get(CONTENT_LENGTH) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    let bad = || Failure::invalid("malformed-length", "Content-Length is not a number of bytes");
    number.map(Some).ok_or_else(bad)
}

pub fn content_type(headers: &HeaderMap) -> Result<String, Failure> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(DEFAULT_TYPE.to_owned()) };
    type_or_default(Some(value.to_str().unwrap_or_default()))
}

/// The type that a client gave in text.
pub fn type_or_default(text: Option<&str>) -> Result<String, Failure> {
    let Some(text) = text.map(str::trim) else { return Ok(DEFAULT_TYPE.to_owned()) };
    let is_plain = text.bytes().all(|b| (b' '..=b'~').contains(&b) || b == b'\t');
    if text.is_empty() || text.len() > TYPE_MAX || !is_plain {
        let detail = format!("Content-Type is not 1 to {TYPE_MAX} bytes of plain ASCII");
        return Err(Failure::invalid("malformed-content-type", detail));
    }
    Ok(text.to_owned())
}

/// A PUT replaces the whole file with the bytes as they are: what asks for anything else is refused
/// rather than stored wrongly.
pub fn refuse_partial(headers: &HeaderMap) -> Result<(), Failure> {
    if headers.contains_key(CONTENT_RANGE) {
        let detail = "Content-Range: a part of a file cannot be uploaded, send the whole";
        return Err(Failure::invalid("partial-upload", detail));
    }
    let encodings = headers.get_all(CONTENT_ENCODING).iter();
    for encoding in encodings {
        if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") {
            let detail = "Content-Encoding: files are kept as they are sent, send them without it";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Failure::new(status, "content-encoding", detail));
        }
    }
    Ok(())
}

/// The digests in `X-Blake3`, `Repr-Digest` and `Content-Digest`. Without a content coding the last
/// two mean the same bytes.
pub fn digests(headers: &HeaderMap) -> Result<Declared, Failure> {
    let mut declared = Declared::default();
    if let Some(value) = headers.get(X_BLAKE3) {
        let text = value.to_str().unwrap_or_default().trim();
        declared.blake3 = Some(text.parse()?);
    }
    for name in [REPR_DIGEST, CONTENT_DIGEST] {
        for value in headers.get_all(&name) {
            let bad = || {
                let detail =
                    format!("{name} is not `sha-256=:BASE64:` with the 32 bytes of a SHA-256");
                Failure::invalid("malformed-digest", detail)
            };
            let found = sha256(value.to_str().map_err(|_| bad())?).ok_or_else(bad)?;
            match (declared.sha256, found) {
                (Some(first), Some(second)) if first != second => {
                    let detail = "two different SHA-256 digests are declared for one body";
                    return Err(Failure::invalid("malformed-digest", detail));
                }
                (_, Some(found)) => declared.sha256 = Some(found),
                (_, None) => {}
            }
        }
    }
    Ok(declared)
}

/// The SHA-256 in a dictionary of digests (RFC 9530 section 2): the inner `None` when it has only
/// others, the outer when it is malformed.
#[expect(clippy::option_option, reason = "malformed, without a SHA-256, with one")]
fn sha256(text: &str) -> Option<Option<[u8; 32]>> {
    let mut found = None;
    for member in text.split(',') {
        let (key, value) = member.trim().split_once('=')?;
        let is_key = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.*".contains(&b);
        if key.is_empty() || !key.bytes().all(is_key) {
            return None;
        }
        // Parameters after the value mean nothing to us.
        let coded = value.strip_prefix(':')?.split_once(':')?.0;
        let bytes = BASE64.decode(coded).ok()?;
        if key == "sha-256" {
            found = Some(bytes.try_into().ok()?);
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sha_256_is_found_among_digests() {
        let good = BASE64.encode([5; 32]);
        let short = BASE64.encode([5; 31]);
        let cases = [
            (format!("sha-256=:{good}:"), Some(Some([5; 32]))),
            (format!("sha-512=:AAAA:, sha-256=:{good}:;x=1"), Some(Some([5; 32]))),
            ("sha-512=:AAAA:".to_owned(), Some(None)),
            (format!("sha-256=:{short}:"), None),
            (format!("sha-256={good}"), None),
            ("sha-256=:%%:".to_owned(), None),
            (format!("SHA-256=:{good}:"), None),
            (String::new(), None),
        ];
        for (text, digest) in cases {
            assert_eq!(sha256(&text), digest, "{text}");
        }
    }

    #[test]
    fn digests_that_contradict_each_other_are_refused() {
        let mut headers = HeaderMap::new();
        let value = |byte| format!("sha-256=:{}:", BASE64.encode([byte; 32]));
        headers.insert(REPR_DIGEST, value(1).parse().expect("a value"));
        headers.insert(CONTENT_DIGEST, value(1).parse().expect("a value"));
        assert_eq!(digests(&headers).expect("the same").sha256, Some([1; 32]));
        headers.insert(CONTENT_DIGEST, value(2).parse().expect("a value"));
        assert!(digests(&headers).is_err());
        headers.clear();
        headers.insert(X_BLAKE3, "abc".parse().expect("a value"));
        assert!(digests(&headers).is_err());
    }
}
