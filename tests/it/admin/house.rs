//! An instance in this process, spoken to through the admin router.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use bytes::Bytes;
use futures_util::StreamExt;
use hayloft::app::{App, Role};
use hayloft::clock::Clock;
use hayloft::config::{Config, Schedule};
use hayloft::domain::{FilePath, ScopeName, Timestamp};
use hayloft::ops::Actor;
use hayloft::server::admin;
use hayloft::transfer::{Condition, Declared, Delivery, Read, UploadRequest};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::stream_of;

/// A status and the JSON that came with it.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub headers: BTreeMap<String, String>,
}

impl Answer {
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{} {:#}", self.status, self.body);
        self.body
    }

    /// Asserts a refusal of that status and kind; returns its detail.
    #[track_caller]
    pub fn refused(&self, status: u16, kind: &str) -> String {
        assert_eq!((self.status, self.body["type"].as_str()), (status, Some(kind)), "{self:#?}");
        self.body["detail"].as_str().expect("a detail").to_owned()
    }
}

pub struct House {
    pub dir: tempfile::TempDir,
    pub app: Arc<App>,
    pub clock: Clock,
    config: Arc<Config>,
}

impl House {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut config = Config { data_dir: dir.path().join("data"), ..Config::default() };
        config.maintenance.schedule = Schedule::Off;
        let config = Arc::new(config);
        let clock = Clock::manual(Timestamp(1_800_000_000_000_000));
        let app = App::open_at(Arc::clone(&config), Role::Server, clock.clone()).await;
        Self { dir, app: app.expect("an instance"), clock, config }
    }

    /// Closes the instance and opens it again.
    pub async fn reopen(self) -> Self {
        self.app.shutdown().await.expect("an orderly end");
        let Self { dir, app, clock, config } = self;
        drop(app);
        let app = App::open_at(Arc::clone(&config), Role::Server, clock.clone()).await;
        Self { dir, app: app.expect("an instance"), clock, config }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub async fn ask_as(
        &self,
        actor: Actor,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let bytes = body.map_or_else(Body::empty, |b| Body::from(b.to_string()));
        let mut request = Request::builder().method(method).uri(path).body(bytes).expect("built");
        request.extensions_mut().insert(actor);
        let router = admin::router().with_state(Arc::clone(&self.app));
        let response = router.oneshot(request).await.expect("infallible");
        let status = response.status().as_u16();
        let text = |v: &axum::http::HeaderValue| v.to_str().unwrap_or_default().to_owned();
        let headers = response.headers().iter().map(|(k, v)| (k.to_string(), text(v))).collect();
        let body = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        let body = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&body).expect("every answer is JSON")
        };
        Answer { status, body, headers }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let path = format!("/api/v1/{path}");
        self.ask_as(Actor::instance_admin("test"), method, &path, body).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::PUT, path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::PATCH, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path, None).await
    }

    /// A local store in a directory of that name.
    pub async fn store(&self, name: &str) -> Value {
        let root = self.path(name);
        self.post("stores", json!({"name": name, "backend": "local", "root": root})).await.ok()
    }

    pub async fn scope(&self, name: &str, stores: &[&str]) -> Value {
        self.post("scopes", json!({"name": name, "stores": stores})).await.ok()
    }

    pub async fn link(&self, scope: &str, store: &str) -> Value {
        self.get(&format!("scopes/{scope}/stores/{store}")).await.ok()
    }

    pub async fn edit(&self, scope: &str, store: &str, change: Value) -> Answer {
        self.patch(&format!("scopes/{scope}/stores/{store}"), change).await
    }

    pub async fn upload(&self, scope: &str, path: &str, body: &Bytes) {
        let topology = &self.app.catalogue.settings().topology;
        let request = UploadRequest {
            scope: topology.scope(scope).expect("the scope").id,
            path: FilePath::new(path).expect("a path"),
            size: Some(body.len() as u64),
            content_type: "text/plain".to_owned(),
            declared: Declared::default(),
            condition: Condition::None,
        };
        let admission = self.app.transfer.admit(request).await.expect("admitted");
        self.app.transfer.receive(admission, stream_of(body.clone())).await.expect("stored");
    }

    /// The file's bytes, or why it cannot be read.
    pub async fn read(&self, scope: &str, path: &str) -> Result<Bytes, String> {
        let settings = self.app.catalogue.settings();
        let scope = settings.topology.scope(scope).expect("the scope").id;
        let file = {
            let snapshot = self.app.catalogue.snapshot().expect("a snapshot");
            let path = FilePath::new(path).expect("a path");
            let entry = snapshot.entry(scope, &path).expect("read").ok_or("no entry")?;
            snapshot.file(entry.file).expect("read").expect("a file")
        };
        match self.app.transfer.open(scope, &file, &Read::default()).await {
            Ok(Delivery::Body(download)) => {
                let chunks: Vec<_> = download.stream.collect().await;
                let chunks: Result<Vec<_>, _> = chunks.into_iter().collect();
                Ok(chunks.map_err(|e| e.to_string())?.concat().into())
            }
            Ok(Delivery::Redirect(url)) => Err(url),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Deletes a file as `DELETE /files/…` does.
    pub async fn remove(&self, scope: &str, path: &str) {
        let name = ScopeName::new(scope).expect("a name");
        let path = FilePath::new(path).expect("a path");
        let deleted = self.app.catalogue.write(move |tx| {
            let scope = tx.topology().scope(name.as_str()).expect("the scope").id;
            tx.remove_entry(scope, &path)
        });
        deleted.await.expect("deleted");
    }

    /// Runs the vacuum to its end and returns the run.
    pub async fn vacuum(&self) -> Value {
        let started = self.post("vacuum/runs", Value::Null).await.ok();
        let path = format!("vacuum/runs/{}?moves=true", started["id"]);
        loop {
            let run = self.get(&path).await.ok();
            if !run["finished_at"].is_null() {
                return run;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
