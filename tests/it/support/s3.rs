//! An S3 server inside the test process, with faults on demand.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::Service;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};

pub const KEY: &str = "testkey";
pub const SECRET: &str = "testsecret";

type AnswerBody = http_body_util::combinators::UnsyncBoxBody<Bytes, Fault>;

/// Ends a body, and its connection, before its time.
#[derive(Debug, thiserror::Error)]
#[error("injected: the connection breaks")]
pub struct Fault;

/// Tells requests apart by a line of the log.
pub type OfRequest = fn(&str) -> bool;

/// What goes wrong, and what was asked. 0 switches a fault off.
#[derive(Debug, Default)]
pub struct Faults {
    /// Every n-th request is answered 503.
    pub refuse_every: AtomicU64,
    /// Every n-th request gets no answer: the connection is closed.
    pub drop_every: AtomicU64,
    /// Every GET body breaks off after so many bytes.
    pub cut_bodies_after: AtomicU64,
    /// Answers to give instead of serving, one per request: status and body.
    pub answers: Mutex<VecDeque<(u16, String)>>,
    /// Requests, as in `log`, that the key may not make: they are answered 403.
    pub forbidden: Mutex<Option<OfRequest>>,
    /// Method, path and query of all requests.
    pub log: Mutex<Vec<String>>,
    count: AtomicU64,
}

impl Faults {
    pub fn answer(&self, status: u16, body: &str) {
        self.answers.lock().expect("unpoisoned").push_back((status, body.to_owned()));
    }

    /// Requests so far whose line begins with `method`.
    pub fn requests(&self, method: &str) -> usize {
        self.log.lock().expect("unpoisoned").iter().filter(|l| l.starts_with(method)).count()
    }
}

/// A running server; it ends with this value.
pub struct InProcess {
    pub endpoint: String,
    pub faults: Arc<Faults>,
    root: tempfile::TempDir,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl InProcess {
    pub fn make_bucket(&self, name: &str) {
        std::fs::create_dir(self.root.path().join(name)).expect("a bucket is a directory");
    }

    /// Where the server keeps a bucket.
    pub fn bucket_path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Multipart uploads that were begun and not ended. A part that was still arriving when its upload was aborted
    /// may leave a file behind in this server: it belongs to no upload any more.
    pub fn dangling_uploads(&self) -> usize {
        let entries = std::fs::read_dir(self.root.path()).expect("the root is readable");
        entries
            .filter_map(Result::ok)
            .filter(|e| e.file_name().to_string_lossy().starts_with(".upload-"))
            .count()
    }
}

/// Starts a server on a free port.
pub async fn in_process(faults: Faults) -> InProcess {
    let root = tempfile::tempdir().expect("a temporary directory");
    let files = s3s_fs::FileSystem::new(root.path()).expect("a file system");
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
    let service = Faulty { inner: builder.build(), faults: Arc::new(faults) };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    let faults = Arc::clone(&service.faults);
    let server = tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let http = hyper::server::conn::http1::Builder::new();
                // Broken connections are what some tests are about.
                let _ = http.serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
    InProcess { endpoint, faults, root, server }
}

#[derive(Clone)]
struct Faulty {
    inner: S3Service,
    faults: Arc<Faults>,
}

impl Service<Request<Incoming>> for Faulty {
    type Response = Response<AnswerBody>;
    type Error = Fault;
    type Future = futures_util::future::BoxFuture<'static, Result<Self::Response, Fault>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (inner, faults) = (self.inner.clone(), Arc::clone(&self.faults));
        Box::pin(async move {
            let line = format!("{} {}", request.method(), request.uri());
            let forbidden = faults.forbidden.lock().expect("unpoisoned").is_some_and(|f| f(&line));
            faults.log.lock().expect("unpoisoned").push(line);
            if forbidden {
                let text =
                    "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
                return Ok(answer(403, text.to_owned()));
            }
            let n = faults.count.fetch_add(1, Ordering::SeqCst) + 1;
            let strikes = |every: &AtomicU64| match every.load(Ordering::SeqCst) {
                0 => false,
                every => n.is_multiple_of(every),
            };
            if strikes(&faults.drop_every) {
                return Err(Fault);
            }
            if strikes(&faults.refuse_every) {
                return Ok(answer(503, "<Error><Code>SlowDown</Code></Error>".to_owned()));
            }
            let scripted = faults.answers.lock().expect("unpoisoned").pop_front();
            if let Some((status, body)) = scripted {
                return Ok(answer(status, body));
            }
            let is_get = request.method() == hyper::Method::GET;
            let response = inner.call(request.map(s3s::Body::from)).await.map_err(|_| Fault)?;
            let cut = faults.cut_bodies_after.load(Ordering::SeqCst);
            let boxed = response.map(|b| b.map_err(|_| Fault).boxed_unsync());
            Ok(if is_get && cut > 0 { boxed.map(|b| cut_after(b, cut)) } else { boxed })
        })
    }
}

fn answer(status: u16, body: String) -> Response<AnswerBody> {
    let body = Full::from(body).map_err(|e: Infallible| match e {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}

fn cut_after(body: AnswerBody, limit: u64) -> AnswerBody {
    let frames = stream::unfold(Some((body, limit)), |state| async {
        let (mut body, left) = state?;
        let data = match body.frame().await? {
            Ok(frame) => frame.into_data().unwrap_or_default(),
            Err(e) => return Some((Err(e), None)),
        };
        if left == 0 {
            return Some((Err(Fault), None));
        }
        let part = data.slice(..data.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
        // Lets the bytes go out before the error ends the connection.
        tokio::task::yield_now().await;
        let left = left - part.len() as u64;
        Some((Ok(Frame::data(part)), Some((body, left))))
    });
    StreamBody::new(frames).boxed_unsync()
}
