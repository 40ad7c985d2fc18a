//! Remedies as links of the page.

use crate::domain::{Remedy, ScopeName, StoreName};

/// Where the page does what a remedy asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageLink {
    /// The path, from the root of the page.
    pub href: String,
    pub label: String,
}

/// A scope's page. `/scopes/new` makes one, so a scope of that name is written in another way.
pub fn scope(name: &ScopeName) -> String {
    format!("/scopes/{}", segment(name.as_str()))
}

/// A store's page.
pub fn store(name: &StoreName) -> String {
    format!("/stores/{}", segment(name.as_str()))
}

fn segment(name: &str) -> &str {
    if name == "new" { "%6Eew" } else { name }
}

/// The link, if the page has a place for it.
pub fn link(remedy: &Remedy) -> Option<PageLink> {
    let (href, label) = match remedy {
        Remedy::CheckStore { store: name } => {
            (format!("{}#check", store(name)), format!("Check {name}"))
        }
        Remedy::ReconcileStore { store: name } => (store(name), format!("Reconcile {name}")),
        Remedy::ShowStore { store: name } | Remedy::ConfirmSweep { store: name } => {
            (store(name), format!("Look at {name}"))
        }
        Remedy::SetStore { store: name, .. } => {
            (format!("{}#h-set", store(name)), format!("Settings of {name}"))
        }
        Remedy::LinkStore { scope: None, .. } => {
            ("/scopes".to_owned(), "Link a store to a scope".to_owned())
        }
        Remedy::LinkStore { scope: Some(name), .. } => {
            (format!("{}#h-links", scope(name)), format!("Link a store to {name}"))
        }
        Remedy::SetLink { scope, store, .. } => {
            (format!("/scopes/{scope}/links/{store}"), format!("Change {scope} in {store}"))
        }
        Remedy::ShowRun { run } => (format!("/vacuum/runs/{run}"), format!("Look at run {run}")),
        Remedy::ResumeRun => ("/vacuum".to_owned(), "Go to the run".to_owned()),
        Remedy::CreateScope => ("/scopes/new".to_owned(), "Make a scope".to_owned()),
        Remedy::ShowStatus => ("/".to_owned(), "Overview".to_owned()),
        Remedy::AdoptDirectory => ("/stores/new".to_owned(), "Make a store".to_owned()),
        Remedy::CreateToken => ("/access".to_owned(), "Make a token".to_owned()),
        Remedy::DeleteStore { .. }
        | Remedy::UnlinkStore { .. }
        | Remedy::DefaultStore { .. }
        | Remedy::Verify
        | Remedy::Repair
        | Remedy::ReadAll
        | Remedy::StartRun
        | Remedy::ListRuns => return None,
    };
    Some(PageLink { href, label })
}
