//! A server in this process, and a client that sends exactly what it is told to.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hayloft::api::Role as TokenRole;
use hayloft::app::{App, Role};
use hayloft::catalogue::{CatalogueError, Token};
use hayloft::config::Config;
use hayloft::domain::{
    BackendConfig, Link, LocalConfig, Policy, Scope, ScopeId, ScopeName, Store, StoreId, StoreName,
    Timestamp,
};
use hayloft::server::Server;
use hayloft::transfer::marker_of;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running server.
pub struct Bench {
    pub app: Arc<App>,
    pub address: SocketAddr,
    pub socket: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
    dir: TempDir,
}

/// Tokens as `hl_<id>_<secret>` of the roles that every bench has.
pub const ADMIN: &str = "hl_admin_secret";
pub const WRITER: &str = "hl_writer_secret";
pub const READER: &str = "hl_reader_secret";
/// May write in scope `s` only.
pub const OF_S: &str = "hl_ofs_secret";
pub const EXPIRED: &str = "hl_old_secret";

impl Bench {
    /// A scope `s` with a store `main`, and a scope `open` with `public_read`.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(adjust: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut config = Config {
            data_dir: dir.path().join("data"),
            listen: "127.0.0.1:0".parse().expect("an address"),
            admin_socket: dir.path().join("run/admin.sock"),
            ..Config::default()
        };
        config.limits.shutdown_timeout = Duration::from_secs(5);
        adjust(&mut config);
        let config = Arc::new(config);
        let app = App::open(Arc::clone(&config), Role::Server).await.expect("an instance");
        let server = Server::bind(Arc::clone(&app), Arc::clone(&config)).await.expect("a server");
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async move {
            stopped.await.ok();
        }));
        let socket = config.admin_socket.clone();
        let bench = Self { app, address, socket, stop: Some(stop), running: Some(running), dir };
        bench.furnish().await;
        bench
    }

    async fn furnish(&self) {
        self.scope("s", false).await;
        self.scope("open", true).await;
        self.store("main", None).await;
        self.link("s", "main", Some(100), Policy::default()).await;
        self.link("open", "main", Some(100), Policy::default()).await;
        let s = self.scope_id("s");
        self.token("admin", TokenRole::Admin, None, None).await;
        self.token("writer", TokenRole::Write, None, None).await;
        self.token("reader", TokenRole::Read, None, None).await;
        self.token("ofs", TokenRole::Write, Some(s), None).await;
        self.token("old", TokenRole::Admin, None, Some(Timestamp(1))).await;
    }

    pub fn scope_id(&self, name: &str) -> ScopeId {
        self.app.catalogue.settings().topology.scope(name).expect("a scope").id
    }

    pub fn store_id(&self, name: &str) -> StoreId {
        self.app.catalogue.settings().topology.store(name).expect("a store").id
    }

    pub fn root(&self, store: &str) -> PathBuf {
        self.dir.path().join(store)
    }

    pub async fn scope(&self, name: &str, public_read: bool) {
        let name = ScopeName::new(name).expect("a name");
        let job = move |tx: &mut hayloft::catalogue::Tx<'_>| {
            let scope = Scope {
                id: tx.new_scope_id()?,
                name: name.clone(),
                public_read,
                created_at: tx.now(),
            };
            tx.put_scope(scope)
        };
        self.app.catalogue.write::<_, CatalogueError, _>(job).await.expect("a scope");
    }

    pub async fn store(&self, name: &str, max_size: Option<u64>) {
        let root = self.root(name);
        std::fs::create_dir_all(&root).expect("a root");
        self.store_of(name, max_size, BackendConfig::Local(LocalConfig { root })).await;
        self.mark(name).await;
    }

    /// Writes the store's marker.
    pub async fn mark(&self, name: &str) {
        let settings = self.app.catalogue.settings();
        let store = settings.topology.store(name).expect("a store");
        let open = self.app.transfer.stores.get(store.id).expect("a backend");
        let marker = marker_of(self.app.catalogue.instance(), store);
        open.backend.write_marker(&marker).await.expect("a marker");
    }

    pub async fn store_of(&self, name: &str, max_size: Option<u64>, backend: BackendConfig) {
        let name = StoreName::new(name).expect("a name");
        let job = move |tx: &mut hayloft::catalogue::Tx<'_>| {
            let store = Store {
                id: tx.new_store_id()?,
                name: name.clone(),
                uid: format!("uid-of-{name}"),
                backend: backend.clone(),
                instance_wide: true,
                soft_max_size: None,
                max_size,
                generation: 1,
                created_at: tx.now(),
            };
            tx.put_store(store)
        };
        self.app.catalogue.write::<_, CatalogueError, _>(job).await.expect("a store");
    }

    pub async fn link(&self, scope: &str, store: &str, priority: Option<i32>, policy: Policy) {
        let (scope, store) = (self.scope_id(scope), self.store_id(store));
        let job = move |tx: &mut hayloft::catalogue::Tx<'_>| {
            tx.put_link(Link {
                scope,
                store,
                upload_priority: priority,
                download_priority: None,
                policy: policy.clone(),
                created_at: tx.now(),
            })
        };
        self.app.catalogue.write::<_, CatalogueError, _>(job).await.expect("a link");
    }

    async fn token(
        &self,
        id: &str,
        role: TokenRole,
        scope: Option<ScopeId>,
        expires_at: Option<Timestamp>,
    ) {
        let token = Token {
            id: id.to_owned(),
            name: id.to_owned(),
            role,
            scope,
            secret: crate::support::digest(b"secret"),
            created_at: Timestamp(0),
            expires_at,
            last_used: None,
        };
        let job = move |tx: &mut hayloft::catalogue::Tx<'_>| tx.put_token(token.clone());
        self.app.catalogue.write::<_, CatalogueError, _>(job).await.expect("a token");
    }

    /// A request as the instance's writer.
    pub fn ask(&self, method: &str, target: &str) -> Ask {
        self.ask_as(Some(WRITER), method, target)
    }

    pub fn ask_as(&self, token: Option<&str>, method: &str, target: &str) -> Ask {
        let ask = Ask {
            address: self.address,
            head: format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.address),
            body: Vec::new(),
        };
        match token {
            Some(token) => ask.with("Authorization", &format!("Bearer {token}")),
            None => ask,
        }
    }

    pub async fn put(&self, target: &str, body: &[u8]) -> Reply {
        self.ask("PUT", target).body(body).send().await
    }

    pub async fn get(&self, target: &str) -> Reply {
        self.ask("GET", target).send().await
    }

    /// A request over the admin socket.
    pub async fn over_socket(&self, method: &str, target: &str) -> Reply {
        let mut stream = UnixStream::connect(&self.socket).await.expect("the admin socket");
        let text = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await.expect("a request");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.expect("an answer");
        Reply::read(&all)
    }

    /// Stops the server and closes the instance.
    pub async fn stop(mut self) {
        self.stop.take().map(|stop| stop.send(()));
        if let Some(running) = self.running.take() {
            running.await.expect("the server ends");
        }
        self.app.shutdown().await.expect("closed in order");
    }
}

