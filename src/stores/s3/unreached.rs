//! What it means that no answer came: which part of the endpoint is wrong, and how that is known.

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::Url;
use rustls::CertificateError;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::S3Store;
use super::trouble::{Doubt, Kind, TRY_LATER, Trouble};

/// How long a second look at the endpoint may take.
const LOOK: Duration = Duration::from_secs(5);
const CORRECT: &str = "correct host and port of --endpoint, or start the service there";

impl Trouble {
    /// The connection could not be made or was lost.
    pub(super) fn transport(error: reqwest::Error) -> Self {
        let url = error.url().cloned();
        let whom = url.as_ref().map_or_else(|| "the endpoint".to_owned(), origin);
        let (connect, late) = (error.is_connect(), error.is_timeout());
        let error = error.without_url();
        let text = innermost(&error);
        if let Some(tls) = causes(&error).into_iter().find_map(tls_error) {
            return tls_trouble(tls, &whom);
        }
        let mut trouble = if connect {
            unconnected(&error, &whom, url.as_ref(), late)
        } else {
            broken(&error, &whom)
        };
        if trouble.evidence.is_empty() {
            trouble.evidence = text;
        }
        trouble.stalled = late;
        trouble
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
    whom: &str,
    url: Option<&Url>,
    late: bool,
) -> Trouble {
    let is_dns = causes(error).iter().any(|c| c.to_string().starts_with("dns error"));
    if is_dns {
        let host = url.and_then(Url::host_str).unwrap_or(whom);
        let problem = format!("the endpoint is wrong: there is no host named {host}");
        let remedy = "correct --endpoint, or the name service of this machine";
        let mut trouble = Trouble::wide(problem, remedy).passing();
        trouble.doubt = Some(Doubt::Host);
        return trouble;
    }
    if late {
        let problem = format!("the endpoint is wrong or down: nothing answers at {whom}");
        let remedy = "check host and port of --endpoint, and the firewalls on the way";
        let mut trouble = Trouble::wide(problem, remedy).passing();
        trouble.doubt = whom.starts_with("https:").then_some(Doubt::Secure);
        return trouble;
    }
    match io_kind(error) {
        Some(io::ErrorKind::ConnectionRefused) => {
            let problem = format!("the endpoint is wrong or down: nothing listens at {whom}");
            Trouble::wide(problem, CORRECT).passing()
        }
        Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => Trouble::wide(
            format!("this machine has no way to {whom}"),
            "check its network and routes, then --endpoint",
        )
        .passing(),
        _ => Trouble::wide(format!("cannot connect to {whom}"), CORRECT).passing(),
    }
}

/// The connection was made, and no whole answer came over it.
fn broken(error: &(dyn Error + 'static), whom: &str) -> Trouble {
    let hyper = causes(error).into_iter().find_map(|c| c.downcast_ref::<hyper::Error>());
    let is_plain = whom.starts_with("http:");
    if hyper.is_some_and(hyper::Error::is_parse) {
        let problem = format!("the endpoint is wrong: what listens at {whom} does not speak HTTP");
        let mut trouble = Trouble::wide(problem, "correct host and port of --endpoint");
        trouble.doubt = is_plain.then_some(Doubt::Plain);
        return trouble;
    }
    let mut trouble = Trouble::wide(format!("the connection broke to {whom}"), TRY_LATER).passing();
    let unanswered = hyper.is_some_and(hyper::Error::is_incomplete_message)
        || io_kind(error) == Some(io::ErrorKind::ConnectionReset);
    trouble.doubt = (is_plain && unanswered).then_some(Doubt::Plain);
    trouble
}

fn tls_trouble(error: &rustls::Error, whom: &str) -> Trouble {
    use CertificateError as Bad;
    let (problem, remedy) = match error {
        rustls::Error::InvalidMessage(_) => (
            format!("the endpoint is wrong: {whom} answers, but does not speak TLS"),
            "say http:// in --endpoint, or the port for https",
        ),
        rustls::Error::InvalidCertificate(Bad::UnknownIssuer) => (
            format!("the certificate of {whom} is signed by an authority unknown here"),
            "install the authority's certificate on this system or name it in SSL_CERT_FILE",
        ),
        rustls::Error::InvalidCertificate(
            Bad::Expired
            | Bad::ExpiredContext { .. }
            | Bad::NotValidYet
            | Bad::NotValidYetContext { .. },
        ) => (
            format!("the certificate of {whom} is not valid at this time"),
            "check this machine's clock first (`date -u`), then the certificate",
        ),
        rustls::Error::InvalidCertificate(
            Bad::NotValidForName | Bad::NotValidForNameContext { .. },
        ) => (
            format!("the endpoint is wrong: the certificate of {whom} is for another name"),
            "correct the host of --endpoint; if it is the bucket's name that does not fit, say \
             --path-style",
        ),
        rustls::Error::InvalidCertificate(_) => (
            format!("the certificate of {whom} is not accepted here"),
            "if it is right, install its authority's certificate on this system or name it in SSL_CERT_FILE",
        ),
        _ => (
            format!("no TLS connection to {whom}"),
            "check that --endpoint is the https port of an S3 service",
        ),
    };
    Trouble::wide(problem, remedy).known_by(error.to_string())
}

impl S3Store {
    /// Looks once more where the first answer left two explanations.
    pub(super) async fn explain(&self, trouble: Trouble) -> Trouble {
        let doubt = trouble.doubt.filter(|_| trouble.kind == Kind::StoreWide);
        let better = match doubt {
            None => None,
            Some(Doubt::Host) => self.is_only_the_bucket_unknown().await,
            Some(Doubt::Plain) => self.is_it_tls().await,
            Some(Doubt::Secure) => self.is_it_plain().await,
        };
        better.unwrap_or(trouble)
    }

    /// The endpoint's own host is known, and only the bucket before it is not.
    async fn is_only_the_bucket_unknown(&self) -> Option<Trouble> {
        let (bucket, endpoint) = self.client.place().bucket_host()?;
        let host = endpoint.to_owned();
        let found = timeout(LOOK, lookup_host((host, 443))).await.ok()?.ok()?.next();
        found.map(|_| {
            Trouble::wide(
                format!("the endpoint does not know buckets by host name: {bucket}.{endpoint} is no host"),
                "say --path-style, so that the bucket is named in the path",
            )
            .known_by(format!("{endpoint} alone is one"))
        })
    }

    async fn is_it_plain(&self) -> Option<Trouble> {
        let secure = self.client.place().base();
        let plain = secure.replacen("https:", "http:", 1);
        let answer = timeout(LOOK, self.client.knock(&plain)).await.ok()?;
        answer.is_ok().then(|| {
            Trouble::wide(
                format!("the endpoint is wrong: {secure} answers, but does not speak TLS"),
                "say http:// in --endpoint, or the port for https",
            )
            .known_by("plain HTTP was answered there")
        })
    }

    async fn is_it_tls(&self) -> Option<Trouble> {
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
            Trouble::wide(
                format!("the endpoint is wrong: {plain} speaks https, not http"),
                "say https:// in --endpoint",
            )
            .known_by("a TLS handshake was answered there")
        })
    }
}
