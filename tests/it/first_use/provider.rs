//! An S3 service that answers as told, word for word as the large providers do.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// One answer.
pub struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Answer {
    pub fn new(status: u16, body: &str) -> Self {
        Self { status, headers: vec![], body: body.to_owned() }
    }

    /// An error document.
    fn error(status: u16, code: &str, message: &str, more: &str) -> Self {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>{more}\
             <RequestId>1</RequestId></Error>"
        );
        Self::new(status, &body)
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

type Answers = fn(&Method) -> Answer;

/// A running service; it ends with this value.
pub struct Provider {
    pub endpoint: String,
    server: JoinHandle<()>,
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Provider {
    pub async fn start(answers: impl Fn(&Method) -> Answer + Send + Sync + 'static) -> Self {
        let (listener, at) = listen().await;
        let answers = Arc::new(answers);
        let server = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(converse(socket, Arc::clone(&answers)));
            }
        });
        Self { endpoint: format!("http://{at}"), server }
    }

    /// With a certificate that nobody signed.
    pub async fn start_tls() -> Self {
        let (listener, at) = listen().await;
        let acceptor = TlsAcceptor::from(Arc::new(tls()));
        let server = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // Clients that do not like the certificate are what the tests are about.
                    if let Ok(stream) = acceptor.accept(socket).await {
                        converse(stream, Arc::new(|_: &Method| Answer::new(200, ""))).await;
                    }
                });
            }
        });
        Self { endpoint: format!("https://{at}"), server }
    }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let at = listener.local_addr().expect("bound").to_string();
    (listener, at)
}

fn tls() -> ServerConfig {
    hayloft::stores::install_crypto_provider();
    let read = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name);
        std::fs::read(path).expect("a fixture")
    };
    let (certificates, key) = (read("cert.pem"), read("key.pem"));
    let certificates: Result<_, _> = rustls_pemfile::certs(&mut certificates.as_slice()).collect();
    let certificates = certificates.expect("certificates");
    let key = rustls_pemfile::private_key(&mut key.as_slice()).expect("PEM").expect("a key");
    ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .expect("they belong together")
}

async fn converse<S, F>(stream: S, answers: Arc<F>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Fn(&Method) -> Answer,
{
    let service = service_fn(|request: Request<Incoming>| {
        let answer = answers(request.method());
        async move { Ok::<_, Infallible>(response(answer)) }
    });
    // Broken connections are what some tests are about.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn response(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).expect("a status");
    for (name, value) in answer.headers {
        response.headers_mut().insert(name, value.parse().expect("a header value"));
    }
    response
}

/// A wrong setting: what the provider answers and what has to be said about it.
pub struct Case {
    pub name: &'static str,
    pub answers: Answers,
    pub says: &'static [&'static str],
}

const EMPTY: &str = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
const OLD: &str = "Mon, 02 Nov 2020 10:00:00 GMT";

/// Refusals as AWS, R2, Garage, nginx and Go's HTTP server word them.
pub fn refusals() -> Vec<Case> {
    let case = |name, answers, says| Case { name, answers, says };
    let mut all = of_regions();
    all.extend(of_keys());
    all.extend(of_rights());
    all.extend([
        case(
            "clock",
            |_| {
                let more = "<MaxAllowedSkewMilliseconds>900000</MaxAllowedSkewMilliseconds>";
                let text =
                    "The difference between the request time and the current time is too large.";
                Answer::error(403, "RequestTimeTooSkewed", text, more).with("date", OLD)
            },
            &["this machine's clock is wrong", "days", "ahead of the provider's", "timedatectl"],
        ),
        case(
            "clock behind another code",
            |_| Answer::error(403, "AccessDenied", "Date is too old", "").with("date", OLD),
            &["this machine's clock is wrong", "AccessDenied: Date is too old"],
        ),
        case(
            "no bucket",
            |_| Answer::error(404, "NoSuchBucket", "The specified bucket does not exist", ""),
            &["the bucket is wrong", "does not exist", "404 NoSuchBucket", "--bucket"],
        ),
        case(
            "bad bucket name",
            |_| Answer::error(400, "InvalidBucketName", "The specified bucket is not valid.", ""),
            &["the bucket is wrong", "--bucket"],
        ),
        case(
            "https port, nginx",
            |_| {
                Answer::new(
                    400,
                    "<html><h1>The plain HTTP request was sent to HTTPS port</h1></html>",
                )
            },
            &["the endpoint is wrong", "speaks https", "write https://"],
        ),
        case(
            "https port, Go",
            |_| Answer::new(400, "Client sent an HTTP request to an HTTPS server.\n"),
            &["the endpoint is wrong", "speaks https"],
        ),
        case(
            "a web server",
            |_| Answer::new(404, "<html>Not Found</html>"),
            &["the endpoint is wrong", "not as an S3 service", "--endpoint"],
        ),
        case(
            "a captive portal",
            |_| Answer::new(200, "<html>Please sign in</html>").with("content-length", "27"),
            &["the endpoint is wrong", "not as an S3 service"],
        ),
        case(
            "a redirect to https",
            |_| Answer::new(301, "").with("location", "https://s3.example.org/bucket"),
            &["the endpoint is wrong", "redirects to https://s3.example.org/bucket"],
        ),
    ]);
    all
}

