//! S3 configuration as it is given, checked and shown (SPEC 2). Secrets go in and never come out.

use std::path::PathBuf;

use super::OpError;
use crate::api::{S3Settings, S3View};
use crate::domain::{Checksum, Credentials, S3Config};
use crate::words::Phrase;

const DEFAULT_REGION: &str = "us-east-1";
/// Seconds.
const DEFAULT_TTL: u32 = 60;
const TTL: std::ops::RangeInclusive<u32> = 10..=3600;
/// Leaves room for our names in the 1024 bytes of a key.
const LONGEST_PREFIX: usize = 512;

/// The configuration without its secret.
pub(super) fn view(s3: &S3Config) -> S3View {
    S3View {
        bucket: s3.bucket.clone(),
        prefix: s3.prefix.clone(),
        region: s3.region.clone(),
        endpoint: s3.endpoint.clone(),
        public_endpoint: s3.public_endpoint.clone(),
        path_style: s3.path_style,
        storage_class: s3.storage_class.clone(),
        serve: s3.serve,
        presign_ttl: s3.presign_ttl,
        checksum: s3.checksum,
        credentials: match &s3.credentials {
            Credentials::Env => "env".to_owned(),
            Credentials::File(path) => format!("file:{}", path.display()),
            Credentials::Systemd(name) => format!("systemd:{name}"),
            Credentials::Stored { access_key_id, .. } => format!("key:{access_key_id}"),
        },
    }
}

/// The configuration of a new store.
pub(super) fn create(
    bucket: Option<&str>,
    prefix: Option<&str>,
    settings: &S3Settings,
) -> Result<S3Config, OpError> {
    let bucket = bucket.ok_or_else(|| invalid("bucket", "an s3 store needs a bucket"))?;
    let Some(credentials) = credentials(settings)? else {
        return Err(invalid(
            "access_key_id",
            "an s3 store needs credentials: an access key id with its secret access key, or in their place env, \
             file:PATH or systemd:NAME",
        ));
    };
    let blank = S3Config {
        bucket: check_bucket(bucket)?,
        prefix: check_prefix(prefix.unwrap_or_default())?,
        region: DEFAULT_REGION.to_owned(),
        endpoint: None,
        public_endpoint: None,
        path_style: false,
        storage_class: None,
        serve: crate::domain::ServeMode::default(),
        presign_ttl: DEFAULT_TTL,
        longest_ttl: 0,
        checksum: Checksum::default(),
        credentials,
    };
    change(&blank, settings)
}

/// `old` with the given settings; everything that results is checked.
pub(super) fn change(old: &S3Config, settings: &S3Settings) -> Result<S3Config, OpError> {
    let mut new = old.clone();
    if let Some(region) = &settings.region {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let region = optional(region).unwrap_or(DEFAULT_REGION);
        new.region = check_word("region", "region", region, allowed)?;
    }
    if let Some(endpoint) = &settings.endpoint {
        new.endpoint = optional(endpoint).map(|e| check_endpoint("endpoint", e)).transpose()?;
    }
    if let Some(public) = &settings.public_endpoint {
        new.public_endpoint =
            optional(public).map(|e| check_endpoint("public_endpoint", e)).transpose()?;
    }
    if let Some(class) = &settings.storage_class {
        let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let upper = class.to_ascii_uppercase();
        new.storage_class = optional(&upper)
            .map(|c| check_word("storage_class", "storage class", c, allowed))
            .transpose()?;
    }
    new.path_style = settings.path_style.unwrap_or(new.path_style);
    new.serve = settings.serve.unwrap_or(new.serve);
    new.checksum = settings.checksum.unwrap_or(new.checksum);
    new.presign_ttl = settings.presign_ttl.unwrap_or(new.presign_ttl);
    new.longest_ttl = new.longest_ttl.max(new.presign_ttl);
    if let Some(credentials) = credentials(settings)? {
        new.credentials = credentials;
    }
    check_whole(&new)?;
    Ok(new)
}

/// True when requests would go elsewhere, or be signed otherwise: the marker has to be found there.
pub(super) fn reaches_differently(old: &S3Config, new: &S3Config) -> bool {
    old.endpoint != new.endpoint
        || old.region != new.region
        || old.path_style != new.path_style
        || old.credentials != new.credentials
}

