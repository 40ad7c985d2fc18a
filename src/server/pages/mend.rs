//! Where the page does what a command does, for whoever reads the command there.

use super::places;

/// A link, and what it says.
#[derive(Debug, PartialEq, Eq)]
pub struct Way {
    pub href: String,
    pub label: String,
}

/// The place on the page for a command of ours, if it has one.
pub fn way(command: &str) -> Option<Way> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let (href, label) = match words.as_slice() {
        ["hayloft", "store", "check", store] => {
            (format!("{}#check", places::store(store)), format!("Check {store}"))
        }
        ["hayloft", "store", "reconcile", store] => {
            (places::store(store), format!("Reconcile {store}"))
        }
        ["hayloft", "store", "show", store] => (places::store(store), format!("Look at {store}")),
        ["hayloft", "store", "manage", store, ..] => {
            (format!("{}#h-set", places::store(store)), format!("Settings of {store}"))
        }
        ["hayloft", "scope", "manage", "SCOPE", ..] => {
            ("/scopes".to_owned(), "Link a store to a scope".to_owned())
        }
        ["hayloft", "scope", "manage", scope, "edit-store", store, ..] => {
            (places::link(scope, store), format!("Change {scope} in {store}"))
        }
        ["hayloft", "scope", "manage", scope, "add-store", ..] => {
            (format!("{}#h-links", places::scope(scope)), format!("Link a store to {scope}"))
        }
        ["hayloft", "vacuum", "show", run] => {
            (format!("/vacuum/runs/{run}"), format!("Look at run {run}"))
        }
        ["hayloft", "vacuum", "resume"] => ("/vacuum".to_owned(), "Go to the run".to_owned()),
        _ => return None,
    };
    Some(Way { href, label })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_mends_is_mended_on_a_page_too() {
        for (command, href) in [
            ("hayloft store check nas", Some("/stores/nas#check")),
            ("hayloft store reconcile nas", Some("/stores/nas")),
            ("hayloft store manage local --soft-max-size 5GB", Some("/stores/local#h-set")),
            (
                "hayloft scope manage media edit-store nas --read-only",
                Some("/scopes/media/links/nas"),
            ),
            ("hayloft scope manage media add-store STORE", Some("/scopes/media#h-links")),
            ("hayloft scope manage SCOPE add-store STORE", Some("/scopes")),
            ("hayloft vacuum show 7", Some("/vacuum/runs/7")),
            ("hayloft vacuum resume", Some("/vacuum")),
            ("hayloft verify --repair", None),
        ] {
            assert_eq!(way(command).map(|way| way.href).as_deref(), href, "{command}");
        }
    }
}
