//! Requests to the admin API, and what became of them.

use anyhow::{Context, Result};
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Body, Method, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::transport::Transport;
use crate::api::Problem;
use crate::domain::ScopeName;

/// What stays itself in a URL; the slash too, as it separates segments in our paths.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const IN_PATH: &AsciiSet = &UNRESERVED.remove(b'/');

/// Encodes a path of several segments for a URL.
pub fn in_path(path: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(path, IN_PATH)
}

/// Encodes a value for a query, or a single segment.
pub fn in_query(value: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(value, UNRESERVED)
}

/// A refusal by the server, as it was sent.
#[derive(Debug, thiserror::Error)]
#[error("{}", if .0.detail.is_empty() { .0.title.clone() } else { .0.detail.to_string() })]
pub struct Refused(pub Problem);

/// Adds to a refusal what the user of the command line can do about it: a server that answers
/// programs does not speak of commands.
pub fn with_way_out(mut e: anyhow::Error, scope: &ScopeName) -> anyhow::Error {
    let Some(Refused(problem)) = e.downcast_mut() else { return e };
    let way_out = match problem.kind.as_str() {
        "unknown-scope" => {
            problem.detail = format!("there is no scope \"{scope}\"").into();
            format!(
                ": `hayloft scope list` names those that are there, `hayloft scope create {scope}` makes this one"
            )
        }
        "insufficient-storage" => format!(
            ". `hayloft scope show {scope}` says what is full: raise a limit, link another store (`hayloft scope \
             manage {scope} add-store STORE`), or let `hayloft vacuum` make room"
        ),
        "file-too-large" if !problem.extra.contains_key("limit") => format!(
            ". `hayloft scope show {scope}` names its stores: run `hayloft store manage STORE --max-size SIZE` for \
             one of them, or link a larger one"
        ),
        "file-unavailable" => ": `hayloft file explain` says what each store has".to_owned(),
        _ => return e,
    };
    problem.detail = std::mem::take(&mut problem.detail).text(way_out);
    e
}

/// An answer: the JSON text as the server sent it, for programs, and its meaning, for people.
#[derive(Debug, Clone)]
pub struct Reply(pub Bytes, pub Option<String>);

impl Reply {
    /// The body, and the remark that the server has for people.
    pub async fn of(response: Response) -> Result<Self> {
        let notice = response.headers().get("hayloft-notice");
        let notice = notice.and_then(|v| v.to_str().ok()).map(str::to_owned);
        Ok(Self(response.bytes().await.context("the answer was cut short")?, notice))
    }

    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.0)
            .context("the server's answer has another shape than expected: is it the same version?")
    }

    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

/// The commands' view of a server. Paths of the admin API are given below `/api/v1/`.
pub struct AdminClient {
    pub transport: Transport,
}

impl AdminClient {
    pub async fn get(&self, path: &str) -> Result<Reply> {
        self.call(Method::GET, path, None).await
    }

    pub async fn delete(&self, path: &str) -> Result<Reply> {
        self.call(Method::DELETE, path, None).await
    }

    /// A POST without a body.
    pub async fn act(&self, path: &str) -> Result<Reply> {
        self.call(Method::POST, path, None).await
    }

    pub async fn post(&self, path: &str, body: &impl Serialize) -> Result<Reply> {
        self.call(Method::POST, path, Some(serde_json::to_vec(body)?)).await
    }

    pub async fn put(&self, path: &str, body: &impl Serialize) -> Result<Reply> {
        self.call(Method::PUT, path, Some(serde_json::to_vec(body)?)).await
    }

    pub async fn patch(&self, path: &str, body: &impl Serialize) -> Result<Reply> {
        self.call(Method::PATCH, path, Some(serde_json::to_vec(body)?)).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Reply> {
        let mut request = self.request(method, &format!("/api/v1/{path}"))?;
        if let Some(body) = body {
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert(CONTENT_TYPE, json);
            *request.body_mut() = Some(Body::from(body));
        }
        let response = self.send(request).await?;
        Reply::of(response).await
    }

    /// A request to any path of the server, for [`AdminClient::send`].
    pub fn request(&self, method: Method, path_and_query: &str) -> Result<Request> {
        let url = self.transport.address(path_and_query);
        Ok(Request::new(method, url.parse().with_context(|| format!("{url:?} is not a URL"))?))
    }

    /// Sends, and turns a refusal into an error; redirects are answers.
    pub async fn send(&self, request: Request) -> Result<Response> {
        let answer = accepted(self.transport.send(request).await?).await;
        answer.map_err(|refused| match self.transport.without_token() {
            Some(server) => wants_token(refused, server),
            None => refused,
        })
    }
}

/// A 401 in the words of the command line.
fn wants_token(mut e: anyhow::Error, server: &str) -> anyhow::Error {
    if let Some(Refused(problem)) = e.downcast_mut()
        && problem.status == StatusCode::UNAUTHORIZED.as_u16()
    {
        problem.detail = format!(
            "{server} wants a token: set HAYLOFT_TOKEN, or name a file that holds it with \
             --token-file FILE. `hayloft token create` on that machine makes one"
        )
        .into();
    }
    e
}

async fn accepted(response: Response) -> Result<Response> {
    let status = response.status();
    if status.is_success() || status.is_redirection() {
        return Ok(response);
    }
    let body = response.bytes().await.unwrap_or_default();
    Err(Refused(problem(status, &body)).into())
}

/// The problem document, or one made from whatever another program on the way answered.
fn problem(status: StatusCode, body: &[u8]) -> Problem {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(body);
        let first = text.trim().lines().next().unwrap_or_default();
        let first: String = first.chars().take(200).collect();
        Problem {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("HTTP error").to_owned(),
            status: status.as_u16(),
            detail: format!("the server answered {status} {first}").trim_end().into(),
            extra: serde_json::Map::new(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_keep_their_slashes_and_nothing_else_that_means_something() {
        assert_eq!(in_path("a b/ü?#%+.txt").to_string(), "a%20b/%C3%BC%3F%23%25%2B.txt");
        assert_eq!(in_query("a/b&c").to_string(), "a%2Fb%26c");
    }

    #[test]
    fn an_answer_that_is_no_problem_document_becomes_one() {
        let p = problem(StatusCode::BAD_GATEWAY, b"<html>\nnginx");
        assert_eq!((p.status, p.kind.as_str()), (502, "about:blank"));
        assert!(p.detail.to_string().contains("502 Bad Gateway <html>"), "{}", p.detail);
    }
}
