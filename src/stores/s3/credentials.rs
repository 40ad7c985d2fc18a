//! Where the access key comes from. No error here repeats what was read.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::domain::{Credentials, CredentialsFault, StoreProblem};
use crate::stores::StoreError;

/// An access key. Has no `Debug`, so that it cannot be printed by accident.
pub(super) struct AccessKey {
    pub id: String,
    pub secret: String,
    pub token: Option<String>,
}

/// Fetches the key that `credentials` refers to.
pub(super) fn resolve(credentials: &Credentials) -> Result<AccessKey, StoreError> {
    match credentials {
        Credentials::Env => from_env(),
        Credentials::File(path) => from_file(path),
        Credentials::Systemd(name) => from_systemd(name, std::env::var_os("CREDENTIALS_DIRECTORY")),
        Credentials::Stored { access_key_id, secret_access_key } => Ok(AccessKey {
            id: access_key_id.clone(),
            secret: secret_access_key.clone(),
            token: None,
        }),
    }
}

fn from_env() -> Result<AccessKey, StoreError> {
    let read = |name: &str| {
        let set = std::env::var(name).ok().filter(|v| !v.is_empty());
        set.ok_or_else(|| missing(name.to_owned(), CredentialsFault::NotInEnvironment))
    };
    Ok(AccessKey {
        id: read("AWS_ACCESS_KEY_ID")?,
        secret: read("AWS_SECRET_ACCESS_KEY")?,
        token: read("AWS_SESSION_TOKEN").ok(),
    })
}

fn from_file(path: &Path) -> Result<AccessKey, StoreError> {
    let fail = |fault| missing(format!("the credentials file {}", path.display()), fault);
    let unreadable = |e: io::Error| fail(CredentialsFault::Unreadable(e.to_string()));
    let mode = fs::metadata(path).map_err(unreadable)?.permissions().mode();
    if mode & 0o077 != 0 && !is_systemd_credential(path) {
        let (path, mode) = (path.display().to_string(), mode & 0o777);
        return Err(fail(CredentialsFault::OpenToOthers { path, mode }));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    parse(&text).map_err(|line| fail(CredentialsFault::LacksLine(line.to_owned())))
}

/// Reads a credential of the service (`LoadCredential=` of its unit).
fn from_systemd(name: &str, directory: Option<OsString>) -> Result<AccessKey, StoreError> {
    let fail = |fault| missing(format!("the systemd credential {name}"), fault);
    let Some(directory) = directory.map(PathBuf::from) else {
        return Err(fail(CredentialsFault::NoService));
    };
    let text = match fs::read_to_string(directory.join(name)) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Err(fail(CredentialsFault::NotGiven { others: listed(&directory) }));
        }
        Err(e) => return Err(fail(CredentialsFault::Unreadable(e.to_string()))),
    };
    parse(&text).map_err(|line| fail(CredentialsFault::LacksLine(line.to_owned())))
}

fn missing(place: String, fault: CredentialsFault) -> StoreError {
    StoreError::unavailable(StoreProblem::NoCredentials { place, fault })
}

/// The names of all credentials there.
fn listed(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// systemd guards its credentials by an ACL that shows as group bits.
fn is_systemd_credential(path: &Path) -> bool {
    std::env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|dir| path.starts_with(dir))
}

/// Reads `key = value` lines, with or without AWS section headers; of several sections the one
/// called `default`, else the first. The error names the missing key.
fn parse(text: &str) -> Result<AccessKey, &'static str> {
    let mut sections = vec![(String::new(), Vec::new())];
    for line in text.lines().map(str::trim) {
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            sections.push((name.trim().to_owned(), Vec::new()));
        } else if let (Some((key, value)), Some(section)) =
            (line.split_once('='), sections.last_mut())
        {
            section.1.push((key.trim().to_ascii_lowercase(), unquote(value)));
        }
    }
    let used = sections
        .iter()
        .find(|s| s.0 == "default")
        .or_else(|| sections.iter().find(|s| !s.1.is_empty()));
    let value = |key: &'static str| {
        let lines = used.map(|s| s.1.as_slice()).unwrap_or_default();
        let found = lines.iter().find(|(k, _)| k.strip_prefix("aws_").unwrap_or(k) == key);
        found.map(|(_, v)| v.clone()).filter(|v| !v.is_empty()).ok_or(key)
    };
    Ok(AccessKey {
        id: value("access_key_id")?,
        secret: value("secret_access_key")?,
        token: value("session_token").ok(),
    })
}

fn unquote(value: &str) -> String {
    value.trim().trim_matches(['"', '\'']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_and_aws_profiles_are_read() {
        let plain = "access_key_id = A\nsecret_access_key= \"S=/+\"\n";
        let profile = "[other]\naws_access_key_id=X\n# note\n[default]\naws_access_key_id = A\n\
                       aws_secret_access_key = S=/+\naws_session_token=T\n";
        for (text, token) in [(plain, None), (profile, Some("T"))] {
            let Ok(key) = parse(text) else { panic!("two keys are there") };
            assert_eq!((key.id.as_str(), key.secret.as_str()), ("A", "S=/+"));
            assert_eq!(key.token.as_deref(), token);
        }
        assert_eq!(parse("access_key_id = A").err(), Some("secret_access_key"));
    }

    #[test]
    fn a_systemd_credential_is_read_from_the_directory_of_the_service() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let key = "access_key_id=A\nsecret_access_key=geheim\n";
        fs::write(dir.path().join("s3_aws"), key).expect("written");
        let here = || Some(dir.path().as_os_str().to_owned());
        assert!(from_systemd("s3_aws", here()).is_ok());
        let error = from_systemd("aws", here()).err().expect("not there").to_string();
        assert!(error.contains("with s3_aws only") && !error.contains("geheim"), "{error}");
        let error = from_systemd("s3_aws", None).err().expect("no service").to_string();
        assert!(error.contains("no credentials"), "{error}");
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("key");
        fs::write(&path, "access_key_id=A\nsecret_access_key=geheim\n").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
        let error = from_file(&path).err().expect("refused").to_string();
        assert!(error.contains("mode 644") && !error.contains("geheim"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
        assert!(from_file(&path).is_ok());
    }
}
