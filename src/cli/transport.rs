//! How a command reaches the handlers: admin socket, URL, or the same router in this process.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Request, Response};
use tower::ServiceExt;

use super::args::Global;
use super::local;
use crate::app::App;
use crate::config::Config;
use crate::open::OpenError;

/// How long a locked catalogue is taken for a server that is about to listen (SPEC 9).
const SOCKET_PATIENCE: Duration = Duration::from_secs(10);

/// Requests over a socket and in this process need some host in their URL.
const NO_HOST: &str = "http://localhost";

/// Where requests go.
pub enum Transport {
    /// A running server, over its socket or its URL.
    Server { client: reqwest::Client, base: String, token: Option<HeaderValue> },
    /// The catalogue itself, opened by this process.
    InProcess { app: Arc<App>, router: axum::Router },
}

impl Transport {
    /// Chooses by the rules of SPEC 9.
    pub async fn choose(global: &Global, config: impl FnOnce() -> Result<Config>) -> Result<Self> {
        if let Some(url) = &global.server {
            return Self::url(url, global.token_file.as_deref());
        }
        let config = Arc::new(config()?);
        if let Some(server) = Self::socket(&config.admin_socket)? {
            return Ok(server);
        }
        local::check_owner(&config.data_dir).map_err(anyhow::Error::msg)?;
        match Self::in_process(&config).await {
            Err(OpenError::Locked) => Self::await_socket(&config.admin_socket).await,
            opened => Ok(opened?),
        }
    }

    fn url(url: &str, token_file: Option<&Path>) -> Result<Self> {
        let base = url.trim_end_matches('/').to_owned();
        let parsed = reqwest::Url::parse(&base)
            .ok()
            .filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host())
            .with_context(|| format!("--server {url:?} is not a URL: write https://HOST[:PORT]"))?;
        let token = token(token_file)?;
        if token.is_some() && parsed.scheme() == "http" && !is_loopback(&parsed) {
            eprintln!("warning: the token travels unencrypted to {base}: use https");
        }
        let client = builder().build().context("cannot set up the HTTP client")?;
        Ok(Self::Server { client, base, token })
    }

    /// `None` when no server listens there.
    fn socket(path: &Path) -> Result<Option<Self>> {
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => {
                let client = builder().unix_socket(PathBuf::from(path)).build();
                let client = client.context("cannot set up the HTTP client")?;
                Ok(Some(Self::Server { client, base: NO_HOST.to_owned(), token: None }))
            }
            Err(e) if is_nobody_there(&e) => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => bail!(
                "this user may not use the admin socket {}: use `{}`, or name a server with \
                 --server URL and a token",
                path.display(),
                local::same_command_as(&local::owner_of(path)),
            ),
            Err(e) => Err(e).context(format!("cannot connect to {}", path.display())),
        }
    }

    async fn await_socket(path: &Path) -> Result<Self> {
        let give_up = tokio::time::Instant::now() + SOCKET_PATIENCE;
        while tokio::time::Instant::now() < give_up {
            if let Some(server) = Self::socket(path)? {
                return Ok(server);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!(
            "another process has the catalogue open, but none answers on {}: wait for the other \
             command to end, or check that the server uses the same admin_socket",
            path.display()
        )
    }

    async fn in_process(config: &Arc<Config>) -> Result<Self, OpenError> {
        let app = App::open(Arc::clone(config), crate::app::Role::Command).await?;
        let router = crate::server::admin_router(Arc::clone(&app));
        Ok(Self::InProcess { app, router })
    }

    pub fn is_in_process(&self) -> bool {
        matches!(self, Self::InProcess { .. })
    }

    /// The URL of the server that is spoken to, when there is no token for it.
    pub fn without_token(&self) -> Option<&str> {
        match self {
            Self::Server { base, token: None, .. } if base != NO_HOST => Some(base),
            Self::Server { .. } | Self::InProcess { .. } => None,
        }
    }

    /// The URL of `path_and_query`, which begins with a slash.
    pub fn address(&self, path_and_query: &str) -> String {
        match self {
            Self::Server { base, .. } => format!("{base}{path_and_query}"),
            Self::InProcess { .. } => format!("{NO_HOST}{path_and_query}"),
        }
    }

    /// Sends once: a connection that breaks is an error, never a reason to try elsewhere.
    pub async fn send(&self, mut request: Request) -> Result<Response> {
        match self {
            Self::Server { client, base, token } => {
                if let Some(token) = token {
                    request.headers_mut().insert(AUTHORIZATION, token.clone());
                }
                client.execute(request).await.map_err(|e| broken(base, e))
            }
            Self::InProcess { router, .. } => {
                let request = axum::http::Request::try_from(request)?.map(axum::body::Body::new);
                let response = router.clone().oneshot(request).await?;
                let stream =
                    |body: axum::body::Body| reqwest::Body::wrap_stream(body.into_data_stream());
                Ok(response.map(stream).into())
            }
        }
    }

    /// Leaves the catalogue in order; must be called before an in-process command ends.
    pub async fn close(self) -> Result<()> {
        if let Self::InProcess { app, .. } = self {
            app.shutdown().await.context("the catalogue could not be closed in order")?;
        }
        Ok(())
    }
}

/// A redirect is for the caller to follow, and never with our token.
fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10))
        .user_agent(concat!("hayloft/", env!("CARGO_PKG_VERSION")))
}

/// A client without our token, for the target of a redirect.
pub fn foreign_client() -> Result<reqwest::Client> {
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_mins(1))
        .user_agent(concat!("hayloft/", env!("CARGO_PKG_VERSION")))
        .build()
        .context("cannot set up the HTTP client")
}

fn is_nobody_there(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory
    )
}

fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// reqwest hides the reason of a failure in its sources and shows the URL instead.
fn broken(base: &str, e: reqwest::Error) -> anyhow::Error {
    let whom = if base == NO_HOST { "the server on the admin socket" } else { base };
    let what = if e.is_connect() { "cannot connect to" } else { "the connection broke to" };
    anyhow::Error::new(e.without_url()).context(format!("{what} {whom}"))
}

/// From `--token-file`, else `HAYLOFT_TOKEN`.
fn token(file: Option<&Path>) -> Result<Option<HeaderValue>> {
    let token = match file {
        Some(file) => std::fs::read_to_string(file)
            .with_context(|| format!("cannot read the token file {}", file.display()))?,
        None => match std::env::var("HAYLOFT_TOKEN") {
            Ok(token) => token,
            Err(_) => return Ok(None),
        },
    };
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
        .map_err(|_| anyhow::anyhow!("the token holds characters that no token has"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}
