//! Reading: small bodies in the task that opens the file, big ones chunk by chunk.

use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use rustix::buffer::spare_capacity;

use super::{Disk, disk_error, is_absent};
use crate::domain::Digest;
use crate::stores::lane::Lane;
use crate::stores::{ByteStream, StoreError, clip};

/// Bodies up to this size are read at once.
const AT_ONCE: u64 = 64 << 10;
/// Bytes of one read of a bigger body.
const CHUNK: u64 = 256 << 10;

/// An object, open, with what is wanted of it.
pub(super) enum Opened {
    Whole(Bytes),
    Large(Reader),
}

/// A range of an open file that remains to be read.
#[derive(Clone)]
pub(super) struct Reader {
    file: Arc<File>,
    path: Arc<PathBuf>,
    range: Range<u64>,
}

impl Disk {
    pub(super) fn open_object(
        &self,
        digest: &Digest,
        range: Option<Range<u64>>,
    ) -> Result<Opened, StoreError> {
        let path = self.object_path(digest);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if is_absent(&e) => {
                return self.require_marker().and(Err(StoreError::NotFound));
            }
            Err(e) => return Err(disk_error("opening", &path, &e)),
        };
        let meta = file.metadata().map_err(|e| disk_error("looking at", &path, &e))?;
        if !meta.is_file() {
            return Err(StoreError::failed(format!("{} is not a plain file", path.display())));
        }
        let range = clip(range, meta.len())?;
        let reader = Reader { file: Arc::new(file), path: Arc::new(path), range };
        if reader.remaining() <= AT_ONCE {
            reader.read(AT_ONCE).map(Opened::Whole)
        } else {
            Ok(Opened::Large(reader))
        }
    }
}

impl Opened {
    pub(super) fn stream(self, lane: &Lane) -> ByteStream {
        match self {
            Self::Whole(bytes) if bytes.is_empty() => Box::pin(stream::empty()),
            Self::Whole(bytes) => Box::pin(stream::once(async { Ok(bytes) })),
            Self::Large(reader) => reader.stream(lane.clone()),
        }
    }
}

impl Reader {
    fn remaining(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Reads up to `most` bytes from the start of the range; a file that ends before is an error.
    fn read(&self, most: u64) -> Result<Bytes, StoreError> {
        let wanted = usize::try_from(self.remaining().min(most)).unwrap_or(usize::MAX);
        let mut buffer = Vec::with_capacity(wanted);
        while buffer.len() < wanted {
            let offset = self.range.start + buffer.len() as u64;
            match rustix::io::pread(&*self.file, spare_capacity(&mut buffer), offset) {
                Ok(0) => {
                    let path = self.path.display();
                    return Err(StoreError::failed(format!("{path} ends at byte {offset}")));
                }
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(disk_error("reading", &self.path, &e.into())),
            }
        }
        // The allocator may have given more room than was asked for.
        buffer.truncate(wanted);
        Ok(Bytes::from(buffer))
    }

    /// Chunks in order, the next one read while the last one is being used. No thread waits for a
    /// slow consumer.
    fn stream(self, lane: Lane) -> ByteStream {
        let first = self.read_later(&lane);
        Box::pin(stream::unfold(Some((self, lane, first)), |state| async {
            let (mut reader, lane, pending) = state?;
            let chunk = match pending.await {
                Ok(chunk) => chunk,
                Err(e) => return Some((Err(e), None)),
            };
            reader.range.start += chunk.len() as u64;
            let next = (reader.remaining() > 0).then(|| {
                let pending = reader.read_later(&lane);
                (reader, lane, pending)
            });
            Some((Ok(chunk), next))
        }))
    }

    fn read_later(&self, lane: &Lane) -> BoxFuture<'static, Result<Bytes, StoreError>> {
        let reader = self.clone();
        lane.ask_ahead(move || reader.read(CHUNK))
    }
}
