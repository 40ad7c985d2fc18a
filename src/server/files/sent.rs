//! Files sent by the form of a page without scripts, one after the other, each under the rules of
//! PUT (SPEC 4).

use std::sync::Arc;

use axum::BoxError;
use axum::body::Body;
use axum::http::HeaderMap;
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::mpsc;

use super::parts::{FormParts, PartHead};
use super::{declared, put};
use crate::domain::{FilePath, ScopeId};
use crate::server::errors::Failure;
use crate::server::site::Site;
use crate::transfer::{Committed, Condition, Declared, UploadError, UploadRequest};

/// The field that allows to replace what is there; it counts for the files after it.
const REPLACE: &str = "replace";
/// Refusals that are told one by one.
const TOLD: usize = 100;

/// What became of the files of a form.
#[derive(Debug, Default)]
pub struct FormOutcome {
    pub stored: u64,
    /// Names of files that were not stored, and why.
    pub refused: Vec<(String, Failure)>,
    /// Whether files that are there were to be replaced.
    pub replaces: bool,
}

/// Where the files go.
pub struct FormTarget<'a> {
    pub site: &'a Arc<Site>,
    pub scope: ScopeId,
    /// With its slash; empty at the top.
    pub folder: &'a str,
}

impl FormTarget<'_> {
    /// Stores the files of a `multipart/form-data` body. A file that is refused keeps none of the
    /// others out; parts without a file name are passed over.
    pub async fn receive(&self, headers: &HeaderMap, body: Body) -> Result<FormOutcome, Failure> {
        let mut parts = FormParts::of(headers, body)?;
        let mut sent = FormOutcome::default();
        while let Some(head) = parts.next().await? {
            let Some(name) = head.file_name.as_deref() else {
                sent.replaces |= head.name == REPLACE;
                continue;
            };
            // A browser sends an empty name for a field in which nothing was chosen.
            let name = name.rsplit('/').next().unwrap_or_default().to_owned();
            if name.is_empty() {
                continue;
            }
            match self.one(&name, &head, sent.replaces, &mut parts).await {
                Ok(_) => sent.stored += 1,
                Err(failure) if sent.refused.len() < TOLD => sent.refused.push((name, failure)),
                Err(failure) => return Err(failure),
            }
        }
        Ok(sent)
    }

    async fn one(
        &self,
        name: &str,
        head: &PartHead,
        replaces: bool,
        parts: &mut FormParts,
    ) -> Result<Committed, Failure> {
        let _under_way = self.site.metrics.upload();
        let request = UploadRequest {
            scope: self.scope,
            path: FilePath::new(format!("{}{name}", self.folder))?,
            size: None,
            content_type: declared::type_or_default(head.content_type.as_deref())?,
            declared: Declared::default(),
            condition: if replaces { Condition::None } else { Condition::Absent },
        };
        let admission = self.site.app.transfer.admit(request).await.map_err(|e| in_words(&e))?;
        let (pieces, body) = pipe();
        let received = put::receive(self.site, admission, body);
        let (received, ()) = tokio::join!(received, feed(parts, pieces));
        received
    }
}

/// The form has a box where a program has a header.
fn in_words(error: &UploadError) -> Failure {
    let failure = Failure::from(error);
    if !matches!(error, UploadError::Precondition) {
        return failure;
    }
    let detail = "there is a file of this name already";
    Failure::new(failure.status(), "precondition-failed", detail)
}

/// What goes through the pipe. A pipe that only breaks off has no end: a part of a file is never
/// taken for the whole.
enum BodyPiece {
    Data(Bytes),
    Broken(BoxError),
    End,
}

fn pipe() -> (mpsc::Sender<BodyPiece>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    let body = stream::unfold(Some(receiver), |receiver| async {
        let mut receiver: mpsc::Receiver<BodyPiece> = receiver?;
        match receiver.recv().await {
            Some(BodyPiece::Data(data)) => Some((Ok(data), Some(receiver))),
            Some(BodyPiece::Broken(error)) => Some((Err(error), None)),
            Some(BodyPiece::End) => None,
            None => Some((Err(BoxError::from("the form ends too early")), None)),
        }
    });
    (sender, Body::from_stream(body))
}

/// Hands the current part on, for as long as it is wanted.
async fn feed(parts: &mut FormParts, pieces: mpsc::Sender<BodyPiece>) {
    loop {
        let piece = match parts.chunk().await {
            Ok(Some(data)) => BodyPiece::Data(data),
            Ok(None) => BodyPiece::End,
            Err(error) => BodyPiece::Broken(error),
        };
        let goes_on = matches!(piece, BodyPiece::Data(_));
        if pieces.send(piece).await.is_err() || !goes_on {
            return;
        }
    }
}
