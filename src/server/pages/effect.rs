//! What a change would do to the next run, in words and as a table.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::response::Response;

use super::super::errors::Failure;
use super::frame::render;
use super::show;
use crate::api::{ChangePreview, Count, MoveAction, MoveGroup, Preview, RunError};
use crate::app::App;
use crate::domain::Timestamp;
use crate::ops::OpError;
use crate::words::Phrase;

/// Rows of the table, and parts of the sentence.
const ROWS: usize = 40;
const PARTS: usize = 3;

/// What the page says of a change that is not saved.
#[derive(Debug)]
pub enum Effect {
    Seen(Box<Seen>),
    /// It would be refused.
    Refused(Phrase),
    /// Nobody could look; it may be a good change.
    Unknown(Phrase),
}

#[derive(Debug)]
pub struct Seen {
    pub sentence: String,
    pub rows: Vec<Row>,
    /// Rows that are not shown.
    pub more: usize,
    /// What the run could not do with the change alone, with or without it, and without it alone.
    pub problems: Vec<String>,
    pub standing: Vec<String>,
    pub solved: Vec<String>,
    /// Files that stay where they are for the sake of other scopes.
    pub retained: Count,
    pub at: Timestamp,
    /// Nothing is changed yet.
    pub is_as_is: bool,
}

/// Moves that are alike, without the change and with it.
#[derive(Debug)]
pub struct Row {
    pub action: MoveAction,
    pub scope: Option<String>,
    pub from: Option<String>,
    pub to: Option<String>,
    pub before: Count,
    pub after: Count,
}

impl Row {
    pub fn is_changed(&self) -> bool {
        self.before != self.after
    }

    fn path(&self) -> Path {
        (self.action, self.from.clone(), self.to.clone())
    }
}

/// What is moved how and where.
type Path = (MoveAction, Option<String>, Option<String>);

impl Effect {
    /// What the next run would do as things are.
    pub fn as_is(previewed: Result<Arc<Preview>, OpError>) -> Self {
        match previewed {
            Ok(now) => {
                let seen = seen(&now, &now);
                let sentence =
                    match list(seen.rows.iter().map(|row| phrase(&row.path(), row.after))) {
                        None => "As things are, the next run has nothing to do.".to_owned(),
                        Some(all) => format!("As things are, the next run would {all}."),
                    };
                Self::Seen(Box::new(Seen { is_as_is: true, sentence, ..seen }))
            }
            Err(error) => Self::Unknown(error.detail()),
        }
    }

    pub fn of(preview: Result<ChangePreview, OpError>) -> Self {
        match preview {
            Ok(preview) => Self::Seen(Box::new(seen(&preview.before, &preview.after))),
            Err(
                error @ (OpError::NotFound { .. }
                | OpError::NotLinked { .. }
                | OpError::Invalid(_)
                | OpError::Field { .. }
                | OpError::Refused { .. }
                | OpError::Forbidden(_)
                | OpError::NoRun),
            ) => Self::Refused(error.detail()),
            Err(error @ (OpError::Store { .. } | OpError::Catalogue(_) | OpError::Internal(_))) => {
                Self::Unknown(error.detail())
            }
        }
    }
}

#[derive(Template)]
#[template(path = "effect.html", config = "web/askama.toml")]
struct Shown {
    effect: Effect,
    now: Timestamp,
}

/// The effect by itself, for below its form.
pub fn shown(app: &App, effect: Effect) -> Result<Response, Failure> {
    render(&Shown { effect, now: app.catalogue.clock().now() })
}

/// Moves without the change and with it.
type Sides = (Count, Count);

fn seen(before: &Preview, after: &Preview) -> Seen {
    let paths = sides(before, after, path_of);
    let rows = sides(before, after, |group| (path_of(group), group.scope.clone()));
    let mut rows: Vec<Row> = rows.into_iter().map(row).collect();
    rows.sort_by_key(|row| !row.is_changed());
    let more = rows.len().saturating_sub(ROWS);
    rows.truncate(ROWS);
    let [problems, standing, solved] = compare(&before.run.errors, &after.run.errors);
    Seen {
        sentence: sentence(&paths),
        rows,
        more,
        problems,
        standing,
        solved,
        retained: after.run.retained,
        at: after.at,
        is_as_is: false,
    }
}

fn path_of(group: &MoveGroup) -> Path {
    (group.action, group.from.clone(), group.to.clone())
}

fn sides<K: Ord + Clone>(
    before: &Preview,
    after: &Preview,
    key: impl Fn(&MoveGroup) -> K,
) -> BTreeMap<K, Sides> {
    let mut sides: BTreeMap<K, Sides> = BTreeMap::new();
    for (key, count) in MoveGroup::sums(&before.groups, &key) {
        sides.entry(key).or_default().0 = count;
    }
    for (key, count) in MoveGroup::sums(&after.groups, &key) {
        sides.entry(key).or_default().1 = count;
    }
    sides
}

fn row(((path, scope), (before, after)): ((Path, Option<String>), Sides)) -> Row {
    let (action, from, to) = path;
    Row { action, scope, from, to, before, after }
}

/// What stands in the way with the change alone, with or without it, and without it alone.
fn compare(before: &[RunError], after: &[RunError]) -> [Vec<String>; 3] {
    let (standing, new): (Vec<_>, Vec<_>) =
        after.iter().partition(|new| before.iter().any(|old| is_same(old, new)));
    let solved = before.iter().filter(|old| !after.iter().any(|new| is_about_same(old, new)));
    let told = |errors: Vec<&RunError>| errors.into_iter().map(problem).collect();
    [told(new), told(standing), told(solved.collect())]
}

