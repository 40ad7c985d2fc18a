//! Listeners and connections: the admin socket first, then the port.

use std::future::{Future, pending};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::body::{Body, HttpBody};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::host;
use super::pace::{Answer, ConnectionLimits, ConnectionPhase, Paced, PacedStream};
use super::site::{Entrance, Site};
use super::tls::Tls;
use crate::app::App;
use crate::config::Config;

/// Bytes that hyper may gather in either direction of one connection, above which it takes no
/// further chunk: a client that stands still pins this and one chunk of a file.
const BUFFER: usize = 128 << 10;
/// Longest header of a request: the longest path, encoded, and plenty of fields.
const HEADER: usize = 32 << 10;
/// Connections open at once on the admin socket.
const ADMIN_CONNECTIONS: usize = 64;
/// How long to wait when the system has no descriptors left for another connection.
const BREATHER: Duration = Duration::from_millis(100);

/// A server that listens.
#[derive(Debug, Clone)]
pub struct Server(Arc<Listening>);

#[derive(Debug)]
struct Listening {
    site: Arc<Site>,
    config: Arc<Config>,
    socket: UnixListener,
    port: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
    /// No new connections and requests.
    closing: CancellationToken,
    /// The deadline has passed: what is still open is cut off.
    ending: CancellationToken,
    connections: TaskTracker,
}

impl Server {
    /// Listens on the admin socket, then on the port. Nothing is answered before `run`.
    pub async fn bind(app: Arc<App>, config: Arc<Config>) -> Result<Self> {
        let tls = config.tls.as_ref().map(Tls::load).transpose()?;
        let socket = bind_socket(&config.admin_socket)
            .with_context(|| format!("admin_socket {}", config.admin_socket.display()))?;
        let port = match TcpListener::bind(config.listen).await {
            Ok(port) => port,
            Err(error) => {
                remove_socket(&config.admin_socket);
                let taken = error.kind() == io::ErrorKind::AddrInUse;
                let hint = if taken { ", which another program has: change `listen`" } else { "" };
                return Err(error).context(format!("cannot listen on {}{hint}", config.listen));
            }
        };
        let address = port.local_addr()?;
        app.address.get_or_init(|| address);
        tracing::debug!(%address, tls = tls.is_some(), "bound");
        Ok(Self(Arc::new(Listening {
            site: Site::new(app),
            config,
            socket,
            port,
            address,
            tls,
            closing: CancellationToken::new(),
            ending: CancellationToken::new(),
            connections: TaskTracker::new(),
        })))
    }

    /// The port's address, with the number that the system chose for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.address
    }

    pub(super) fn site(&self) -> &Arc<Site> {
        &self.0.site
    }

    /// Ends what is still open without waiting for it.
    pub(super) fn cut_off(&self) {
        self.0.ending.cancel();
    }

    /// Reads the certificate again.
    pub(super) fn reload(&self) {
        match self.0.tls.as_ref().map(Tls::reload) {
            Some(Ok(())) => tracing::info!("SIGHUP: certificate reloaded"),
            Some(Err(error)) => {
                let error = format!("{error:#}");
                tracing::error!(error, "SIGHUP: the certificate stays");
            }
            None => {}
        }
    }

    /// Accepts connections until `stop` is ready; then requests under way may end within
    /// `limits.shutdown_timeout`.
    pub(super) async fn serve(&self, stop: impl Future<Output = ()>) {
        let listening = &self.0;
        listening.site.set_listening(true);
        tokio::select! {
            () = listening.accept_admins() => {}
            () = listening.accept_clients() => {}
            () = stop => {}
        }
        listening.site.set_listening(false);
        remove_socket(&listening.config.admin_socket);
        listening.closing.cancel();
        listening.connections.close();
        let patience = listening.config.limits.shutdown_timeout;
        // A run ends between files meanwhile; whoever closes the app waits for it.
        let ended = async {
            tokio::join!(listening.connections.wait(), listening.site.app.maintenance.shutdown())
        };
        if tokio::time::timeout(patience, ended).await.is_err() {
            let left = listening.connections.len();
            tracing::warn!(left, "connections are cut off: they did not end in time");
            listening.ending.cancel();
            listening.connections.wait().await;
        }
    }
}

