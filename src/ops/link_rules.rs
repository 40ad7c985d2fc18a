//! What a link's policy may be beside its scope's other links (SPEC 3). Pure.

use super::{Force, OpError};
use crate::domain::{Link, Policy, ScopeId, StoreId, Topology};

/// Checks `link` as part of `topology`, which need not contain it yet.
pub(super) fn check(topology: &Topology, link: &Link, force: Force) -> Result<(), OpError> {
    link.policy.check().map_err(|e| OpError::Invalid(e.to_string()))?;
    check_target(topology, link)?;
    if force == Force::No {
        keep_standing_drains(topology, link)?;
    }
    Ok(())
}

/// The store that `link` drains into by name must be able to take the files.
fn check_target(topology: &Topology, link: &Link) -> Result<(), OpError> {
    let Some(name) = link.policy.drain.target() else { return Ok(()) };
    let scope = topology.scope_name(link.scope);
    let refused = |why: String| OpError::refused("drain-target-refused", why);
    let Some(target) = topology.store_id(name) else {
        return Err(refused(format!("the drain target {name} does not exist")));
    };
    if target == link.store {
        return Err(refused(format!("{name} cannot be drained into itself: name another store")));
    }
    let Some(into) = topology.link(link.scope, target) else {
        return Err(refused(format!(
            "the drain target {name} is not linked to scope {scope}: say `hayloft scope manage {scope} add-store {name}` first"
        )));
    };
    match unfit(&into.policy) {
        Some(why) => Err(refused(format!(
            "the drain target {name} is {why} in scope {scope}: it could not take the files"
        ))),
        None => Ok(()),
    }
}

/// Why a link cannot be a drain target.
fn unfit(policy: &Policy) -> Option<&'static str> {
    if policy.read_only {
        Some("read_only")
    } else if policy.write_only {
        Some("write_only")
    } else if policy.drain.is_on() {
        Some("draining itself")
    } else {
        None
    }
}

/// A change must not take the ground from under another link's named drain.
fn keep_standing_drains(topology: &Topology, link: &Link) -> Result<(), OpError> {
    let Some(why) = unfit(&link.policy) else { return Ok(()) };
    match drained_into(topology, link.scope, link.store) {
        Some(from) => Err(broken(topology, link.scope, link.store, from, &format!("be {why}"))),
        None => Ok(()),
    }
}

/// The link of a drain target may not go while the drain stands.
pub(super) fn check_removal(
    topology: &Topology,
    scope: ScopeId,
    store: StoreId,
) -> Result<(), OpError> {
    match drained_into(topology, scope, store) {
        Some(from) => Err(broken(topology, scope, store, from, "be unlinked")),
        None => Ok(()),
    }
}

/// Another store of the scope that is drained into `store` by name.
fn drained_into(topology: &Topology, scope: ScopeId, store: StoreId) -> Option<StoreId> {
    let name = &topology.stores.get(&store)?.name;
    let mut links = topology.links_of(scope);
    links.find(|l| l.store != store && l.policy.drain.target() == Some(name)).map(|l| l.store)
}

fn broken(
    topology: &Topology,
    scope: ScopeId,
    store: StoreId,
    from: StoreId,
    what: &str,
) -> OpError {
    let (scope, store) = (topology.scope_name(scope), topology.store_name(store));
    let from = topology.store_name(from);
    OpError::refused(
        "drain-target-needed",
        format!(
            "{store} cannot {what} while scope {scope} drains {from} into it: say \
             `hayloft scope manage {scope} edit-store {from} --no-drain` first, or repeat with --force"
        ),
    )
}
