//! What a link's policy may be beside its scope's other links (SPEC 3). Pure.

use super::{Force, OpError, Refusal, link_names};
use crate::domain::{
    Link, LinkSetting, Policy, PolicyError, Remedy, ScopeId, StoreId, Target, Topology,
};
use crate::words::Phrase;

/// Checks `link` as what `topology` is to hold in place of `old`. A rule that was broken by force
/// before does not stand in the way of changes that do not concern it.
pub(super) fn check(
    topology: &Topology,
    old: Option<&Link>,
    link: &Link,
    force: Force,
) -> Result<(), OpError> {
    link.policy.check().map_err(|error| contradiction(&error))?;
    if old.is_none_or(|old| old.policy.drain != link.policy.drain) {
        check_target(topology, link)?;
    }
    let unfit_before = old.is_some_and(|old| unfit(&old.policy).is_some());
    if force == Force::No && !unfit_before {
        keep_standing_drains(topology, link)?;
    }
    Ok(())
}

/// What contradicts populate stands at populate: that is the one to give up.
fn contradiction(error: &PolicyError) -> OpError {
    match error {
        PolicyError::PopulateWithDrain | PolicyError::PopulateReadOnly => {
            OpError::field_invalid("populate", error.to_string())
        }
    }
}

/// The store that `link` drains into by name must be able to take the files.
fn check_target(topology: &Topology, link: &Link) -> Result<(), OpError> {
    let Some(name) = link.policy.drain.target() else { return Ok(()) };
    let scope = topology.scope_name(link.scope);
    let refused = |why: Phrase| OpError::refused(Refusal::DrainTargetRefused, why).at("drain");
    let Some(target) = topology.store_id(name) else {
        return Err(refused(format!("the drain target {name} does not exist").into()));
    };
    if target == link.store {
        return Err(refused(
            format!("{name} cannot be drained into itself: name another store").into(),
        ));
    }
    let Some(into) = topology.link(link.scope, target) else {
        let (scope, target) = link_names(topology, link.scope, target)?;
        let why = format!("the drain target {name} is not linked to scope {scope}: run ");
        let link = Remedy::LinkStore { scope: Some(scope), store: Some(target) };
        return Err(refused(Phrase::new(why).command(link).text(" first")));
    };
    match unfit(&into.policy) {
        Some(why) => Err(refused(
            format!(
                "the drain target {name} is {} in scope {scope}: it could not take the files",
                why.words
            )
            .into(),
        )),
        None => Ok(()),
    }
}

/// Why a link cannot be a drain target.
fn unfit(policy: &Policy) -> Option<Unfit> {
    if policy.read_only {
        Some(Unfit { field: "read_only", words: "read_only" })
    } else if policy.write_only {
        Some(Unfit { field: "write_only", words: "write_only" })
    } else if policy.drain.is_on() {
        Some(Unfit { field: "drain", words: "draining itself" })
    } else {
        None
    }
}

/// The key of a policy that keeps a link from being a drain target, and how to say it.
#[derive(Debug, Clone, Copy)]
struct Unfit {
    field: &'static str,
    words: &'static str,
}

/// A change must not take the ground from under another link's named drain.
fn keep_standing_drains(topology: &Topology, link: &Link) -> Result<(), OpError> {
    let Some(why) = unfit(&link.policy) else { return Ok(()) };
    match drained_into(topology, link.scope, link.store) {
        Some(from) => {
            let what = format!("be {}", why.words);
            Err(broken(topology, link.scope, link.store, from, &what).at(why.field))
        }
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
    let store = topology.store_name(store);
    link_names(topology, scope, from).map_or_else(
        |error| error,
        |(scope, from)| {
            let why =
                format!("{store} cannot {what} while scope {scope} drains {from} into it: run ");
            let stop = Remedy::set_link(scope, from, LinkSetting::Drain, Target::Off);
            let detail = Phrase::new(why).command(stop).text(" first, or repeat ").force();
            OpError::refused(Refusal::DrainTargetNeeded, detail)
        },
    )
}