impl Listening {
    async fn accept_admins(self: &Arc<Self>) {
        let slots = Arc::new(Semaphore::new(ADMIN_CONNECTIONS));
        loop {
            let slot = free(&slots).await;
            match self.socket.accept().await {
                Ok((stream, _)) => {
                    let this = Arc::clone(self);
                    self.connections.spawn(async move {
                        this.converse(stream, Entrance::Socket, None).await;
                        drop(slot);
                    });
                }
                Err(error) => wait_out(&error).await,
            }
        }
    }

    async fn accept_clients(self: &Arc<Self>) {
        let slots = Arc::new(Semaphore::new(self.config.limits.max_connections));
        loop {
            let slot = free(&slots).await;
            match self.port.accept().await {
                Ok((stream, peer)) => {
                    let this = Arc::clone(self);
                    self.connections.spawn(async move {
                        this.greet(stream, peer.ip()).await;
                        drop(slot);
                    });
                }
                Err(error) => wait_out(&error).await,
            }
        }
    }

    /// Sets a client's connection up.
    async fn greet(&self, stream: TcpStream, peer: IpAddr) {
        // With Nagle on, every small answer on a kept connection waits for a delayed ACK.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection ended before it began");
            return;
        }
        let Some(tls) = &self.tls else {
            return self.converse(stream, Entrance::Port, Some(peer)).await;
        };
        let patience = self.config.limits.header_timeout;
        let handshake = tls.acceptor().accept(stream);
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(patience, handshake) => shaken,
            () = self.closing.cancelled() => return,
        };
        match shaken {
            Ok(Ok(stream)) => self.converse(stream, Entrance::Port, Some(peer)).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS connection came about"),
            Err(_) => tracing::debug!(%peer, "no TLS connection came about in time"),
        }
    }

    /// Speaks HTTP until the connection ends.
    async fn converse<S>(&self, stream: S, door: Entrance, peer: Option<IpAddr>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let of_config = &self.config.limits;
        let limits = ConnectionLimits {
            header: of_config.header_timeout,
            idle: of_config.idle_timeout,
            body: of_config.body_timeout,
        };
        let phase = Arc::new(ConnectionPhase::default());
        let stream = TokioIo::new(PacedStream::new(stream, Arc::clone(&phase), limits));
        let site = &self.site;
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let (site, busy) = (Arc::clone(site), phase.begin());
            let of_body = phase.busy();
            async move {
                let request = request.map(|incoming| {
                    if incoming.is_end_stream() {
                        Body::empty()
                    } else {
                        Body::new(Paced::new(incoming, limits.body, of_body))
                    }
                });
                let response = match host::check(&request) {
                    Ok(()) => site.handle(request, door, peer).await,
                    Err(failure) => failure.into_response(),
                };
                Ok::<_, std::convert::Infallible>(response.map(|body| Answer::new(body, busy)))
            }
        });
        let connection = http1::Builder::new()
            .header_read_timeout(None)
            // A client may say that it sends no more and still wait for its answer (RFC 9112 section
            // 9.6); one that is gone is noticed by the next write.
            .half_close(true)
            .max_buf_size(BUFFER)
            .max_header_size(HEADER)
            .serve_connection(stream, service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.ending.cancelled() => return,
            () = self.closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = self.ending.cancelled() => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(?peer, %error, "a connection broke");
        }
    }
}

/// Waits for room for one more connection.
async fn free(slots: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    match Arc::clone(slots).acquire_owned().await {
        Ok(slot) => slot,
        // The semaphore is never closed.
        Err(_) => pending().await,
    }
}

async fn wait_out(error: &io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    tokio::time::sleep(BREATHER).await;
}

/// Commands that find no socket need not find out that nobody listens.
fn remove_socket(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::debug!(%error, "the admin socket could not be removed");
    }
}

/// Listens on a UNIX socket for its owner and group. A socket that nobody listens on any more is
/// replaced.
fn bind_socket(path: &Path) -> Result<UnixListener> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).context(
            "its directory cannot be created: create it for this user, or set admin_socket \
             (HAYLOFT_ADMIN_SOCKET) to a path in a directory of this user",
        )?;
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => bail!("something else is at this path"),
        Ok(_) => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                bail!("another server listens there");
            }
            std::fs::remove_file(path).context("a stale socket cannot be replaced")?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}
