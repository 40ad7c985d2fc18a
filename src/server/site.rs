//! One request: who asks, which room answers, what every answer carries.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use tower::ServiceExt;

use super::access::{Access, Caller};
use super::errors::{self, Failure, PROBLEM_JSON};
use super::metrics::{MethodSlot, Metrics, Route};
use super::{admin, files, pages, probes};
use crate::api::Problem;
use crate::app::App;

/// Uploaders' HTML must not run on the page's origin (SPEC 5).
const FILE_POLICY: HeaderValue = HeaderValue::from_static("sandbox; default-src 'none'");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// Longest text of a foreign error answer that becomes the detail of a problem document.
const DETAIL_MAX: usize = 16 << 10;

/// Where a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entrance {
    /// The public port: credentials say who asks.
    Port,
    /// The admin socket, or this process: instance admin.
    Socket,
}

/// Everything that answering needs, shared by all connections.
#[derive(Debug)]
pub struct Site {
    pub app: Arc<App>,
    pub access: Access,
    pub metrics: Arc<Metrics>,
    /// Whether the server listens and is not about to end.
    pub listening: AtomicBool,
    pub readiness: probes::Readiness,
    admin: Router,
    pub pages: Router,
}

impl Site {
    pub fn new(app: Arc<App>) -> Arc<Self> {
        Arc::new(Self {
            access: Access::new(Arc::clone(&app)),
            metrics: Arc::default(),
            listening: AtomicBool::new(false),
            readiness: probes::Readiness::default(),
            admin: admin::router().with_state(Arc::clone(&app)),
            pages: pages::router().with_state(Arc::clone(&app)),
            app,
        })
    }

    pub fn set_listening(&self, listening: bool) {
        self.listening.store(listening, Ordering::SeqCst);
    }

    /// The same as a router, for use without a connection.
    pub fn router(self: Arc<Self>, door: Entrance) -> Router {
        let service = tower::service_fn(move |request: Request<Body>| {
            let site = Arc::clone(&self);
            async move { Ok::<_, std::convert::Infallible>(site.handle(request, door, None).await) }
        });
        Router::new().fallback_service(service)
    }

    /// Answers a request; never fails.
    pub async fn handle(
        self: &Arc<Self>,
        request: Request<Body>,
        door: Entrance,
        peer: Option<IpAddr>,
    ) -> Response {
        let route = route_of(request.uri().path());
        let (begun, method) = (Instant::now(), MethodSlot::from(request.method()));
        let uri = request.uri().clone();
        let log =
            tracing::enabled!(tracing::Level::DEBUG).then(|| AccessLogLine::of(&request, begun));
        let is_head = request.method() == Method::HEAD;
        let is_of_script = is_of_script(request.headers());
        let mut response = match self.answer(route, request, door, peer).await {
            Ok(response) => response,
            Err(failure) if route == Route::Page => pages::refuse(uri.path(), &failure),
            Err(failure) => failure.into_response(),
        };
        if is_of_script && response.status() == StatusCode::UNAUTHORIZED {
            errors::unchallenge(&mut response);
        }
        if is_head {
            response = without_body(response);
        }
        if matches!(route, Route::Files | Route::ByHash) {
            let headers = response.headers_mut();
            headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
            headers.insert(CONTENT_SECURITY_POLICY, FILE_POLICY);
        }
        self.metrics.answered(route, method, response.status(), begun.elapsed());
        if let Some(defect) = errors::defect(&response) {
            let (path, status) = (uri.path(), response.status().as_u16());
            let Problem { kind, detail, .. } = defect;
            tracing::warn!(
                method = method.as_str(),
                path,
                scope = scope_in(path),
                status,
                kind,
                %detail,
                "a request failed"
            );
        }
        if let Some(line) = log {
            line.write(&response);
        }
        response
    }

