//! `hayloft file put`, and the upload that `import directory` makes for each file.

use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use indicatif::ProgressBar;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use reqwest::{Body, Method};
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;

use crate::api::Uploaded;
use crate::cli::client::{AdminClient, Reply, in_path, with_way_out};
use crate::cli::output::{self, Output, progress};
use crate::domain::{FilePath, ScopeName};

/// One read of a big file.
const CHUNK: usize = 256 << 10;

pub async fn file(
    client: &AdminClient,
    scope: &ScopeName,
    file: &Path,
    path: Option<FilePath>,
    content_type: Option<&str>,
    output: Output,
) -> Result<()> {
    let path = match path {
        Some(path) => path,
        None => own_name(file)?,
    };
    let source = Source::open(file).await?;
    let bar = progress::transfer(output, source.size);
    let answer = upload(client, scope, &path, source, content_type, bar.clone()).await;
    bar.finish_and_clear();
    output.answer::<Uploaded>(&answer?, |up| {
        let size = output::bytes(up.size);
        format!("{}/{}: {size}, digest {}, in {}", up.scope, up.path, up.digest, up.store)
    })
}

fn own_name(file: &Path) -> Result<FilePath> {
    if file.as_os_str() == "-" {
        bail!("what comes from standard input has no name: give a path after the -");
    }
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.context("the file's name is not UTF-8: give a path in the scope")?;
    Ok(FilePath::new(name)?)
}

/// The bytes to upload.
pub struct Source {
    reader: Box<dyn AsyncRead + Send + Sync + Unpin>,
    /// `None` for a pipe.
    pub size: Option<u64>,
}

impl Source {
    pub async fn open(file: &Path) -> Result<Self> {
        if file.as_os_str() == "-" {
            // As a file: tokio's own standard input would keep the process until it ends.
            let input = std::io::stdin().as_fd().try_clone_to_owned()?;
            let reader = tokio::fs::File::from_std(input.into());
            return Ok(Self { reader: Box::new(reader), size: None });
        }
        let cannot = || format!("cannot read {}", file.display());
        let opened = tokio::fs::File::open(file).await.with_context(cannot)?;
        let metadata = opened.metadata().await.with_context(cannot)?;
        if metadata.is_dir() {
            bail!("{} is a directory: use hayloft import directory", file.display());
        }
        // Devices and named pipes show the size 0 and have more.
        let size = metadata.is_file().then_some(metadata.len());
        Ok(Self { reader: Box::new(opened), size })
    }
}

/// Streams one file to the server.
pub async fn upload(
    client: &AdminClient,
    scope: &ScopeName,
    path: &FilePath,
    source: Source,
    content_type: Option<&str>,
    bar: ProgressBar,
) -> Result<Reply> {
    let url = format!("/files/{scope}/{}", in_path(path.as_str()));
    let mut request = client.request(Method::PUT, &url)?;
    if let Some(size) = source.size {
        request.headers_mut().insert(CONTENT_LENGTH, size.into());
    }
    if let Some(content_type) = content_type {
        let value = HeaderValue::from_str(content_type).context("--content-type is no header")?;
        request.headers_mut().insert(CONTENT_TYPE, value);
    }
    let chunks = ReaderStream::with_capacity(source.reader, CHUNK).inspect(move |chunk| {
        bar.inc(chunk.as_ref().map_or(0, |bytes| bytes.len() as u64));
    });
    *request.body_mut() = Some(Body::wrap_stream(chunks));
    let response = client.send(request).await.map_err(|e| with_way_out(e, scope))?;
    Reply::of(response).await
}