fn check_whole(s3: &S3Config) -> Result<(), OpError> {
    if !TTL.contains(&s3.presign_ttl) {
        return Err(invalid("presign_ttl", "signed URLs can last from 10 s to 1 h"));
    }
    if s3.checksum == Checksum::Readback && s3.is_archive() {
        let class = s3.storage_class.as_deref().unwrap_or_default();
        let detail = format!(
            "checksum readback cannot be had with storage class {class}, whose objects cannot be read at once: use sha256"
        );
        return Err(invalid("checksum", detail));
    }
    Ok(())
}

/// What is wrong with a field, in words for every way of asking: API, command line and page.
fn invalid(field: &'static str, detail: impl Into<Phrase>) -> OpError {
    OpError::field_invalid(field, detail)
}

/// The empty text unsets.
fn optional(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|t| !t.is_empty())
}

fn check_word(
    field: &'static str,
    what: &str,
    text: &str,
    allowed: fn(char) -> bool,
) -> Result<String, OpError> {
    let text = text.trim();
    if !text.is_empty() && text.len() <= 63 && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(invalid(field, format!("{text:?} is not a {what}")))
    }
}

fn check_bucket(bucket: &str) -> Result<String, OpError> {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let good = (3..=63).contains(&bucket.len())
        && bucket.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        && ends(bucket.chars().next())
        && ends(bucket.chars().next_back());
    if good {
        Ok(bucket.to_owned())
    } else {
        let detail =
            format!("{bucket:?} is not a bucket name: 3 to 63 letters, digits, '.', '-' or '_'");
        Err(invalid("bucket", detail))
    }
}

/// The prefix with its `/` at the end; empty for a whole bucket.
fn check_prefix(prefix: &str) -> Result<String, OpError> {
    let trimmed = prefix.trim_end_matches('/');
    if trimmed.is_empty() {
        return Ok(String::new());
    }
    let segment = |s: &str| !matches!(s, "" | "." | "..") && !s.chars().any(char::is_control);
    if trimmed.len() < LONGEST_PREFIX && trimmed.split('/').all(segment) {
        Ok(format!("{trimmed}/"))
    } else {
        let detail = format!(
            "{prefix:?} cannot be a prefix: no slash at its start, no empty, '.' or '..' segment, no control characters"
        );
        Err(invalid("prefix", detail))
    }
}

