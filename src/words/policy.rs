//! A policy in words.

use crate::domain::{Drain, Policy};

/// What is switched on, one word or two for each.
pub fn policy(policy: &Policy) -> Vec<String> {
    let flag = |on: bool, word: &str| on.then(|| word.to_owned());
    let drain = match &policy.drain {
        Drain::No => None,
        Drain::Anywhere => Some("drain".to_owned()),
        Drain::Into(target) => Some(format!("drain to {target}")),
    };
    let words = [
        flag(policy.populate, "populate"),
        drain,
        flag(policy.read_only, "read-only"),
        flag(policy.write_only, "write-only"),
    ];
    words.into_iter().flatten().collect()
}