fn is_same(a: &RunError, b: &RunError) -> bool {
    (&a.phase, &a.scope, &a.store, &a.cause) == (&b.phase, &b.scope, &b.store, &b.cause)
}

/// The same work, whatever stands in its way: other figures solve nothing.
fn is_about_same(a: &RunError, b: &RunError) -> bool {
    (&a.phase, &a.scope, &a.store) == (&b.phase, &b.scope, &b.store)
}

fn problem(error: &RunError) -> String {
    let place = match (&error.scope, &error.store) {
        (Some(scope), Some(store)) => format!("{scope} in {store}: "),
        (Some(one), None) | (None, Some(one)) => format!("{one}: "),
        (None, None) => String::new(),
    };
    let size = match error.files {
        0 => String::new(),
        files => format!(" ({}, {})", show::files(files), show::bytes(error.bytes)),
    };
    format!("{place}{}{size}", error.cause)
}

fn sentence(paths: &BTreeMap<Path, Sides>) -> String {
    let changed = || paths.iter().filter(|(_, (before, after))| before != after);
    if changed().next().is_none() {
        let all = list(paths.iter().map(|(path, (_, after))| phrase(path, *after)));
        return match all {
            None => "The next run would have nothing to do, with or without this.".to_owned(),
            Some(all) => format!("With or without this, the next run would {all}."),
        };
    }
    let after = list(changed().map(|(path, (_, after))| phrase(path, *after)));
    let before = list(changed().map(|(path, (before, _))| phrase(path, *before)));
    match (after, before) {
        (Some(after), None) => {
            let idle = paths.values().all(|(before, _)| before.files == 0);
            let nothing = if idle { "nothing" } else { "nothing of this" };
            format!("With this, the next run would {after}. Without it: {nothing}.")
        }
        (Some(after), Some(before)) => {
            format!("With this, the next run would {after}. Without it, it would {before}.")
        }
        (None, before) => format!(
            "With this, the next run would no longer {}.",
            before.unwrap_or_else(|| "do anything".to_owned())
        ),
    }
}

fn phrase((action, from, to): &Path, count: Count) -> Option<String> {
    if count.files == 0 {
        return None;
    }
    let what = format!("{}, {},", show::files(count.files), show::bytes(count.bytes));
    let from = from.as_ref().map(|store| format!(" from {store}")).unwrap_or_default();
    let to = to.as_ref().map(|store| format!(" to {store}")).unwrap_or_default();
    Some(match action {
        MoveAction::Copy => format!("copy {what}{from}{to}"),
        MoveAction::Move => format!("move {what}{from}{to}"),
        MoveAction::Remove => format!("remove {what}{from}"),
    })
}

/// `a, b and c`; the table has what is too long for a sentence.
fn list(phrases: impl Iterator<Item = Option<String>>) -> Option<String> {
    let all: Vec<String> = phrases.flatten().collect();
    let (shown, rest) = all.split_at(all.len().min(PARTS));
    match (shown, rest) {
        ([], _) => None,
        ([one], []) => Some(one.clone()),
        ([first @ .., last], []) => Some(format!("{}, and {last}", first.join("; "))),
        (shown, rest) => {
            let more = show::plural(rest.len() as u64, "more thing");
            Some(format!("{}, and {more}", shown.join("; ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(action: MoveAction, from: &str, to: Option<&str>) -> Path {
        (action, Some(from.to_owned()), to.map(str::to_owned))
    }

    #[test]
    fn what_stands_in_the_way_is_told_apart_by_whether_the_change_has_to_do_with_it() {
        let error = |store: &str, cause: &str| RunError {
            phase: "store-limit".to_owned(),
            scope: None,
            store: Some(store.to_owned()),
            cause: cause.to_owned(),
            remedy: None,
            files: 0,
            bytes: 0,
            digests: vec![],
        };
        let before = [error("nas", "gone"), error("disk", "1 kB over"), error("cold", "full")];
        let after = [error("nas", "gone"), error("disk", "9 kB over")];
        let [new, standing, solved] = compare(&before, &after);
        assert_eq!(new, ["disk: 9 kB over"]);
        assert_eq!(standing, ["nas: gone"]);
        assert_eq!(solved, ["cold: full"], "more of the same solves nothing");
    }

    #[test]
    fn the_sentence_says_what_the_change_is_about() {
        let none = Count::default();
        let moved = path(MoveAction::Move, "local", Some("cold"));
        let removed = path(MoveAction::Remove, "usb", None);
        let steady = (Count::new(7, 7), Count::new(7, 7));
        let mut paths = BTreeMap::from([
            (moved.clone(), (none, Count::new(1204, 83_000_000_000))),
            (removed.clone(), steady),
        ]);
        assert_eq!(
            sentence(&paths),
            "With this, the next run would move 1,204 files, 83.0 GB, from local to cold. \
             Without it: nothing of this."
        );
        paths.insert(moved.clone(), (Count::new(1, 5), none));
        assert_eq!(
            sentence(&paths),
            "With this, the next run would no longer move 1 file, 5 B, from local to cold."
        );
        paths.remove(&moved);
        assert_eq!(
            sentence(&paths),
            "With or without this, the next run would remove 7 files, 7 B, from usb."
        );
        paths.remove(&removed);
        assert!(sentence(&paths).contains("nothing to do"));
    }
}
