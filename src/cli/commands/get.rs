//! `hayloft file get` and `hayloft file list`.

use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use reqwest::header::{ETAG, LOCATION};
use reqwest::{Method, Response};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::api::Listing;
use crate::cli::client::{AdminClient, in_path, in_query, with_way_out};
use crate::cli::output::{self, Output, progress};
use crate::cli::transport::foreign_client;
use crate::domain::{Digest, FilePath, ScopeName};
use crate::random;

/// Symbolic links that are followed one after the other, as by Linux.
const LINKS: usize = 40;

/// Entries asked for at once: the server's largest page.
const PAGE: usize = 1000;

pub async fn file(
    client: &AdminClient,
    scope: &ScopeName,
    path: &FilePath,
    target: Option<&Path>,
    proxy: bool,
    output: Output,
) -> Result<()> {
    let url = format!("/files/{scope}/{}", in_path(path.as_str()));
    let download = open(client, &url, proxy, output).await.map_err(|e| with_way_out(e, scope))?;
    let bar = progress::transfer(output, download.body.content_length());
    let expected = download.digest;
    let received = if let Some(target) = target {
        save(download, target, &bar).await?
    } else {
        let stdout = std::io::stdout().as_fd().try_clone_to_owned()?;
        copy(download.body, &mut tokio::fs::File::from_std(stdout.into()), &bar).await?
    };
    bar.finish_and_clear();
    if received != expected {
        bail!(
            "the bytes received are not those of the file: their digest is {received}, not \
             {expected}. hayloft verify --read finds the damaged replica"
        );
    }
    Ok(())
}

/// Writes a file whole or not at all; what is there and no file (a device, a pipe) stays what it is.
async fn save(
    download: OpenDownload,
    target: &Path,
    bar: &indicatif::ProgressBar,
) -> Result<Digest> {
    let there = std::fs::metadata(target).ok();
    if there.as_ref().is_some_and(|there| !there.is_file()) {
        let opened = tokio::fs::OpenOptions::new().write(true).open(target).await;
        let mut file = opened.with_context(|| format!("cannot write {}", target.display()))?;
        return copy(download.body, &mut file, bar).await;
    }
    let mut partial = Partial::create(&followed(target))?;
    if let Some(there) = there {
        partial.file.set_permissions(there.permissions()).await?;
    }
    let received = copy(download.body, &mut partial.file, bar).await?;
    if received == download.digest {
        partial.keep().await?;
    }
    Ok(received)
}

/// What symbolic links lead to, whether it is there or not: a link stays one.
fn followed(target: &Path) -> PathBuf {
    let mut path = target.to_owned();
    for _ in 0..LINKS {
        let Ok(next) = std::fs::read_link(&path) else { break };
        path = path.with_file_name("").join(next);
    }
    path
}

struct OpenDownload {
    body: Response,
    digest: Digest,
}

/// Asks for the file and follows a redirect, without our token. When the redirect's target does
/// not deliver, the server is asked to stream the file itself.
async fn open(
    client: &AdminClient,
    url: &str,
    proxy: bool,
    output: Output,
) -> Result<OpenDownload> {
    let query = if proxy { "?proxy" } else { "" };
    let response = client.send(client.request(Method::GET, &format!("{url}{query}"))?).await?;
    if !response.status().is_redirection() {
        let digest = etag(&response).context("the server's answer has no digest in its ETag")?;
        return Ok(OpenDownload { body: response, digest });
    }
    let digest = match etag(&response) {
        Some(digest) => digest,
        None => etag(&client.send(client.request(Method::HEAD, url)?).await?)
            .context("the server's answer has no digest in its ETag")?,
    };
    match redirected(&response).await {
        Ok(body) => Ok(OpenDownload { body, digest }),
        Err(e) => {
            output.note(&format!("The redirect failed ({e:#}); reading through the server."));
            let request = client.request(Method::GET, &format!("{url}?proxy"))?;
            Ok(OpenDownload { body: client.send(request).await?, digest })
        }
    }
}