fn of_regions() -> Vec<Case> {
    let case = |name, answers, says| Case { name, answers, says };
    vec![
        case(
            "region named in the document",
            |_| {
                let text = "The authorization header is malformed; the region 'us-east-1' is wrong; \
                            expecting 'eu-central-1'";
                let more = "<Region>eu-central-1</Region>";
                Answer::error(400, "AuthorizationHeaderMalformed", text, more)
            },
            &[
                "the region is wrong",
                "is in eu-central-1",
                "says us-east-1",
                "--region eu-central-1",
            ],
        ),
        case(
            "region named in the header",
            |_| {
                let text = "The bucket you are attempting to access must be addressed using the \
                            specified endpoint.";
                let more = "<Endpoint>bucket.s3-eu-west-1.amazonaws.com</Endpoint>";
                Answer::error(301, "PermanentRedirect", text, more)
                    .with("x-amz-bucket-region", "eu-west-1")
            },
            &["the region is wrong", "eu-west-1", "301 PermanentRedirect", "--endpoint"],
        ),
        case(
            "another address",
            |_| {
                let more = "<Endpoint>bucket.s3-eu-west-1.amazonaws.com</Endpoint>";
                Answer::error(307, "TemporaryRedirect", "Please re-send.", more)
            },
            &["the endpoint or the region is wrong", "bucket.s3-eu-west-1.amazonaws.com"],
        ),
        case(
            "a region that R2 does not know",
            |_| {
                let text = "The region name 'us-east-9' is not valid. Must be one of: wnam, enam, \
                            weur, eeur, apac, auto";
                Answer::error(400, "InvalidRegionName", text, "")
            },
            &["the region is wrong", "Must be one of", "--region"],
        ),
    ]
}

fn of_keys() -> Vec<Case> {
    let case = |name, answers, says| Case { name, answers, says };
    vec![
        case(
            "unknown key",
            |_| {
                let text = "The AWS Access Key Id you provided does not exist in our records.";
                Answer::error(403, "InvalidAccessKeyId", text, "")
            },
            &["the access key id is wrong", "AKIAEXAMPLE", "--access-key-id"],
        ),
        case(
            "wrong secret",
            |_| {
                let text = "The request signature we calculated does not match the signature you \
                            provided. Check your key and signing method.";
                Answer::error(403, "SignatureDoesNotMatch", text, "")
            },
            &[
                "the secret access key is wrong",
                "knows the key AKIAEXAMPLE",
                "403 SignatureDoesNotMatch",
            ],
        ),
        case(
            "Garage's unknown key",
            |_| Answer::error(403, "AccessDenied", "Forbidden: No such key: AKIAEXAMPLE", ""),
            &["the access key id is wrong", "AKIAEXAMPLE"],
        ),
        case(
            "Garage's wrong secret",
            |_| Answer::error(403, "AccessDenied", "Forbidden: Invalid signature", ""),
            &["the secret access key is wrong"],
        ),
        case(
            "R2's wrong key",
            |_| Answer::error(401, "Unauthorized", "Unauthorized", ""),
            &["the access key is wrong", "401 Unauthorized"],
        ),
        case(
            "R2's key of another kind",
            |_| {
                let text = "Credential access key has length 20, should be 32";
                Answer::error(400, "InvalidArgument", text, "")
            },
            &["the access key id is wrong", "should be 32"],
        ),
        case(
            "session over",
            |_| Answer::error(400, "ExpiredToken", "The provided token has expired.", ""),
            &["the session token is not valid any more", "fresh credentials"],
        ),
    ]
}

fn of_rights() -> Vec<Case> {
    let case = |name, answers, says| Case { name, answers, says };
    vec![
        case(
            "may not list",
            |method| match *method {
                Method::HEAD => Answer::new(404, ""),
                _ => Answer::error(403, "AccessDenied", "Access Denied", ""),
            },
            &["may not list the bucket", "signature", "s3:ListBucket", "--bucket"],
        ),
        case(
            "may list and not read",
            |method| match *method {
                Method::HEAD => Answer::new(403, ""),
                _ => Answer::new(200, EMPTY),
            },
            &["may not read objects", "s3:GetObject"],
        ),
        case(
            "may not write",
            |method| match *method {
                Method::HEAD => Answer::new(404, ""),
                Method::PUT => Answer::error(403, "AccessDenied", "Access Denied", ""),
                _ => Answer::new(200, EMPTY),
            },
            &["may not write objects", "s3:PutObject"],
        ),
    ]
}
