//! How the `OpenAPI` document is made: the routes of this API, and those of the files. The program
//! carries it finished, as `openapi.json`; only tests make it, since the code that does so is large.

use serde_json::Value;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::{Modify, OpenApi};

use super::DOCUMENT;
use super::routes::{Routes, TABLE};
use crate::api::Problem;

/// The file routes, which stream and answer by headers, are described by hand.
const FILES: &str = include_str!("files.openapi.json");

/// The whole document.
fn document() -> Value {
    let mut document = Routes::openapi();
    document.merge(serde_json::from_str(FILES).expect("the routes of the files"));
    let mut value = serde_json::to_value(document).expect("JSON");
    widen(&mut value);
    value
}

/// Objects have a line for each key down to this depth: one for each operation and each shape.
const LINES_TO: usize = 3;

/// The document as it is kept, so that a change shows as the operations and shapes that it concerns.
fn in_lines(value: &Value, depth: usize) -> String {
    match value.as_object() {
        Some(fields) if depth < LINES_TO && !fields.is_empty() => {
            let line =
                |(key, value)| format!("{}: {}", Value::from(key), in_lines(value, depth + 1));
            let lines: Vec<String> =
                fields.iter().map(|(k, v)| (k.as_str(), v)).map(line).collect();
            format!("{{\n{}\n}}", lines.join(",\n"))
        }
        Some(_) | None => value.to_string(),
    }
}

/// Sizes, counts and ids have 64 bits without a sign, for which `OpenAPI` has no format: `int64` ends
/// at half of them.
fn widen(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let is = |key: &str, wanted: Value| fields.get(key) == Some(&wanted);
            let of_64_bits = ["int64", "uint64"].iter().any(|f| is("format", (*f).into()));
            if of_64_bits && is("minimum", 0.into()) {
                fields.remove("format");
                fields.insert("maximum".to_owned(), u64::MAX.into());
            }
            fields.values_mut().for_each(widen);
        }
        Value::Array(items) => items.iter_mut().for_each(widen),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// How callers prove who they are (SPEC 10).
pub(super) struct Access;

impl Modify for Access {
    fn modify(&self, document: &mut Document) {
        let http = |scheme| SecurityScheme::Http(HttpBuilder::new().scheme(scheme).build());
        let cookie = ApiKey::Cookie(ApiKeyValue::new("hayloft_session"));
        let schemes = [
            ("token", http(HttpAuthScheme::Bearer)),
            ("token_as_password", http(HttpAuthScheme::Basic)),
            ("session", SecurityScheme::ApiKey(cookie)),
        ];
        let components = document.components.get_or_insert_default();
        let mut any_of = Vec::new();
        for (name, scheme) in schemes {
            components.add_security_scheme(name, scheme);
            any_of.push(SecurityRequirement::new(name, Vec::<String>::new()));
        }
        document.security = Some(any_of);
    }
}

/// The errors that any route may answer with.
#[cfg_attr(test, derive(utoipa::IntoResponses))]
#[expect(dead_code, reason = "describes answers, is never made")]
pub(super) enum Errors {
    /// A malformed or contradictory request.
    #[response(status = 400, content_type = "application/problem+json")]
    Invalid(Problem),
    /// No credentials, or bad ones.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(Problem),
    /// The token does not allow this.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// A scope, store, file, token or run of that name does not exist.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// The state of things forbids it; `type` names the rule, `detail` says what to do.
    #[response(status = 409, content_type = "application/problem+json")]
    Refused(Problem),
    /// The body is larger than any that makes sense here.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// Too many attempts with bad credentials from this address: wait a minute.
    #[response(status = 429, content_type = "application/problem+json")]
    TooManyAttempts(Problem),
    /// A defect, or a broken machine.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(Problem),
    /// A store cannot be used now, or the server is shutting down.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
    /// The disk of the catalogue, or a store, is full.
    #[response(status = 507, content_type = "application/problem+json")]
    Full(Problem),
}

/// The number of a run, or `current`.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[schema(value_type = String, pattern = "^(?:[0-9]{1,18}|current)$")]
#[expect(dead_code, reason = "describes a parameter, is never made")]
pub(super) struct RunId(String);

/// One event of the stream.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[expect(dead_code, reason = "describes an answer, is never made")]
pub(super) struct RunEvent {
    event: RunEventKind,
    /// The run as JSON.
    data: String,
}

#[cfg_attr(test, derive(utoipa::ToSchema))]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes an answer, is never made")]
pub(super) enum RunEventKind {
    Progress,
    Finished,
}

#[test]
fn the_document_that_is_served_is_up_to_date() {
    let made = in_lines(&document(), 0) + "\n";
    if std::env::var_os("HAYLOFT_GOLDEN").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/server/admin/openapi.json");
        std::fs::write(path, made).expect("written");
    } else {
        assert!(
            made == DOCUMENT,
            "routes or shapes changed: run `make golden` and review the diff"
        );
    }
}

#[test]
fn every_route_is_in_the_document() {
    let json = document();
    for (method, path) in TABLE {
        // OpenAPI knows no wildcard: a path in a path is a parameter like any other.
        let operation = &json["paths"][path.replace("{*", "{")][method];
        assert!(operation["responses"].is_object(), "{method} {path}");
        for status in ["400", "401", "403", "500"] {
            assert!(operation["responses"][status].is_object(), "{status} {method} {path}");
        }
    }
    let documented: usize = json["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .filter(|(path, _)| path.starts_with("/api"))
        .map(|(_, item)| {
            let methods = ["get", "put", "post", "patch", "delete"];
            methods.iter().filter(|m| item.get(**m).is_some()).count()
        })
        .sum();
    assert_eq!(documented, TABLE.len());
}

#[test]
fn every_reference_leads_somewhere() {
    let json = document();
    let text = json.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().expect("an end");
        assert!(json.pointer(pointer).is_some(), "{pointer}");
    }
}