async fn redirected(response: &Response) -> Result<Response> {
    let location = response.headers().get(LOCATION).and_then(|l| l.to_str().ok());
    let location = location.context("it names no location")?;
    // The URL is a key to the file: an error must not show it.
    let body = foreign_client()?.get(location).send().await.map_err(reqwest::Error::without_url)?;
    if body.status() != reqwest::StatusCode::OK {
        bail!("its target answered {}", body.status());
    }
    Ok(body)
}

/// Our `ETag` is the quoted digest.
fn etag(response: &Response) -> Option<Digest> {
    response.headers().get(ETAG)?.to_str().ok()?.trim_matches('"').parse().ok()
}

/// Writes the body and hashes it on the way.
async fn copy(
    body: Response,
    to: &mut (impl AsyncWrite + Unpin),
    bar: &indicatif::ProgressBar,
) -> Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    let mut chunks = body.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(reqwest::Error::without_url);
        let chunk = chunk.context("the download was cut short")?;
        hasher.update(&chunk);
        to.write_all(&chunk).await?;
        bar.inc(chunk.len() as u64);
    }
    to.flush().await?;
    Ok(Digest(*hasher.finalize().as_bytes()))
}

/// A file being written beside its target; removed unless it is kept.
struct Partial {
    file: tokio::fs::File,
    beside: PathBuf,
    target: PathBuf,
    kept: bool,
}

impl Partial {
    fn create(target: &Path) -> Result<Self> {
        target.file_name().context("-o names no file")?;
        // A short name of its own: the target's may be as long as the file system takes.
        let beside = target.with_file_name(format!(".hayloft-{}.partial", random::hex(8)));
        let file = std::fs::File::create_new(&beside)
            .with_context(|| format!("cannot write {}", beside.display()))?;
        Ok(Self { file: file.into(), beside, target: target.to_owned(), kept: false })
    }

    async fn keep(mut self) -> Result<()> {
        let cannot = || format!("cannot write {}", self.target.display());
        self.file.sync_all().await.with_context(cannot)?;
        std::fs::rename(&self.beside, &self.target).with_context(cannot)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.kept
            && let Err(e) = std::fs::remove_file(&self.beside)
        {
            let file = self.beside.display();
            tracing::warn!(%file, error = %e, "a temporary file cannot be removed");
        }
    }
}

/// Prints page after page, so that memory does not grow with the scope.
pub async fn list(
    client: &AdminClient,
    scope: &ScopeName,
    prefix: &str,
    output: Output,
) -> Result<()> {
    // Before anything is printed: a refusal is the whole answer.
    let mut page = next_page(client, scope, prefix, None).await?;
    let mut out = std::io::BufWriter::new(std::io::stdout());
    let mut first = true;
    if output.json {
        write!(out, "{{\"entries\":[")?;
    }
    loop {
        for entry in &page.entries {
            if output.json {
                let comma = if std::mem::take(&mut first) { "" } else { "," };
                write!(out, "{comma}{}", serde_json::to_string(entry)?)?;
            } else {
                let (size, time) = (output::bytes(entry.size), output::time(entry.created_at));
                writeln!(out, "{size:>9}  {time}  {}", entry.path)?;
            }
        }
        out.flush()?;
        let Some(after) = page.next else { break };
        page = next_page(client, scope, prefix, Some(&after)).await?;
    }
    if output.json {
        writeln!(out, "],\"next\":null}}")?;
    }
    Ok(out.flush()?)
}

async fn next_page(
    client: &AdminClient,
    scope: &ScopeName,
    prefix: &str,
    after: Option<&str>,
) -> Result<Listing> {
    let after = after.map(|after| format!("&after={}", in_query(after))).unwrap_or_default();
    let url = format!("/files/{scope}/?limit={PAGE}&prefix={}{after}", in_query(prefix));
    let response = client.send(client.request(Method::GET, &url)?).await;
    let response = response.map_err(|e| with_way_out(e, scope))?;
    let body = response.bytes().await.context("the listing was cut short")?;
    serde_json::from_slice(&body).context("the server's answer is no listing")
}
