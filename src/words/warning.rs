//! Warnings as sentences.

use super::Phrase;
use crate::domain::{ByteSize, Concern, LimitOf, Warning, plural};

/// The finding and what mends it.
pub fn warning(warning: &Warning) -> Phrase {
    let start = Phrase::from(concern(&warning.concern));
    warning.remedies.iter().enumerate().fold(start, |phrase, (at, remedy)| {
        let joint = if at == 0 { ": run " } else { ", or " };
        phrase.text(joint).command(remedy.clone())
    })
}

/// The finding alone.
pub fn concern(concern: &Concern) -> String {
    match concern {
        Concern::HardLimitOnly { store } => format!(
            "{store} is a local store with a hard limit and no soft limit, so the vacuum makes no room before uploads are \
             refused"
        ),
        Concern::DiskMayFill { store } => {
            format!("{store} is a local store without a soft limit, so its disk can fill up")
        }
        Concern::SoftLimitTooHigh { store, limit, disk } => format!(
            "the soft limit of {store} ({}) leaves less than a week of uploads free on a disk of {}",
            ByteSize(*limit),
            ByteSize(*disk)
        ),
        Concern::PopulatedNeverSheds { scope, store, limit: LimitOf::Link } => format!(
            "{store} is populated and has a soft limit for scope {scope}, but populated files are never shed"
        ),
        Concern::PopulatedNeverSheds { scope, store, .. } => format!(
            "{store} is populated by scope {scope} and has a soft limit, but populated files are never shed"
        ),
        Concern::ArchiveIsRead { store, class } => {
            format!("{store} has storage class {class}, whose objects cannot be read at once")
        }
        Concern::RemoteFirst { scope, store } => {
            format!("uploads of scope {scope} go straight to the remote store {store}")
        }
        Concern::NoOverflow { scope, store } => {
            format!("scope {scope} has no store that could take what does not fit into {store}")
        }
        Concern::PopulateTooSmall { scope, store, limit, room, need } => format!(
            "{store} is populated and {} is smaller than scope {scope} ({} of {})",
            limit_of(*limit),
            ByteSize(*room),
            ByteSize(*need)
        ),
        Concern::DrainedTakesUploads { store } => {
            format!("{store} is drained and still takes uploads")
        }
        Concern::DrainsIntoSoftLimit { store, target, limit } => format!(
            "{store} is drained into {target}, whose soft limit of {} holds files back",
            ByteSize(*limit)
        ),
        Concern::NothingLeftToDrain { store, target } => {
            format!("{store} is drained into {target} and nothing is left to drain")
        }
        Concern::OnlyInArchive { scope, files } => format!(
            "{} of scope {scope} ({}) have their only replica in a write_only store: upload them again, or restore them \
             there and let the scope read it",
            plural(files.files, "file"),
            ByteSize(files.bytes)
        ),
    }
}

fn limit_of(limit: LimitOf) -> &'static str {
    match limit {
        LimitOf::Link => "its soft limit for the scope",
        LimitOf::Soft => "its soft limit",
        LimitOf::Hard => "its hard limit",
    }
}
