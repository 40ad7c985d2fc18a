//! Moves, planned or made: their sums by stores and scopes, and one by one, page by page.

use std::fmt::Write as _;
use std::sync::Arc;

use super::super::super::errors::Failure;
use super::super::form::Form;
use super::super::frame::Visit;
use super::super::show;
use crate::api::{Count, FileName, MoveAction, MoveGroup, MoveView};
use crate::app::App;
use crate::domain::Digest;
use crate::ops;

/// Moves on a page.
const PAGE: usize = 100;
/// Scopes named under one pair of stores.
const SHARES: usize = 12;

/// Which moves of a list are looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    action: Option<MoveAction>,
    scope: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

impl Filter {
    /// As the address asks; 400 for an action that does not exist.
    pub fn of(visit: &Visit) -> Result<Self, Failure> {
        let text = |name| Some(visit.get(name).trim().to_owned()).filter(|text| !text.is_empty());
        let actions = [MoveAction::Copy, MoveAction::Move, MoveAction::Remove];
        let named = |name: String| match actions.into_iter().find(|one| show::action(*one) == name)
        {
            Some(action) => Ok(action),
            None => Err(Failure::invalid(
                "malformed-query",
                format!("action is copy, move or remove, not {name:?}"),
            )),
        };
        Ok(Self {
            action: text("action").map(named).transpose()?,
            scope: text("scope"),
            from: text("from"),
            to: text("to"),
        })
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn takes(&self, step: &MoveView) -> bool {
        let fits =
            |wanted: &Option<String>, has: &Option<String>| wanted.is_none() || wanted == has;
        self.action.is_none_or(|action| action == step.action)
            && fits(&self.scope, &step.scope)
            && fits(&self.from, &step.from)
            && fits(&self.to, &step.to)
    }

    /// The parameters that ask for this, and for a page of it.
    fn query(&self, page: usize) -> String {
        let mut query = String::new();
        let action = self.action.map(|action| show::action(action).to_owned());
        let all =
            [("action", &action), ("scope", &self.scope), ("from", &self.from), ("to", &self.to)];
        for (name, value) in all {
            if let Some(value) = value {
                push(&mut query, name, &show::url(value));
            }
        }
        if page > 1 {
            push(&mut query, "page", &page.to_string());
        }
        query
    }

    fn form(&self) -> Form {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        Form::default()
            .with("action", self.action.map(show::action).unwrap_or_default())
            .with("scope", text(&self.scope))
            .with("from", text(&self.from))
            .with("to", text(&self.to))
    }
}

fn push(query: &mut String, name: &str, value: &str) {
    let joint = if query.is_empty() { '?' } else { '&' };
    let done = write!(query, "{joint}{name}={value}");
    debug_assert!(done.is_ok(), "a string takes everything");
}

/// All moves of one action between one pair of stores.
pub struct Pair {
    pub action: &'static str,
    pub from: Option<String>,
    pub to: Option<String>,
    pub count: Count,
    /// Where they are listed.
    pub href: String,
    /// Who asks for them, the largest first.
    pub shares: Vec<Share>,
    /// Scopes that are not named.
    pub more: usize,
}

/// A scope's part of a pair.
pub struct Share {
    pub scope: Option<String>,
    pub reason: String,
    pub count: Count,
}

/// Groups that come in the order of their pairs, as pairs.
fn pairs(groups: &[MoveGroup], base: &str) -> Vec<Pair> {
    let same =
        |a: &MoveGroup, b: &MoveGroup| (a.action, &a.from, &a.to) == (b.action, &b.from, &b.to);
    groups.chunk_by(same).filter_map(|chunk| pair(chunk, base)).collect()
}

fn pair(groups: &[MoveGroup], base: &str) -> Option<Pair> {
    let first = groups.first()?;
    let count = MoveGroup::sums(groups, |_| ()).remove(&()).unwrap_or_default();
    let share = |group: &MoveGroup| Share {
        scope: group.scope.clone(),
        reason: group.reason.clone(),
        count: group.count,
    };
    let mut shares: Vec<Share> = groups.iter().map(share).collect();
    shares.sort_by_key(|share| std::cmp::Reverse(share.count.bytes));
    let more = shares.len().saturating_sub(SHARES);
    shares.truncate(SHARES);
    let (from, to) = (first.from.clone(), first.to.clone());
    let filter =
        Filter { action: Some(first.action), scope: None, from: from.clone(), to: to.clone() };
    let href = format!("{base}{}#files", filter.query(1));
    Some(Pair { action: show::action(first.action), from, to, count, href, shares, more })
}

/// The sums of moves that nobody summed up yet.
pub fn grouped(moves: &[MoveView]) -> Vec<MoveGroup> {
    MoveGroup::merged(moves.iter().cloned().map(|step| MoveGroup {
        action: step.action,
        scope: step.scope,
        from: step.from,
        to: step.to,
        reason: step.reason,
        count: Count::new(1, step.size),
    }))
}

/// One move.
pub struct Row {
    /// A path of the file, where it has one.
    pub name: Option<FileName>,
    pub digest: Digest,
    pub size: u64,
    pub action: &'static str,
    pub from: Option<String>,
    pub to: Option<String>,
    pub reason: String,
}

/// What a list is made of.
pub struct Source<'a> {
    /// The address of the list.
    pub base: String,
    pub groups: &'a [MoveGroup],
    /// The moves that are kept.
    pub listed: &'a [MoveView],
    /// All moves.
    pub total: u64,
}

