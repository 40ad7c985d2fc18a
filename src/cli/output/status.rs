//! `hayloft status` for people, on one screen: what is wrong, then what there is.

use super::runs::one_line;
use super::table::{Table, bytes, or_dash, time};
use crate::api::{Attention, Severity, Status, StoreView};

/// Stores that are listed; a screen holds no more beside the rest.
const STORES: usize = 12;
/// Things to look at that are told in full.
const TOLD: usize = 8;

/// `start`: the command that starts a server, when this command opened the catalogue itself because
/// there is none.
pub fn status(status: &Status, start: Option<&str>) -> String {
    let mut all = status.attention.clone();
    if let Some(start) = start {
        let what = "no server is running: uploads and downloads are not possible".into();
        let (severity, command) = (Severity::Error, Some(start.to_owned()));
        all.insert(0, Attention { severity, what, command, remedy: None });
    }
    let (wrong, advice): (Vec<_>, Vec<_>) = all.iter().partition(|a| a.severity == Severity::Error);
    let since = match start {
        None => format!(", running since {}", time(status.started_at)),
        Some(_) => String::new(),
    };
    let verdict = match wrong.len() {
        0 => "all is well".to_owned(),
        1 => "1 thing is wrong".to_owned(),
        n => format!("{n} things are wrong"),
    };
    let mut text = format!("Hayloft {}{since}: {verdict}\n", status.version);
    text += &list(&wrong);
    text += &format!("\n{}\n\n{}", stores(&status.stores), facts(status, start.is_some()));
    if !advice.is_empty() {
        text += &format!("\nAdvice\n{}", list(&advice));
    }
    text
}

fn list(all: &[&Attention]) -> String {
    let mut text = String::new();
    for one in all.iter().take(TOLD) {
        text += &format!("- {}\n", one.what);
        if let Some(command) = &one.command {
            text += &format!("    {command}\n");
        }
    }
    if all.len() > TOLD {
        text += &format!("- and {} more: hayloft --json status\n", all.len() - TOLD);
    }
    text
}

fn stores(all: &[StoreView]) -> String {
    let headings =
        ["STORE", "HEALTH", ">FILES", ">BYTES", ">SOFT LIMIT", ">HARD LIMIT", ">FULL", ">SCOPES"];
    let mut table = Table::new(&headings);
    for store in all.iter().take(STORES) {
        let scopes = store.scopes.iter().filter(|s| s.linked).count();
        table.row([
            store.name.to_string(),
            store.health.state.to_string(),
            store.files.to_string(),
            bytes(store.bytes),
            or_dash(store.soft_max_size.map(bytes)),
            or_dash(store.max_size.map(bytes)),
            or_dash(full(store)),
            scopes.to_string(),
        ]);
    }
    let text = table.show_or("No stores. Create one: hayloft store create NAME local --root DIR");
    if all.len() > STORES {
        format!("{text}\n… and {} more: hayloft store list", all.len() - STORES)
    } else {
        text
    }
}

/// Bytes against the nearer limit, rounded up: 100 % and less is within it.
fn full(store: &StoreView) -> Option<String> {
    let percent = |used: u64, limit: u64| {
        let used = u128::from(used) * 100;
        if limit == 0 { used.min(1) * 100 } else { used.div_ceil(u128::from(limit)) }
    };
    let hard = store.bytes + store.reserved_bytes + store.writing_bytes + store.deleting_bytes;
    let soft = store.soft_max_size.map(|limit| percent(store.bytes, limit));
    let max = store.max_size.map(|limit| percent(hard, limit));
    soft.max(max).map(|p| format!("{p} %"))
}

fn facts(status: &Status, is_down: bool) -> String {
    let safety = &status.safety;
    let mut text = format!(
        "Files      {} ({})\nSafety     readable from two or more stores {}, from one {}, from none {}\n",
        status.files,
        bytes(status.bytes),
        safety.readable_2_or_more,
        safety.readable_1,
        safety.readable_0,
    );
    if let Some(id) = status.running {
        text += &format!("This run   {id} is at work: hayloft vacuum attaches to it\n");
    }
    text += &match &status.last_run {
        Some(run) => format!("Last run   {}, {}\n", time(run.started_at), one_line(run)),
        None => {
            "Last run   none yet: hayloft vacuum --dry-run shows what one would do\n".to_owned()
        }
    };
    text += &match status.next_run {
        _ if is_down => "Next run   when a server runs\n".to_owned(),
        Some(next) => format!("Next run   {}\n", time(next)),
        None => "Next run   never by itself: the schedule is off\n".to_owned(),
    };
    text
}