/// A request in the making, sent as it stands.
pub struct Ask {
    address: SocketAddr,
    pub head: String,
    pub body: Vec<u8>,
}

impl Ask {
    pub fn with(mut self, name: &str, value: &str) -> Self {
        write!(self.head, "{name}: {value}\r\n").expect("text");
        self
    }

    /// Adds the body with its length.
    pub fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        let length = body.len().to_string();
        self.with("Content-Length", &length)
    }

    /// Adds the body in chunks.
    pub fn chunked(mut self, chunks: &[&[u8]]) -> Self {
        for chunk in chunks {
            self.body.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
            self.body.extend_from_slice(chunk);
            self.body.extend(b"\r\n");
        }
        self.body.extend(b"0\r\n\r\n");
        self.with("Transfer-Encoding", "chunked")
    }

    /// Opens a connection and sends the head only.
    pub async fn open(&self) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        stream.write_all(self.head.as_bytes()).await.expect("a head");
        stream.write_all(b"\r\n").await.expect("a head");
        stream
    }

    pub async fn send(self) -> Reply {
        let ask = self.with("Connection", "close");
        let mut stream = ask.open().await;
        // A refusal may come, and the connection end, while we still write.
        stream.write_all(&ask.body).await.ok();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.expect("an answer");
        Reply::read(&all)
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn read(all: &[u8]) -> Self {
        let end = all.windows(4).position(|w| w == b"\r\n\r\n").expect("the end of the head");
        let head = std::str::from_utf8(&all[..end]).expect("text");
        let mut lines = head.split("\r\n");
        let status = lines.next().expect("a status line").split(' ').nth(1).expect("a status");
        let headers = lines.map(|line| line.split_once(": ").expect("a header"));
        Self {
            status: status.parse().expect("a number"),
            headers: headers.map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned())).collect(),
            body: all[end + 4..].to_vec(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The status, and the kind of the problem when the answer is one.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let json = self.json();
        assert_eq!(json["status"], self.status);
        assert!(!json["title"].as_str().expect("a title").is_empty());
        assert!(!json["detail"].as_str().expect("a detail").is_empty());
        (self.status, json["type"].as_str().expect("a type").to_owned())
    }
}
