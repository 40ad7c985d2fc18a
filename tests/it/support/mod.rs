//! What several tests need: stores in memory that fail on command, S3 servers, configurations, bodies.

pub mod faulty;
pub mod instance;
pub mod memory;
pub mod ports;
pub mod s3;
pub mod weed;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use hayloft::domain::{Checksum, Credentials, Digest, S3Config, ServeMode};
use hayloft::stores::{Body, ByteStream, StoreError};

/// A path-style store below `hay/` in `bucket`.
pub fn s3_config(endpoint: &str, bucket: &str, key: &str, secret: &str) -> S3Config {
    S3Config {
        bucket: bucket.to_owned(),
        prefix: "hay/".to_owned(),
        region: "us-east-1".to_owned(),
        endpoint: Some(endpoint.to_owned()),
        public_endpoint: None,
        path_style: true,
        storage_class: None,
        serve: ServeMode::Redirect,
        presign_ttl: 60,
        longest_ttl: 60,
        checksum: Checksum::Sha256,
        credentials: Credentials::Stored {
            access_key_id: key.to_owned(),
            secret_access_key: secret.to_owned(),
        },
    }
}

/// A program of a Debian package: the one that `variable` names, that `make tools` brought or that is
/// installed.
pub fn debian_tool(variable: &str, path: &str) -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/debian");
    let named = std::env::var_os(variable).map(PathBuf::from);
    let mut places = named.into_iter().chain([tools.join(path), Path::new("/").join(path)]);
    places
        .find(|place| place.is_file())
        .unwrap_or_else(|| panic!("{path} is not here: `make tools` brings it"))
}

/// Bytes that look random and differ by `seed`.
pub fn bytes(seed: u64, len: usize) -> Bytes {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out.into()
}

pub fn digest(bytes: &[u8]) -> Digest {
    Digest(*blake3::hash(bytes).as_bytes())
}

/// `ab/cd/<64 hex>`, written down once more so that a change of layout is noticed.
pub fn object_name(digest: &Digest) -> String {
    let hex = digest.to_hex();
    format!("{}/{}/{hex}", &hex[..2], &hex[2..4])
}

/// The bytes in chunks of 100,000, as a transfer would bring them.
pub fn stream_of(bytes: Bytes) -> ByteStream {
    Box::pin(stream::unfold(bytes, |mut rest| async move {
        let chunk = rest.split_to(rest.len().min(100_000));
        (!chunk.is_empty()).then_some((Ok(chunk), rest))
    }))
}

pub fn body_of(bytes: &Bytes) -> Body {
    Body::Stream(stream_of(bytes.clone()))
}

/// Everything a body yields, or its error.
pub async fn read_all(mut body: ByteStream) -> Result<Vec<u8>, StoreError> {
    let mut all = Vec::new();
    while let Some(chunk) = body.next().await {
        all.extend_from_slice(&chunk?);
    }
    Ok(all)
}

/// A small generator: the same rolls for the same seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.roll(all.len() as u64)).expect("small")]
    }
}
