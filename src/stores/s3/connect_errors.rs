//! What it means that no answer came: which part of the endpoint is wrong, and how that is known.

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::Url;
use rustls::CertificateError;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::S3Store;
use super::diagnosis::{CallError, Doubt, Kind};
use crate::domain::StoreProblem;

/// How long a second look at the endpoint may take.
const LOOK: Duration = Duration::from_secs(5);

impl CallError {
    /// The connection could not be made or was lost.
    pub(super) fn transport(error: reqwest::Error) -> Self {
        let url = error.url().cloned();
        let at = url.as_ref().map_or_else(|| "the endpoint".to_owned(), origin);
        let (connect, late) = (error.is_connect(), error.is_timeout());
        let error = error.without_url();
        if let Some(tls) = causes(&error).into_iter().find_map(tls_error) {
            return Self::wide(tls_problem(tls, at)).known_by(tls.to_string());
        }
        let found =
            if connect { unconnected(&error, at, url.as_ref(), late) } else { broken(&error, at) };
        Self { stalled: late, ..found.known_by(innermost(&error)) }
    }
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// The error and everything below it. The sources of an I/O error begin below what it wraps.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut all = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        all.push(cause);
        let wrapped = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => cause.source(),
        };
    }
    all
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

fn tls_error<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    cause.downcast_ref::<rustls::Error>()
}

fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let kinds = causes(error).into_iter().filter_map(|c| c.downcast_ref::<io::Error>());
    kinds.map(io::Error::kind).last()
}

fn unconnected(
    error: &(dyn Error + 'static),
    at: String,
    url: Option<&Url>,
    late: bool,
) -> CallError {
    let is_dns = causes(error).iter().any(|c| c.to_string().starts_with("dns error"));
    let (problem, doubt) = if is_dns {
        let host = url.and_then(Url::host_str).map_or(at, str::to_owned);
        (StoreProblem::HostUnknown { host }, Some(Doubt::Host))
    } else if late {
        let doubt = at.starts_with("https:").then_some(Doubt::Secure);
        (StoreProblem::NothingAnswers { at }, doubt)
    } else {
        (no_way(error, at), None)
    };
    CallError::wide(problem).passing().doubted(doubt)
}

fn no_way(error: &(dyn Error + 'static), at: String) -> StoreProblem {
    match io_kind(error) {
        Some(io::ErrorKind::ConnectionRefused) => StoreProblem::NothingListens { at },
        Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
            StoreProblem::NoRoute { at }
        }
        _ => StoreProblem::NotConnected { at },
    }
}

/// The connection was made, and no whole answer came over it.
fn broken(error: &(dyn Error + 'static), at: String) -> CallError {
    let hyper = causes(error).into_iter().find_map(|c| c.downcast_ref::<hyper::Error>());
    let is_plain = at.starts_with("http:");
    if hyper.is_some_and(hyper::Error::is_parse) {
        let doubt = is_plain.then_some(Doubt::Plain);
        return CallError::wide(StoreProblem::NotHttp { at }).doubted(doubt);
    }
    let unanswered = hyper.is_some_and(hyper::Error::is_incomplete_message)
        || io_kind(error) == Some(io::ErrorKind::ConnectionReset);
    let doubt = (is_plain && unanswered).then_some(Doubt::Plain);
    CallError::wide(StoreProblem::ConnectionBroke { at }).passing().doubted(doubt)
}

fn tls_problem(error: &rustls::Error, at: String) -> StoreProblem {
    use CertificateError as Bad;
    match error {
        rustls::Error::InvalidMessage(_) => StoreProblem::SpeaksNoTls { at },
        rustls::Error::InvalidCertificate(Bad::UnknownIssuer) => {
            StoreProblem::AuthorityUnknown { at }
        }
        rustls::Error::InvalidCertificate(
            Bad::Expired
            | Bad::ExpiredContext { .. }
            | Bad::NotValidYet
            | Bad::NotValidYetContext { .. },
        ) => StoreProblem::CertificateNotValidNow { at },
        rustls::Error::InvalidCertificate(
            Bad::NotValidForName | Bad::NotValidForNameContext { .. },
        ) => StoreProblem::CertificateForOtherName { at },
        rustls::Error::InvalidCertificate(_) => StoreProblem::CertificateNotAccepted { at },
        _ => StoreProblem::TlsFailed { at },
    }
}

impl S3Store {
    /// Looks once more where the first answer left two explanations.
    pub(super) async fn explain(&self, error: CallError) -> CallError {
        let doubt = error.doubt.filter(|_| error.kind == Kind::StoreWide);
        let better = match doubt {
            None => None,
            Some(Doubt::Host) => self.is_only_the_bucket_unknown().await,
            Some(Doubt::Plain) => self.is_it_tls().await,
            Some(Doubt::Secure) => self.is_it_plain().await,
        };
        better.unwrap_or(error)
    }

    /// The endpoint's own host is known, and only the bucket before it is not.
    async fn is_only_the_bucket_unknown(&self) -> Option<CallError> {
        let (bucket, endpoint) = self.client.place().bucket_host()?;
        let host = endpoint.to_owned();
        let found = timeout(LOOK, lookup_host((host, 443))).await.ok()?.ok()?.next();
        found.map(|_| {
            let (bucket, evidence) = (bucket.to_owned(), format!("{endpoint} alone is one"));
            let endpoint = endpoint.to_owned();
            CallError::wide(StoreProblem::BucketHostUnknown { bucket, endpoint }).known_by(evidence)
        })
    }

    async fn is_it_plain(&self) -> Option<CallError> {
        let secure = self.client.place().base();
        let plain = secure.replacen("https:", "http:", 1);
        let answer = timeout(LOOK, self.client.knock(&plain)).await.ok()?;
        answer.is_ok().then(|| {
            CallError::wide(StoreProblem::SpeaksNoTls { at: secure.to_owned() })
                .known_by("plain HTTP was answered there")
        })
    }

    async fn is_it_tls(&self) -> Option<CallError> {
        let plain = self.client.place().base();
        let secure = plain.replacen("http:", "https:", 1);
        // Any answer, and any complaint about a certificate, is one of TLS.
        let speaks = match timeout(LOOK, self.client.knock(&secure)).await.ok()? {
            Ok(()) => true,
            Err(error) => causes(&error)
                .into_iter()
                .find_map(tls_error)
                .is_some_and(|e| !matches!(e, rustls::Error::InvalidMessage(_))),
        };
        speaks.then(|| {
            CallError::wide(StoreProblem::SpeaksTls { at: plain.to_owned() })
                .known_by("a TLS handshake was answered there")
        })
    }
}