    async fn answer(
        self: &Arc<Self>,
        route: Route,
        request: Request<Body>,
        door: Entrance,
        peer: Option<IpAddr>,
    ) -> Result<Response, Failure> {
        if route == Route::Other {
            return Err(Failure::not_found());
        }
        if route == Route::Probe && request.uri().path() != "/metrics" {
            let (parts, _) = request.into_parts();
            return boxed(probes::answer(self, &parts)).await;
        }
        let caller = match door {
            Entrance::Socket => Caller::socket(),
            Entrance::Port => self.access.identify(request.headers(), peer)?,
        };
        self.access.refuse_cross_site(request.method(), request.headers(), caller.via)?;
        match route {
            Route::Files | Route::ByHash => Ok(files::handle(self, &caller, request).await),
            Route::Api => boxed(self.api(caller, request)).await,
            Route::Page => boxed(pages::answer(self, &caller, request, peer)).await,
            Route::Probe | Route::Other => {
                boxed(probes::metrics(self, &caller, request.method())).await
            }
        }
    }

    async fn api(&self, caller: Caller, mut request: Request<Body>) -> Result<Response, Failure> {
        if caller.actor.is_anonymous() {
            return Err(caller.refusal());
        }
        request.extensions_mut().insert(caller.actor);
        let response = match self.admin.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let mut response = as_problem(response).await;
        let headers = response.headers_mut();
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        Ok(response)
    }
}

/// Keeps the rare and large futures out of the one that every small download pays for.
fn boxed<'a, T>(
    future: impl Future<Output = T> + Send + 'a,
) -> Pin<Box<dyn Future<Output = T> + Send + 'a>> {
    Box::pin(future)
}

fn route_of(path: &str) -> Route {
    if path.starts_with(files::FILES) {
        return Route::Files;
    }
    if path.starts_with(files::BY_HASH) {
        return Route::ByHash;
    }
    match path {
        "/healthz" | "/readyz" | "/metrics" => Route::Probe,
        path if path.starts_with("/api/") => Route::Api,
        path if pages::owns(path) => Route::Page,
        _ => Route::Other,
    }
}

/// Whether a script of a page asks, not a person who follows a link or a program.
fn is_of_script(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-mode").is_some_and(|mode| mode != "navigate")
}

/// The scope that an address is about, for the log.
fn scope_in(path: &str) -> Option<&str> {
    let rooms = [files::FILES, files::BY_HASH, "/api/v1/scopes/"];
    let rest = rooms.into_iter().find_map(|room| path.strip_prefix(room))?;
    rest.split('/').next().filter(|name| !name.is_empty())
}

/// HEAD has GET's headers and nothing after them.
fn without_body(response: Response) -> Response {
    use axum::body::HttpBody;
    let (mut parts, body) = response.into_parts();
    if let (Some(size), false) =
        (body.size_hint().exact(), parts.headers.contains_key(CONTENT_LENGTH))
        && size > 0
    {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
    }
    Response::from_parts(parts, Body::empty())
}

/// Error answers that axum makes by itself become problem documents like all others.
async fn as_problem(response: Response) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let kind = response.headers().get(CONTENT_TYPE);
    if kind.is_some_and(|kind| kind.as_bytes().starts_with(PROBLEM_JSON.as_bytes())) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = to_bytes(body, DETAIL_MAX).await.unwrap_or_default();
    errors::adopt(status, &parts.headers, &String::from_utf8_lossy(&text)).into_response()
}

/// A line of the access log: without the query, which may hold a sign-in secret.
struct AccessLogLine {
    method: Method,
    path: String,
    begun: Instant,
}

impl AccessLogLine {
    fn of(request: &Request<Body>, begun: Instant) -> Self {
        let path = request.uri().path().to_owned();
        Self { method: request.method().clone(), path, begun }
    }

    fn write(self, response: &Response) {
        let Self { method, path, begun } = self;
        let length = response.headers().get(CONTENT_LENGTH);
        let bytes = length.and_then(|v| v.to_str().ok()).unwrap_or("?");
        let status = response.status().as_u16();
        let ms = begun.elapsed().as_secs_f64() * 1000.0;
        tracing::debug!(%method, path, scope = scope_in(&path), status, bytes, ms, "request");
    }
}
