//! A store in a bucket, below a prefix. The only user of rust-s3, for region and signing.
//!
//! One signed client of ours carries every request (`client`): bodies stream in bounded memory,
//! their SHA-256 is computed once and serves as signed payload digest and as the checksum that the
//! provider verifies, headers and statuses are checked, silence ends a call, failures that pass
//! are tried again.

mod budget;
mod check;
mod client;
mod connect_errors;
mod control;
mod credentials;
mod diagnosis;
mod download;
mod multipart;
mod place;
mod sign;
mod upload;

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Once};
use std::time::Duration;

use async_trait::async_trait;

use super::names::{MARKER, object_name};
use super::{
    Backend, Body, ByteStream, Calls, Marker, ObjectStat, Page, PresignOptions, StepResult,
    StepSeen, StoreError, Stored,
};
use crate::domain::{Checksum, Digest, S3Config, ServeMode, StoreProblem};
use client::Client;
use diagnosis::CallError;
use place::Place;
use sign::Signer;

/// Installs ring as the TLS provider of this process. Calling it again does nothing.
pub fn install_crypto_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error says that a provider is installed already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// A bucket and a prefix as a store.
#[derive(Clone)]
pub struct S3Store {
    client: Arc<Client>,
    /// Where clients reach the bucket, for presigned URLs.
    public: Arc<Place>,
    location: Arc<str>,
    storage_class: Option<Arc<str>>,
    checksum: Checksum,
    serve: ServeMode,
    presign_ttl: Duration,
    /// Bytes of a part of a multipart upload, unless their number demands more.
    smallest_part: u64,
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Store({})", self.location)
    }
}

impl S3Store {
    /// Reads the credentials and prepares a client; does not contact the provider.
    pub fn open(config: &S3Config) -> Result<Self, StoreError> {
        if !config.prefix.is_empty() && !config.prefix.ends_with('/') {
            let (key, why) = (config.prefix.clone(), "it must end in /".to_owned());
            return Err(StoreError::unavailable(StoreProblem::PrefixUnusable { key, why }));
        }
        let place = |endpoint: Option<&str>| {
            Place::new(endpoint, &config.region, &config.bucket, config.path_style)
        };
        let endpoint = config.endpoint.as_deref();
        let signer = Signer::new(credentials::resolve(&config.credentials)?, &config.region);
        let inner = place(endpoint)?;
        inner.object(&format!("{}{MARKER}", config.prefix), &[])?;
        Ok(Self {
            client: Arc::new(Client::new(signer, inner, &config.prefix)?),
            public: Arc::new(place(config.public_endpoint.as_deref().or(endpoint))?),
            location: format!("s3://{}/{}", config.bucket, config.prefix).into(),
            storage_class: config.storage_class.as_deref().map(Arc::from),
            checksum: config.checksum,
            serve: config.serve,
            presign_ttl: Duration::from_secs(u64::from(config.presign_ttl)),
            smallest_part: multipart::SMALLEST_PART,
        })
    }

    /// Sends bigger parts, of at least `bytes` (8 MiB to 5 GiB): fewer requests, and a temporary
    /// file for the parts of a stream when they exceed 16 MiB.
    #[must_use]
    pub fn with_smallest_part(mut self, bytes: u64) -> Self {
        self.smallest_part = bytes.clamp(multipart::SMALLEST_PART, 5 << 30);
        self
    }

    fn key(&self, digest: &Digest) -> String {
        format!("{}{}", self.client.prefix(), object_name(digest))
    }

    fn marker_key(&self) -> String {
        format!("{}{MARKER}", self.client.prefix())
    }

    /// The URL without the check whether this store hands out any.
    fn presigned(&self, key: &str, options: &PresignOptions) -> Result<String, CallError> {
        let mut query = Vec::with_capacity(2);
        if let Some(value) = &options.content_disposition {
            query.push(("response-content-disposition", value.as_str()));
        }
        if let Some(value) = &options.content_type {
            query.push(("response-content-type", value.as_str()));
        }
        let url = self.public.object(key, &query)?;
        self.client.signer().presign(&url, options.ttl.unwrap_or(self.presign_ttl))
    }
}

#[async_trait]
impl Backend for S3Store {
    async fn put(&self, digest: &Digest, size: u64, body: Body) -> Result<Stored, StoreError> {
        self.put_object(digest, size, body).await
    }

    async fn get(
        &self,
        digest: &Digest,
        range: Option<Range<u64>>,
    ) -> Result<ByteStream, StoreError> {
        self.get_object(digest, range).await
    }

    async fn stat(&self, digest: &Digest) -> Result<Option<ObjectStat>, StoreError> {
        match self.head(&self.key(digest)).await? {
            Some(head) => Ok(Some(head.stat)),
            None => Ok(self.require_marker().await.map(|()| None)?),
        }
    }

    async fn delete(&self, digest: &Digest) -> Result<(), StoreError> {
        Ok(self.delete_key(&self.key(digest)).await?)
    }

    async fn list(&self, after: Option<&Digest>, limit: usize) -> Result<Page, StoreError> {
        Ok(self.list_objects(after, limit).await?)
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.list_keys("", 1).await?.contents.is_empty())
    }

    async fn read_marker(&self) -> Result<Option<Marker>, StoreError> {
        Ok(self.fetch_marker().await?)
    }

    async fn write_marker(&self, marker: &Marker) -> Result<(), StoreError> {
        Ok(self.store_marker(marker).await?)
    }

    async fn delete_marker(&self) -> Result<(), StoreError> {
        Ok(self.delete_key(&self.marker_key()).await?)
    }

    async fn clean_unfinished(&self, age: Duration) -> Result<u64, StoreError> {
        self.abort_abandoned(age).await
    }

    fn calls(&self) -> Option<&Calls> {
        Some(self.client.calls())
    }

    async fn presign_get(
        &self,
        digest: &Digest,
        options: PresignOptions,
    ) -> Result<Option<String>, StoreError> {
        match self.serve {
            ServeMode::Redirect => Ok(Some(self.presigned(&self.key(digest), &options)?)),
            ServeMode::Proxy => Ok(None),
        }
    }

    async fn check(&self, expected: Option<&Marker>, seen: StepSeen<'_>) -> Vec<StepResult> {
        check::run(self, expected, seen).await
    }
}
