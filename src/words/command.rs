//! Remedies as commands.

use super::{link_option, store_option};
use crate::domain::{Change, LinkSetting, Remedy, StoreSetting, Target};

const GIGABYTE: u64 = 1_000_000_000;

/// The command to type; capitals stand for what its reader has to choose.
pub fn command(remedy: &Remedy) -> String {
    match remedy {
        Remedy::CheckStore { store } => format!("hayloft store check {store}"),
        Remedy::ShowStore { store } => format!("hayloft store show {store}"),
        Remedy::ReconcileStore { store } => format!("hayloft store reconcile {store}"),
        Remedy::ConfirmSweep { store } => format!("hayloft store sweep {store} --confirm"),
        Remedy::SetStore { store, changes } => {
            format!("hayloft store manage {store}{}", options(changes, store_change))
        }
        Remedy::DeleteStore { store } => format!("hayloft store delete {store}"),
        Remedy::LinkStore { scope, store } => format!(
            "hayloft scope manage {} add-store {}",
            or(scope.as_ref(), "SCOPE"),
            or(store.as_ref(), "STORE")
        ),
        Remedy::SetLink { scope, store, changes } => {
            let options = options(changes, link_change);
            format!("hayloft scope manage {scope} edit-store {store}{options}")
        }
        Remedy::UnlinkStore { scope, store } => {
            format!("hayloft scope manage {scope} remove-store {store}")
        }
        Remedy::DefaultStore { scope, store } => {
            let store = or(store.as_ref(), "LOCAL");
            format!("hayloft scope manage {scope} default-store {store}")
        }
        Remedy::Verify => "hayloft verify".to_owned(),
        Remedy::Repair => "hayloft verify --repair".to_owned(),
        Remedy::ReadAll => "hayloft verify --read".to_owned(),
        Remedy::StartRun => "hayloft vacuum".to_owned(),
        Remedy::ResumeRun => "hayloft vacuum resume".to_owned(),
        Remedy::ShowRun { run } => format!("hayloft vacuum show {run}"),
        Remedy::CreateToken => "hayloft token create".to_owned(),
        Remedy::CreateScope => "hayloft scope create NAME".to_owned(),
        Remedy::ShowStatus => "hayloft status".to_owned(),
        Remedy::AdoptDirectory => "hayloft store create NAME local --root DIR --adopt".to_owned(),
        Remedy::ListRuns => "hayloft vacuum history".to_owned(),
    }
}

fn or(name: Option<&impl ToString>, placeholder: &str) -> String {
    name.map_or_else(|| placeholder.to_owned(), ToString::to_string)
}

fn options<S>(changes: &[Change<S>], option: impl Fn(&Change<S>) -> String) -> String {
    changes.iter().fold(String::new(), |options, change| options + " " + &option(change))
}

pub(super) fn store_change(change: &Change<StoreSetting>) -> String {
    let is_switch = matches!(
        change.setting,
        StoreSetting::PathStyle | StoreSetting::InstanceWide | StoreSetting::Adopt
    );
    option(store_option(change.setting), is_switch, &change.to)
}

fn link_change(change: &Change<LinkSetting>) -> String {
    if let (LinkSetting::Drain, Target::Value(store)) = (change.setting, &change.to) {
        return format!("--drain-to {store}");
    }
    let is_switch = change.setting != LinkSetting::SoftMaxSize;
    option(link_option(change.setting), is_switch, &change.to)
}

fn option(name: &str, is_switch: bool, to: &Target) -> String {
    match to {
        Target::Off => format!("--no-{}", name.trim_start_matches('-')),
        Target::On => name.to_owned(),
        Target::Chosen if is_switch => name.to_owned(),
        Target::Chosen => {
            let what = if name.ends_with("size") { "SIZE" } else { "VALUE" };
            format!("{name} {what}")
        }
        Target::Unset => format!("{name} none"),
        Target::Size(bytes) => format!("{name} {}", size(*bytes)),
        Target::Value(value) => format!("{name} {value}"),
    }
}

/// As it is typed: not more than `bytes`.
fn size(bytes: u64) -> String {
    if bytes >= GIGABYTE { format!("{}GB", bytes / GIGABYTE) } else { bytes.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ScopeName, StoreName};

    #[test]
    fn each_remedy_has_its_command() {
        let store = || StoreName::new("cold").expect("a name");
        let scope = || ScopeName::new("media").expect("a name");
        let link = |setting, to| Remedy::set_link(scope(), store(), setting, to);
        for (remedy, command) in [
            (Remedy::CheckStore { store: store() }, "store check cold"),
            (Remedy::LinkStore { scope: None, store: None }, "scope manage SCOPE add-store STORE"),
            (
                Remedy::set_store(store(), StoreSetting::SoftMaxSize, Target::Size(5_900_000_000)),
                "store manage cold --soft-max-size 5GB",
            ),
            (
                Remedy::set_store(store(), StoreSetting::MaxSize, Target::Chosen),
                "store manage cold --max-size SIZE",
            ),
            (
                link(LinkSetting::ReadOnly, Target::On),
                "scope manage media edit-store cold --read-only",
            ),
            (
                link(LinkSetting::Drain, Target::Value("nas".to_owned())),
                "scope manage media edit-store cold --drain-to nas",
            ),
            (
                link(LinkSetting::WriteOnly, Target::Off),
                "scope manage media edit-store cold --no-write-only",
            ),
            (
                link(LinkSetting::SoftMaxSize, Target::Unset),
                "scope manage media edit-store cold --soft-max-size none",
            ),
            (Remedy::ShowRun { run: 7 }, "vacuum show 7"),
        ] {
            assert_eq!(super::command(&remedy), format!("hayloft {command}"));
        }
    }
}
