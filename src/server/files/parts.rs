//! `multipart/form-data` (RFC 7578) as it comes: part after part, with a bounded buffer.
//!
//! Not axum's `Multipart`: its parser (multer) reads ahead for as long as bytes arrive, sets no limit to the
//! head of a part, and passes over a file whose name it cannot read instead of refusing it.

use axum::BoxError;
use axum::body::{Body, BodyDataStream};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

use crate::server::errors::Failure;

/// Longest head of a part.
const HEAD_MAX: usize = 16 << 10;
/// Longest boundary (RFC 2046 section 5.1.1).
const BOUNDARY_MAX: usize = 70;

/// What a part says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PartHead {
    pub name: String,
    /// As the client calls it; none of a field that is no file.
    pub file_name: Option<String>,
    pub content_type: Option<String>,
}

/// The parts of a body that is being received.
pub struct FormParts {
    body: BodyDataStream,
    /// Received and not looked at. It begins in the body of a part, or at the delimiter after it.
    buffer: BytesMut,
    /// Before each part and after the last.
    delimiter: Vec<u8>,
}

impl FormParts {
    /// The parts of a request's body; a refusal when its type has no boundary.
    pub fn of(headers: &HeaderMap, body: Body) -> Result<Self, Failure> {
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
        let is_form = kind
            .split(';')
            .next()
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("multipart/form-data"));
        let boundary =
            parameter(kind, "boundary").filter(|b| !b.is_empty() && b.len() <= BOUNDARY_MAX);
        let (true, Some(boundary)) = (is_form, boundary) else {
            return Err(malformed("it is not multipart/form-data with a boundary"));
        };
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        // The line break before the first delimiter is left out.
        Ok(Self { body: body.into_data_stream(), buffer: BytesMut::from("\r\n"), delimiter })
    }

    /// Passes over what is left of the current part; `None` after the last one.
    pub async fn next(&mut self) -> Result<Option<PartHead>, Failure> {
        let cut_off = |_| malformed("it ends too early");
        while self.chunk().await.map_err(cut_off)?.is_some() {}
        let at = self.delimiter.len();
        self.at_least(at + 2).await.map_err(cut_off)?;
        if self.buffer[at..].starts_with(b"--") {
            return Ok(None);
        }
        let end = loop {
            if let Some(end) = find(&self.buffer[at..], b"\r\n\r\n") {
                break at + end;
            }
            if self.buffer.len() > at + HEAD_MAX {
                return Err(malformed("the head of a part is too long"));
            }
            self.more().await.map_err(cut_off)?;
        };
        let head = self.buffer.split_to(end + 4);
        head_of(&head[at..end]).map(Some)
    }

    /// The next bytes of the current part; `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, BoxError> {
        loop {
            match find(&self.buffer, &self.delimiter) {
                Some(0) => return Ok(None),
                Some(at) => return Ok(Some(self.buffer.split_to(at).freeze())),
                None => {}
            }
            // The last bytes may be the beginning of a delimiter.
            let sure = self.buffer.len().saturating_sub(self.delimiter.len() - 1);
            if sure > 0 {
                return Ok(Some(self.buffer.split_to(sure).freeze()));
            }
            self.more().await?;
        }
    }

    async fn at_least(&mut self, length: usize) -> Result<(), BoxError> {
        while self.buffer.len() < length {
            self.more().await?;
        }
        Ok(())
    }

    async fn more(&mut self) -> Result<(), BoxError> {
        match self.body.next().await {
            Some(Ok(data)) => self.buffer.extend_from_slice(&data),
            Some(Err(error)) => return Err(error.into_inner()),
            None => return Err("the form ends too early".into()),
        }
        Ok(())
    }
}

fn malformed(why: &str) -> Failure {
    Failure::invalid("malformed-form", format!("the form cannot be read: {why}"))
}

