//! `store check` for a directory.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{Disk, LocalStore, disk_error, no_marker, unavailable};
use crate::domain::StoreProblem;
use crate::stores::checklist::{Checklist, compare_markers};
use crate::stores::names::probe_name;
use crate::stores::{Backend, Marker, Step, StepResult, StepSeen, StoreError};

const PROBE_BYTES: &[u8] = b"hayloft probe: this file may be deleted\n";

/// Marker, write, read back, range, list, delete. A directory hands out no URLs, knows no
/// multipart uploads and has our own clock.
pub(super) async fn run(
    store: &LocalStore,
    expected: Option<&Marker>,
    seen: StepSeen<'_>,
) -> Vec<StepResult> {
    let mut list = Checklist::new(seen);
    let marker = async {
        let found = store.read_marker().await.map_err(StoreError::into_diagnosis)?;
        compare_markers(found.as_ref(), expected, &store.disk.location(), no_marker)
    };
    if !list.run(Step::Marker, marker).await {
        // Writing to an unmounted root would fill the disk below the mount point.
        return list.into_steps();
    }
    let probe: PathBuf = store.disk.root.join(probe_name());
    let step = |work: fn(&Disk, &Path) -> Result<(), StoreError>| {
        let path = probe.clone();
        async move { store.ask(move |disk| work(disk, &path)).await.map_err(StoreError::into_diagnosis) }
    };
    if list.run(Step::Write, step(write_probe)).await {
        list.run(Step::ReadBack, step(read_probe)).await;
        list.run(Step::Range, step(read_probe_range)).await;
    }
    list.run(Step::List, step(list_probe)).await;
    list.run(Step::Delete, step(delete_probe)).await;
    list.into_steps()
}

fn write_probe(disk: &Disk, path: &Path) -> Result<(), StoreError> {
    File::create_new(path)
        .and_then(|mut f| f.write_all(PROBE_BYTES).and_then(|()| f.sync_all()))
        .map_err(|e| disk_error("writing", path, &e))?;
    super::write::sync_directory(&disk.root)
}

fn read_probe(_: &Disk, path: &Path) -> Result<(), StoreError> {
    let bytes = fs::read(path).map_err(|e| disk_error("reading", path, &e))?;
    same(&bytes, PROBE_BYTES)
}

fn read_probe_range(_: &Disk, path: &Path) -> Result<(), StoreError> {
    let mut part = [0; 5];
    File::open(path)
        .and_then(|f| f.read_exact_at(&mut part, 8))
        .map_err(|e| disk_error("reading", path, &e))?;
    same(&part, &PROBE_BYTES[8..13])
}

fn same(found: &[u8], written: &[u8]) -> Result<(), StoreError> {
    if found == written {
        Ok(())
    } else {
        Err(StoreError::failed(StoreProblem::ProbeChangedOnDisk))
    }
}

fn list_probe(disk: &Disk, _: &Path) -> Result<(), StoreError> {
    let mut entries =
        fs::read_dir(&disk.root).map_err(|e| unavailable("reading", &disk.root, &e))?;
    entries.try_for_each(|e| e.map(drop)).map_err(|e| disk_error("reading", &disk.root, &e))?;
    disk.list(None, 1).map(drop)
}

fn delete_probe(_: &Disk, path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(disk_error("deleting", path, &e)),
        _ => Ok(()),
    }
}
