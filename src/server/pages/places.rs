//! Addresses of pages, and the names that stand in them.

use std::fmt::Display;

use axum::http::HeaderMap;
use axum::http::header::HOST;

use super::show::{url, url_path};
use crate::app::App;

/// A scope's page. `/scopes/new` makes one, so a scope of that name is written in another way.
pub fn scope(name: &impl Display) -> String {
    match name.to_string().as_str() {
        "new" => "/scopes/%6Eew".to_owned(),
        name => format!("/scopes/{name}"),
    }
}

/// A store's page. `/stores/new` makes one.
pub fn store(name: &impl Display) -> String {
    match name.to_string().as_str() {
        "new" => "/stores/%6Eew".to_owned(),
        name => format!("/stores/{name}"),
    }
}

/// The editor of a link.
pub fn link(scope: &impl Display, store: &impl Display) -> String {
    format!("/scopes/{scope}/links/{store}")
}

/// A folder of a scope; the empty one is the scope itself.
pub fn folder(scope: &impl Display, prefix: &str) -> String {
    match prefix {
        "" => format!("/browse/{scope}"),
        prefix => format!("/browse/{scope}?prefix={}", url(prefix)),
    }
}

/// What is known of a file.
pub fn file(scope: &impl Display, path: &str) -> String {
    format!("/browse/{scope}/file?path={}", url(path))
}

/// A file's bytes.
pub fn content(scope: &impl Display, path: &str) -> String {
    format!("/files/{scope}/{}", url_path(path))
}

/// The folder in which a path lies, with its slash; empty at the top.
pub fn parent(path: &str) -> &str {
    let inner = path.strip_suffix('/').unwrap_or(path);
    inner.rfind('/').and_then(|at| path.get(..=at)).unwrap_or_default()
}

/// The last name of a path, a folder's with its slash.
pub fn name(path: &str) -> &str {
    path.get(parent(path).len()..).unwrap_or(path)
}

/// Where programs reach this server, for examples: as configured, else as the browser does.
pub fn origin(app: &App, headers: &HeaderMap) -> String {
    if let Some(url) = &app.config.public_url {
        return url.trim_end_matches('/').to_owned();
    }
    let scheme = if app.config.tls.is_some() { "https" } else { "http" };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    format!("{scheme}://{}", host.unwrap_or_else(|| app.config.listen.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_fall_into_folder_and_name() {
        let cases = [
            ("a", "", "a"),
            ("a/", "", "a/"),
            ("a/b", "a/", "b"),
            ("a/b/", "a/", "b/"),
            ("ä/ü/é?", "ä/ü/", "é?"),
        ];
        for (path, folder, last) in cases {
            assert_eq!((parent(path), name(path)), (folder, last), "{path}");
        }
    }

    #[test]
    fn names_of_files_do_no_harm_in_addresses() {
        let evil = "a b/\"><script>#?%/\u{202e}x";
        assert_eq!(
            file(&"s", evil),
            "/browse/s/file?path=a%20b%2F%22%3E%3Cscript%3E%23%3F%25%2F%E2%80%AEx"
        );
        assert_eq!(content(&"s", "a b/c?"), "/files/s/a%20b/c%3F");
        assert_eq!(
            (scope(&"new"), store(&"new")),
            ("/scopes/%6Eew".into(), "/stores/%6Eew".into())
        );
    }
}