fn find(all: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = wanted.first()?;
    let mut from = 0;
    while let Some(at) = all.get(from..)?.iter().position(|byte| byte == first) {
        if all[from + at..].starts_with(wanted) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

fn head_of(bytes: &[u8]) -> Result<PartHead, Failure> {
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("a name in it is not UTF-8"))?;
    let mut head = PartHead::default();
    for line in text.split("\r\n") {
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.trim().to_ascii_lowercase().as_str() {
            "content-disposition" => {
                head.name = parameter(value, "name").map(unescaped).unwrap_or_default();
                head.file_name = parameter(value, "filename").map(unescaped);
            }
            "content-type" => head.content_type = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    Ok(head)
}

/// A parameter of a header's value, without its quotation marks.
fn parameter<'a>(value: &'a str, wanted: &str) -> Option<&'a str> {
    let mut rest = value.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(';').unwrap_or((after, "")),
        };
        if name.trim_matches([' ', ';']).eq_ignore_ascii_case(wanted) {
            return Some(value.trim());
        }
        rest = after;
    }
}

/// What browsers write for the three characters that would end a name (HTML, "multipart form data").
fn unescaped(name: &str) -> String {
    name.replace("%0A", "\n").replace("%0D", "\r").replace("%22", "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(pieces: Vec<&'static str>) -> FormParts {
        let pieces = pieces.into_iter().map(|piece| Ok::<_, BoxError>(Bytes::from(piece)));
        let mut headers = HeaderMap::new();
        let kind = "multipart/form-data; charset=x; boundary=\"a b\"";
        headers.insert(CONTENT_TYPE, kind.parse().expect("a value"));
        FormParts::of(&headers, Body::from_stream(futures_util::stream::iter(pieces)))
            .expect("a form")
    }

    async fn read(mut parts: FormParts) -> Result<Vec<(PartHead, String)>, String> {
        let mut all = Vec::new();
        while let Some(head) = parts.next().await.map_err(|f| f.detail().to_string())? {
            let mut text = Vec::new();
            while let Some(chunk) = parts.chunk().await.map_err(|e| e.to_string())? {
                text.extend_from_slice(&chunk);
            }
            all.push((head, String::from_utf8(text).expect("text")));
        }
        Ok(all)
    }

    const FORM: &str = "--a b\r\nContent-Disposition: form-data; name=\"replace\"\r\n\r\non\r\n\
        --a b\r\ncontent-disposition: form-data; name=\"files\"; filename=\"a; %22b%22.txt\"\r\n\
        Content-Type: text/plain\r\n\r\none\r\n--a \r\ntwo\r\n--a b--\r\n";

    #[tokio::test]
    async fn a_form_falls_into_its_parts_however_it_arrives() {
        let whole = read(parts(vec![FORM])).await.expect("parts");
        let bytes: Vec<&str> = (0..FORM.len()).map(|at| &FORM[at..=at]).collect();
        assert_eq!(read(parts(bytes)).await.expect("parts"), whole);
        let [(first, on), (second, text)] = whole.as_slice() else { panic!("{whole:?}") };
        assert_eq!((first.name.as_str(), first.file_name.as_deref()), ("replace", None));
        assert_eq!(on, "on");
        assert_eq!(second.file_name.as_deref(), Some("a; \"b\".txt"));
        assert_eq!(second.content_type.as_deref(), Some("text/plain"));
        assert_eq!(text, "one\r\n--a \r\ntwo");
    }

    #[tokio::test]
    async fn a_form_that_is_cut_off_is_never_taken_for_whole() {
        for end in 0..FORM.len() - 4 {
            assert!(read(parts(vec![&FORM[..end]])).await.is_err(), "{end}");
        }
    }

    #[tokio::test]
    async fn a_head_without_an_end_is_refused() {
        let endless = std::iter::once("--a b\r\n").chain(std::iter::repeat_n("x: y\r\n", 4000));
        let refused = read(parts(endless.collect())).await.expect_err("refused");
        assert!(refused.contains("too long"), "{refused}");
    }
}
