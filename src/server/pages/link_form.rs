//! A link as words, and as a form that becomes a change.

use super::form::Form;
use super::show;
use crate::api::{LinkChange, PolicyChange};
use crate::domain::{ByteSize, Drain, Link, Policy, StoreName};
use crate::words;

/// The value of the drain field for "to wherever there is room".
const ANYWHERE: &str = "true";

/// A policy in words, one for each thing that is set.
pub fn policy(policy: &Policy) -> Vec<String> {
    let limit = policy.soft_max_size.map(|limit| format!("soft limit {}", show::bytes(limit)));
    words::policy(policy).into_iter().chain(limit).collect()
}

/// What the drain field offers: (value, text). `unlinked` are targets that a policy has or somebody
/// chose although they are not linked: they stay what they are until somebody chooses another.
pub fn drains<'a>(
    others: impl IntoIterator<Item = &'a StoreName>,
    unlinked: impl IntoIterator<Item = StoreName>,
) -> Vec<(String, String)> {
    let fixed = [
        (String::new(), "no".to_owned()),
        (ANYWHERE.to_owned(), "yes, to where uploads would go".to_owned()),
    ];
    let named = others.into_iter().map(|name| (name.to_string(), format!("yes, to {name}")));
    let lost = unlinked.into_iter();
    let lost = lost.map(|name| (name.to_string(), format!("yes, to {name} (not linked)")));
    fixed.into_iter().chain(named).chain(lost).collect()
}

/// The form of a link as it is.
pub fn filled(link: &Link) -> Form {
    let text = |n: Option<i32>| n.map(|n| n.to_string()).unwrap_or_default();
    let policy = &link.policy;
    let drain = match &policy.drain {
        Drain::No => String::new(),
        Drain::Anywhere => ANYWHERE.to_owned(),
        Drain::Into(target) => target.to_string(),
    };
    Form::default()
        .with("upload_priority", text(link.upload_priority))
        .with("download_priority", text(link.download_priority))
        .ticked("populate", policy.populate)
        .with("drain", drain)
        .ticked("read_only", policy.read_only)
        .ticked("write_only", policy.write_only)
        .with("soft_max_size", policy.soft_max_size.map(show::exact).unwrap_or_default())
}

/// The target that a form's drain field names.
pub fn target(form: &Form) -> Option<StoreName> {
    form.given("drain")
        .filter(|drain| *drain != ANYWHERE)
        .and_then(|name| StoreName::new(name).ok())
}

/// The change that a form asks for: every setting that differs from what the page showed.
pub fn change(form: &mut Form) -> Option<LinkChange> {
    let upload_priority = form.read("upload_priority", priority);
    let download_priority = form.read("download_priority", priority);
    let soft_max_size = form.read("soft_max_size", |text| match text {
        "" | "none" => Ok(None),
        text => text.parse::<ByteSize>().map(|size| Some(size.0)).map_err(|e| e.to_string()),
    });
    let drain = form.read("drain", |text| match text {
        "" => Ok(Drain::No),
        ANYWHERE => Ok(Drain::Anywhere),
        name => StoreName::new(name).map(Drain::Into).map_err(|_| "Choose one of the list."),
    });
    let policy = PolicyChange {
        populate: form.if_touched("populate", form.is_on("populate")),
        drain: form.if_touched("drain", drain?),
        read_only: form.if_touched("read_only", form.is_on("read_only")),
        write_only: form.if_touched("write_only", form.is_on("write_only")),
        soft_max_size: form.if_touched("soft_max_size", soft_max_size?),
    };
    Some(LinkChange {
        upload_priority: form.if_touched("upload_priority", upload_priority?),
        download_priority: form.if_touched("download_priority", download_priority?),
        policy: Some(policy),
        force: form.is_on("force"),
    })
}

fn priority(text: &str) -> Result<Option<i32>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    let number = text.replace('\u{2212}', "-").parse();
    number.map(Some).map_err(|_| "Write a whole number (below zero is fine), or nothing.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ScopeId, StoreId, Timestamp};

    fn link() -> Link {
        Link {
            scope: ScopeId(1),
            store: StoreId(2),
            upload_priority: Some(-5),
            download_priority: None,
            policy: Policy {
                drain: Drain::Into(StoreName::new("usb").expect("a name")),
                read_only: true,
                soft_max_size: Some(80_000_000_000),
                ..Policy::default()
            },
            created_at: Timestamp(0),
        }
    }

    #[test]
    fn a_form_that_nobody_touched_changes_nothing() {
        let link = link();
        let change = change(&mut filled(&link)).expect("a good form");
        assert_eq!(change.upload_priority, Some(Some(-5)));
        assert_eq!(change.download_priority, Some(None));
        let policy = change.policy.expect("given").apply(&Policy::default());
        assert_eq!(policy, link.policy);
    }

    #[test]
    fn a_policy_is_told_in_words() {
        assert_eq!(policy(&link().policy), ["drain to usb", "read-only", "soft limit 80.0 GB"]);
        assert!(policy(&Policy::default()).is_empty());
    }

    #[test]
    fn each_bad_field_is_named() {
        let mut form = Form::default()
            .with("upload_priority", "high")
            .with("soft_max_size", "80XB")
            .with("drain", "a b");
        assert_eq!(change(&mut form), None);
        for name in ["upload_priority", "soft_max_size", "drain"] {
            assert!(form.text(name, "", "").contains("aria-invalid"), "{name}");
        }
        assert!(!form.text("download_priority", "", "").contains("aria-invalid"));
    }
}
