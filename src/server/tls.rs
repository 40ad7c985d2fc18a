//! The certificate: read at start, and again at SIGHUP.

use std::fs;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, Result};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config;

/// What new connections are encrypted with.
#[derive(Debug)]
pub struct Tls {
    files: config::Tls,
    current: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    pub fn load(files: &config::Tls) -> Result<Self> {
        let current = RwLock::new(Arc::new(read(files)?));
        Ok(Self { files: files.clone(), current })
    }

    /// Reads the files again; when they are bad, everything stays as it was.
    pub fn reload(&self) -> Result<()> {
        let fresh = Arc::new(read(&self.files)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    pub fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current))
    }
}

/// Reads the files as a start would.
pub fn check(files: &config::Tls) -> Result<()> {
    read(files).map(drop)
}

fn read(files: &config::Tls) -> Result<ServerConfig> {
    let chain = certificates(&files.certificate)
        .with_context(|| format!("tls.certificate: {}", files.certificate.display()))?;
    let key =
        private_key(&files.key).with_context(|| format!("tls.key: {}", files.key.display()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("the certificate and the key do not belong together")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = fs::read(path).context("it cannot be read")?;
    let chain: Vec<_> = rustls_pemfile::certs(&mut pem.as_slice()).collect::<Result<_, _>>()?;
    anyhow::ensure!(!chain.is_empty(), "it holds no certificate in PEM format");
    Ok(chain)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let pem = fs::read(path).context("it cannot be read")?;
    let key = rustls_pemfile::private_key(&mut pem.as_slice())?;
    key.context("it holds no private key in PEM format")
}
