//! `hayloft import …`

use std::fs::{DirEntry, FileType};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;
use reqwest::Method;
use serde::Serialize;

use super::put::{Source, upload};
use crate::api::{Workspace, WorkspacesImported};
use crate::cli::CommandEnd;
use crate::cli::client::AdminClient;
use crate::cli::output::{self, Output, progress};
use crate::domain::{FilePath, ScopeName};

/// Uploads under way at once.
const PARALLEL: usize = 4;

/// Failures that are told under `--json`; `failed` counts all.
const ERRORS: usize = 1000;

pub async fn workspaces(client: &AdminClient, file: &Path, output: Output) -> Result<CommandEnd> {
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.with_context(|| format!("cannot read {}", file.display()))?;
    let list: Vec<Workspace> = serde_json::from_str(&text)
        .with_context(|| format!("{} is no list of workspaces", file.display()))?;
    let answer = client.post("import/workspaces", &list).await?;
    output.answer::<WorkspacesImported>(&answer, |done| {
        let scopes = output::count(done.scopes_created, "scope");
        format!("Created {scopes} and {}.", output::count(done.links_created, "link"))
    })?;
    Ok(CommandEnd::Done)
}

/// What `import directory` did.
#[derive(Debug, Default, Serialize)]
struct Imported {
    files: u64,
    bytes: u64,
    /// Symlinks, devices, sockets.
    skipped: u64,
    failed: u64,
    /// The first of what failed.
    errors: Vec<NotImported>,
}

#[derive(Debug, Serialize)]
struct NotImported {
    /// What could not be read or uploaded; the directory itself when no file is known.
    path: String,
    detail: String,
}

impl NotImported {
    fn at(path: &Path, e: impl Into<anyhow::Error>) -> Self {
        Self { path: path.display().to_string(), detail: format!("{:#}", e.into()) }
    }
}

/// Uploads what the walk finds, a few files at a time; one failure does not stop the others.
pub async fn directory(
    client: &AdminClient,
    scope: &ScopeName,
    dir: &Path,
    prefix: &str,
    output: Output,
) -> Result<CommandEnd> {
    let walk = DirectoryWalk::new(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    // What is wrong with the server, the token or the scope is said once, not for each file.
    client.send(client.request(Method::GET, &format!("/files/{scope}/?limit=1"))?).await?;
    let bar = progress::transfer(output, None);
    let results = stream::iter(walk)
        .map(|found| one(client, scope, dir, prefix, found, bar.clone(), output))
        .buffer_unordered(PARALLEL);
    futures_util::pin_mut!(results);
    let mut imported = Imported::default();
    while let Some(result) = results.next().await {
        match result {
            Ok(Some(size)) => {
                imported.files += 1;
                imported.bytes += size;
                bar.set_message(output::count(imported.files, "file"));
            }
            Ok(None) => imported.skipped += 1,
            Err(failed) => {
                imported.failed += 1;
                bar.suspend(|| output.note(&format!("error: {}: {}", failed.path, failed.detail)));
                if imported.errors.len() < ERRORS {
                    imported.errors.push(failed);
                }
            }
        }
    }
    bar.finish_and_clear();
    report(&imported, scope, output)?;
    Ok(CommandEnd::done_if(imported.failed == 0))
}

fn report(imported: &Imported, scope: &ScopeName, output: Output) -> Result<()> {
    if output.json {
        return output::line(&serde_json::to_string(imported)?);
    }
    let size = output::bytes(imported.bytes);
    let mut parts =
        vec![format!("{} ({size}) uploaded to {scope}", output::count(imported.files, "file"))];
    if imported.skipped > 0 {
        parts.push(format!("{} skipped", imported.skipped));
    }
    if imported.failed > 0 {
        parts.push(format!("{} FAILED", imported.failed));
    }
    output::line(&parts.join(", "))
}

/// The bytes uploaded; `None` for what is no regular file.
async fn one(
    client: &AdminClient,
    scope: &ScopeName,
    dir: &Path,
    prefix: &str,
    found: Result<FoundFile, NotImported>,
    bar: ProgressBar,
    output: Output,
) -> Result<Option<u64>, NotImported> {
    let file = match found? {
        FoundFile::File(file) => file,
        FoundFile::Other(path, kind) => {
            bar.suspend(|| {
                output.note(&format!("skipped {}: {}", path.display(), described(kind)));
            });
            return Ok(None);
        }
    };
    let send = async {
        let path = path_in_scope(dir, &file, prefix)?;
        let source = Source::open(&file).await?;
        let size = source.size.context("it is no regular file any more")?;
        upload(client, scope, &path, source, None, bar).await?;
        Ok(Some(size))
    };
    send.await.map_err(|e: anyhow::Error| NotImported::at(&file, e))
}

fn described(kind: FileType) -> &'static str {
    if kind.is_symlink() { "a symbolic link" } else { "not a regular file" }
}

fn path_in_scope(dir: &Path, file: &Path, prefix: &str) -> Result<FilePath> {
    let below = file.strip_prefix(dir)?.to_str();
    let Some(below) = below else { bail!("its name is not UTF-8") };
    let prefix = prefix.trim_matches('/');
    let path = if prefix.is_empty() { below.to_owned() } else { format!("{prefix}/{below}") };
    Ok(FilePath::new(path)?)
}

enum FoundFile {
    File(PathBuf),
    /// Not followed and not read.
    Other(PathBuf, FileType),
}

/// Everything below a directory, depth first; holds one open directory per level.
struct DirectoryWalk {
    root: PathBuf,
    open: Vec<std::fs::ReadDir>,
}

impl DirectoryWalk {
    fn new(dir: &Path) -> std::io::Result<Self> {
        Ok(Self { root: dir.to_owned(), open: vec![std::fs::read_dir(dir)?] })
    }

    /// `None` for a directory, which is entered.
    fn look(&mut self, entry: std::io::Result<DirEntry>) -> Result<Option<FoundFile>, NotImported> {
        let entry = entry.map_err(|e| NotImported::at(&self.root, e))?;
        let path = entry.path();
        let cannot = |e| NotImported::at(&path, anyhow::Error::new(e).context("cannot read it"));
        let kind = entry.file_type().map_err(cannot)?;
        if kind.is_dir() {
            self.open.push(std::fs::read_dir(&path).map_err(cannot)?);
            return Ok(None);
        }
        Ok(Some(if kind.is_file() { FoundFile::File(path) } else { FoundFile::Other(path, kind) }))
    }
}

impl Iterator for DirectoryWalk {
    type Item = Result<FoundFile, NotImported>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(entry) = self.open.last_mut()?.next() else {
                self.open.pop();
                continue;
            };
            if let Some(found) = self.look(entry).transpose() {
                return Some(found);
            }
        }
    }
}
