//! Scopes, links and files, for people.

use super::table::{Table, bytes, count, files_and_bytes, of_limit, or_dash, time, warnings};
use crate::api::{Explanation, FileView, LinkView, MoveView, ScopeView};
use crate::domain::Policy;
use crate::words;

pub fn scopes(list: &Vec<ScopeView>) -> String {
    let mut table = Table::new(&["SCOPE", ">FILES", ">BYTES", "STORES", "PUBLIC READ"]);
    for scope in list {
        let stores: Vec<_> = scope.stores.iter().map(|link| link.store.as_str()).collect();
        table.row([
            scope.name.to_string(),
            scope.files.to_string(),
            bytes(scope.bytes),
            stores.join(", "),
            yes(scope.public_read).to_owned(),
        ]);
    }
    table.show_or("No scopes. Create one: hayloft scope create NAME")
}

pub fn scope(scope: &ScopeView) -> String {
    let public = if scope.public_read { ", public read" } else { "" };
    let files = count(scope.files, "file");
    let mut text = format!("{}: {files}, {}{public}\n\n", scope.name, bytes(scope.bytes));
    let mut table = Table::new(&[
        "STORE",
        "BACKEND",
        ">UPLOAD",
        ">DOWNLOAD",
        "POLICY",
        ">FILES",
        ">BYTES",
        ">MISSING",
        ">ONLY HERE",
        "STATE",
    ]);
    for link in &scope.stores {
        table.row(link_row(link));
    }
    text += &table.show_or("No store is linked: uploads are refused.");
    for link in &scope.stores {
        text += &link_notes(link);
    }
    text
}

fn link_row(link: &LinkView) -> [String; 10] {
    [
        link.store.to_string(),
        link.backend.clone(),
        or_dash(link.upload_priority),
        or_dash(link.download_priority),
        policy(&link.policy),
        link.files.to_string(),
        of_limit(link.bytes, link.policy.soft_max_size),
        files_and_bytes(link.missing_files, link.missing_bytes),
        if link.only_here_files == 0 { "-".to_owned() } else { link.only_here_files.to_string() },
        link.state.as_str().to_owned(),
    ]
}

/// What a table cell cannot say: bytes held back, files kept for others, warnings.
pub fn link_notes(link: &LinkView) -> String {
    let mut text = String::new();
    if link.tombstone_bytes > 0 {
        let held = bytes(link.tombstone_bytes);
        text += &format!("\n{}: {held} of deleted files within their grace period", link.store);
    }
    for kept in &link.retained {
        let files = count(kept.files, "file");
        let held = bytes(kept.bytes);
        let (store, scope) = (&link.store, &kept.scope);
        let bound = if kept.at_least { "at least " } else { "" };
        text += &format!("\n{store}: {bound}{files} ({held}) retained for scope {scope}");
    }
    text + &warnings("", &link.warnings)
}

fn policy(policy: &Policy) -> String {
    let words = words::policy(policy);
    if words.is_empty() { "-".to_owned() } else { words.join(", ") }
}

pub fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

fn file_facts(file: &FileView) -> String {
    format!(
        "scope         {}\npath          {}\ndigest        {}\nsize          {} ({})\n\
         content type  {}\ncreated       {}\nlast used     {}\n",
        file.scope,
        file.path,
        file.digest,
        file.size,
        bytes(file.size),
        file.content_type,
        time(file.created_at),
        time(file.last_used),
    )
}

pub fn file(file: &FileView) -> String {
    let mut table = Table::new(&["STORE", "STATE", "STORED", "VERIFIED"]);
    for replica in &file.replicas {
        table.row([
            replica.store.to_string(),
            replica.state.as_str().to_owned(),
            time(replica.stored_at),
            replica.verified_at.map_or_else(|| "never".to_owned(), time),
        ]);
    }
    format!("{}\n{}", file_facts(file), table.show_or("No replica: the file is lost."))
}

pub fn explanation(explained: &Explanation) -> String {
    let mut text = file_facts(&explained.file);
    let served = or_dash(explained.served_from.as_ref());
    text += &format!("served from   {served}\n");
    text += &format!("in scopes     {}\n\n", explained.scopes.join(", "));
    let mut table = Table::new(&["STORE", "STATE", "SERVES", "REMOVABLE", "WHY"]);
    for replica in &explained.explained {
        table.row([
            replica.store.to_string(),
            replica.state.as_str().to_owned(),
            yes(replica.serves).to_owned(),
            yes(replica.removable).to_owned(),
            replica.why.to_string(),
        ]);
    }
    text += &table.show_or("No replica: the file is lost.");
    if explained.next_run.is_empty() {
        return text + "\n\nThe next run leaves it as it is.";
    }
    text + "\n\nThe next run would:\n" + &moves(&explained.next_run)
}

pub fn moves(list: &[MoveView]) -> String {
    let mut table = Table::new(&["ACTION", "DIGEST", ">SIZE", "FROM", "TO", "FOR SCOPE", "REASON"]);
    for step in list {
        table.row([
            step.action.as_str().to_owned(),
            step.digest.to_hex()[..12].to_owned(),
            bytes(step.size),
            or_dash(step.from.as_ref()),
            or_dash(step.to.as_ref()),
            or_dash(step.scope.as_ref()),
            step.reason.clone(),
        ]);
    }
    table.show_or("Nothing to do.")
}