/// Moves as a page lists them.
pub struct Moves {
    base: String,
    filter: Filter,
    /// From 1.
    page: usize,
    pub pairs: Vec<Pair>,
    pub rows: Vec<Row>,
    /// All moves, also those that are not kept.
    pub total: u64,
    /// Those that can be listed, and those of them that pass the filter.
    pub kept: usize,
    pub matching: usize,
}

impl AsRef<Self> for Moves {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Moves {
    /// The page of the list that is asked for.
    pub async fn new(app: &Arc<App>, visit: &Visit, source: Source<'_>) -> Result<Self, Failure> {
        let filter = Filter::of(visit)?;
        let page = visit.number("page")?.unwrap_or(1_usize).max(1);
        let matching = source.listed.iter().filter(|step| filter.takes(step)).count();
        let page = page.min(matching.div_ceil(PAGE).max(1));
        let shown = source.listed.iter().filter(|step| filter.takes(step));
        let shown: Vec<&MoveView> = shown.skip((page - 1) * PAGE).take(PAGE).collect();
        let wanted = shown.iter().map(|step| (step.digest, step.scope.clone())).collect();
        let names = ops::vacuum::names_of(app, &visit.actor, wanted).await?;
        let rows = shown.into_iter().map(|step| Row {
            name: names.get(&step.digest).cloned(),
            digest: step.digest,
            size: step.size,
            action: show::action(step.action),
            from: step.from.clone(),
            to: step.to.clone(),
            reason: step.reason.clone(),
        });
        Ok(Self {
            pairs: pairs(source.groups, &source.base),
            rows: rows.collect(),
            total: source.total,
            kept: source.listed.len(),
            base: source.base,
            filter,
            page,
            matching,
        })
    }

    /// The address of another page of the same list.
    fn at(&self, page: usize) -> String {
        format!("{}{}#files", self.base, self.filter.query(page))
    }

    fn pages(&self) -> usize {
        self.matching.div_ceil(PAGE).max(1)
    }

    pub fn newer(&self) -> Option<String> {
        (self.page > 1).then(|| self.at(self.page - 1))
    }

    pub fn older(&self) -> Option<String> {
        (self.page < self.pages()).then(|| self.at(self.page + 1))
    }