fn check_endpoint(field: &'static str, text: &str) -> Result<String, OpError> {
    let what = field.replace('_', " ");
    let bad = |why: &str| invalid(field, format!("the {what} {why}: write https://HOST[:PORT]"));
    // The text is not repeated: a user may have put a password into it.
    let url = reqwest::Url::parse(text).map_err(|_| bad("is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(bad("is not the URL of a web server"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("must not contain a user or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("must not have a query"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// The credentials that are given; `None` when none are.
fn credentials(settings: &S3Settings) -> Result<Option<Credentials>, OpError> {
    let key = (&settings.access_key_id, &settings.secret_access_key, &settings.credentials);
    match key {
        (None, None, None) => Ok(None),
        (Some(id), Some(secret), None) => {
            let (id, secret) = (id.trim(), secret.trim());
            let printable = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_ascii_graphic());
            for (field, what, text) in [
                ("access_key_id", "access key id", id),
                ("secret_access_key", "secret access key", secret),
            ] {
                if !printable(text) {
                    let detail = format!("the {what} is empty or has characters that no key has");
                    return Err(invalid(field, detail));
                }
            }
            Ok(Some(Credentials::Stored {
                access_key_id: id.to_owned(),
                secret_access_key: secret.to_owned(),
            }))
        }
        (None, None, Some(reference)) => by_reference(reference).map(Some),
        (_, _, Some(_)) => Err(invalid(
            "credentials",
            "give either an access key or where credentials are found, not both",
        )),
        (Some(_), None, None) => Err(invalid(
            "secret_access_key",
            "an access key has two parts: give the secret access key with its id",
        )),
        (None, Some(_), None) => Err(invalid(
            "access_key_id",
            "an access key has two parts: give the access key id with the secret access key",
        )),
    }
}

fn by_reference(reference: &str) -> Result<Credentials, OpError> {
    if reference == "env" {
        return Ok(Credentials::Env);
    }
    if let Some(name) = reference.strip_prefix("systemd:") {
        // What systemd allows, and no way out of its directory.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let name = check_word("credentials", "systemd credential's name", name, plain)?;
        return if name.starts_with('.') {
            let detail = "the name of a systemd credential does not start with a dot";
            Err(invalid("credentials", detail))
        } else {
            Ok(Credentials::Systemd(name))
        };
    }
    let path = reference.strip_prefix("file:").map(PathBuf::from);
    match path.filter(|p| p.is_absolute()) {
        Some(path) => Ok(Credentials::File(path)),
        // Not repeated: somebody may have given the key itself.
        None => Err(invalid(
            "credentials",
            "credentials are found in env, file:PATH with an absolute path, or systemd:NAME",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> S3Settings {
        S3Settings {
            access_key_id: Some("id".to_owned()),
            secret_access_key: Some("geheim".to_owned()),
            ..S3Settings::default()
        }
    }

    #[test]
    fn a_prefix_ends_in_a_slash_and_the_region_has_a_default() {
        let s3 = create(Some("bucket"), Some("a/b"), &settings()).expect("a configuration");
        assert_eq!((s3.prefix.as_str(), s3.region.as_str()), ("a/b/", "us-east-1"));
        assert_eq!((s3.presign_ttl, s3.longest_ttl), (60, 60));
        let whole = create(Some("bucket"), Some("/"), &settings()).expect("a configuration");
        assert_eq!(whole.prefix, "");
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        type Change = fn(&mut S3Settings);
        let bad: [(&str, Change); 13] = [
            ("presign_ttl", |s| s.presign_ttl = Some(9)),
            ("presign_ttl", |s| s.presign_ttl = Some(3601)),
            ("endpoint", |s| s.endpoint = Some("s3.example.org".to_owned())),
            ("endpoint", |s| s.endpoint = Some("https://u:geheim@h".to_owned())),
            ("public_endpoint", |s| s.public_endpoint = Some("ftp://h".to_owned())),
            ("storage_class", |s| s.storage_class = Some("a b".to_owned())),
            ("secret_access_key", |s| s.secret_access_key = None),
            ("access_key_id", |s| s.access_key_id = None),
            ("access_key_id", |s| (s.access_key_id, s.secret_access_key) = (None, None)),
            ("secret_access_key", |s| s.secret_access_key = Some("geheim geheim".to_owned())),
            ("credentials", |s| s.credentials = Some("env".to_owned())),
            ("region", |s| s.region = Some("a b".to_owned())),
            ("checksum", |s| {
                s.checksum = Some(Checksum::Readback);
                s.storage_class = Some("GLACIER".to_owned());
            }),
        ];
        for (field, change) in bad {
            let mut given = settings();
            change(&mut given);
            let error = create(Some("bucket"), None, &given).expect_err(field);
            assert_eq!(error.field(), Some(field), "{error}");
            let said = error.to_string();
            assert!(!said.contains("geheim") && !said.contains("--"), "{said}");
        }
        for prefix in ["/a", "a//b", "a/../b"] {
            let error = create(Some("bucket"), Some(prefix), &settings()).expect_err(prefix);
            assert_eq!(error.field(), Some("prefix"));
        }
        for bucket in [None, Some("x")] {
            let error = create(bucket, None, &settings()).expect_err("a bad bucket");
            assert_eq!(error.field(), Some("bucket"));
        }
        let mut given = settings();
        given.region = Some(String::new());
        assert_eq!(create(Some("bucket"), None, &given).expect("the default").region, "us-east-1");
    }

    #[test]
    fn the_longest_ttl_is_remembered() {
        let old = create(Some("bucket"), None, &settings()).expect("a configuration");
        let ttl = |s3: &S3Config, t| {
            change(s3, &S3Settings { presign_ttl: Some(t), ..S3Settings::default() })
                .expect("allowed")
        };
        let new = ttl(&ttl(&old, 600), 30);
        assert_eq!((new.presign_ttl, new.longest_ttl), (30, 600));
    }
}