    /// `1 to 100 of 1,204`, and what is not there.
    pub fn range(&self) -> String {
        let count = |n: usize| show::number(n as u64);
        let first = (self.page - 1) * PAGE + 1;
        let of = if self.filter.is_empty() { "" } else { " that match" };
        let shown = match self.rows.len() {
            0 => return "None match.".to_owned(),
            n => format!(
                "{} to {} of {}{of}",
                count(first),
                count(first + n - 1),
                count(self.matching)
            ),
        };
        if self.is_whole() {
            return shown;
        }
        format!(
            "{shown}, among the {} that are listed of {}",
            count(self.kept),
            show::plural(self.total, "move")
        )
    }

    /// Whether every move can be listed.
    pub fn is_whole(&self) -> bool {
        self.kept as u64 >= self.total
    }

    pub fn is_filtered(&self) -> bool {
        !self.filter.is_empty()
    }

    /// The whole list.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The fields by which the list is narrowed down. Markup.
    pub fn fields(&self) -> String {
        let form = self.filter.form();
        let actions = [("", "any"), ("copy", "copy"), ("move", "move"), ("remove", "remove")];
        let mut markup = form.choice("action", "Action", "", &actions);
        for (name, label, side) in [
            ("from", "From", (|pair| pair.from.as_ref()) as fn(&Pair) -> Option<&String>),
            ("to", "To", |pair| pair.to.as_ref()),
        ] {
            let mut stores: Vec<&str> =
                self.pairs.iter().filter_map(side).map(String::as_str).collect();
            stores.sort_unstable();
            stores.dedup();
            let mut options = vec![("", "any store")];
            options.extend(stores.into_iter().map(|store| (store, store)));
            markup += &form.choice(name, label, "", &options);
        }
        markup + &form.text("scope", "Scope", "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(action: MoveAction, to: &str, scope: &str, bytes: u64) -> MoveGroup {
        MoveGroup {
            action,
            scope: Some(scope.to_owned()),
            from: Some("local".to_owned()),
            to: Some(to.to_owned()),
            reason: "why".to_owned(),
            count: Count { files: 1, bytes },
        }
    }

    #[test]
    fn groups_of_one_pair_of_stores_are_one_row_with_the_largest_scope_first() {
        let groups = [
            group(MoveAction::Copy, "x", "a", 1),
            group(MoveAction::Copy, "x", "b&c", 5),
            group(MoveAction::Move, "x", "a", 7),
        ];
        let pairs = pairs(&groups, "/vacuum/plan");
        let shown: Vec<_> =
            pairs.iter().map(|p| (p.action, p.count.bytes, p.shares.len())).collect();
        assert_eq!(shown, [("copy", 6, 2), ("move", 7, 1)]);
        assert_eq!(pairs[0].shares[0].scope.as_deref(), Some("b&c"));
        assert_eq!(pairs[0].href, "/vacuum/plan?action=copy&from=local&to=x#files");
    }

    #[test]
    fn a_filter_is_its_address() {
        let filter = Filter {
            action: Some(MoveAction::Remove),
            scope: Some("a&b".to_owned()),
            ..Filter::default()
        };
        assert_eq!(filter.query(2), "?action=remove&scope=a%26b&page=2");
        assert_eq!(Filter::default().query(1), "");
    }

    #[test]
    fn moves_are_summed_up_by_action_stores_scope_and_reason() {
        let step = |size, reason: &str| MoveView {
            action: MoveAction::Copy,
            scope: None,
            digest: Digest([0; 32]),
            size,
            from: None,
            to: Some("x".to_owned()),
            reason: reason.to_owned(),
        };
        let groups = grouped(&[step(1, "a"), step(2, "b"), step(4, "a")]);
        let sums: Vec<_> = groups.iter().map(|g| (g.reason.as_str(), g.count.bytes)).collect();
        assert_eq!(sums, [("a", 5), ("b", 2)]);
    }
}
