//! `import workspaces`: scopes and links from a list of workspaces (SPEC 13, 39).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::links::{self, Linked};
use super::scopes::{self, DEFAULT_PRIORITY};
use super::{Actor, OpError, Refusal, find_store};
use crate::api::{Workspace, WorkspacesImported};
use crate::app::App;
use crate::catalogue::Tx;
use crate::domain::{ScopeName, StoreId, StoreName, Topology};

/// What the workspaces of one scope agree on.
struct Wanted<'a> {
    /// The first workspace that said so.
    workspace: &'a str,
    default: &'a StoreName,
    others: Vec<&'a StoreName>,
}

/// Creates what is missing and gives the default store of each scope upload priority 100, the others
/// none. Everything is checked first; on any error nothing is changed.
pub async fn import_workspaces(
    app: &Arc<App>,
    actor: &Actor,
    workspaces: &[Workspace],
) -> Result<WorkspacesImported, OpError> {
    actor.require_instance_admin()?;
    agreed(workspaces)?;
    let (actor, workspaces) = (actor.clone(), workspaces.to_vec());
    app.catalogue
        .write(move |tx| {
            let mut done = WorkspacesImported { scopes_created: 0, links_created: 0 };
            for (scope, wanted) in agreed(&workspaces)? {
                apply(tx, &actor, scope, &wanted, &mut done)?;
            }
            Ok(done)
        })
        .await
}

/// One opinion per scope, or the two workspaces that disagree.
fn agreed(workspaces: &[Workspace]) -> Result<BTreeMap<&ScopeName, Wanted<'_>>, OpError> {
    let mut scopes: BTreeMap<&ScopeName, Wanted<'_>> = BTreeMap::new();
    for w in workspaces {
        let mut others: Vec<&StoreName> =
            w.other_file_stores.iter().filter(|s| **s != w.default_file_store).collect();
        others.sort();
        others.dedup();
        let wanted = Wanted { workspace: &w.workspace, default: &w.default_file_store, others };
        match scopes.get(&w.scope) {
            Some(first) if first.default != wanted.default || first.others != wanted.others => {
                return Err(disagreement(&w.scope, first, &wanted));
            }
            Some(_) => {}
            None => {
                scopes.insert(&w.scope, wanted);
            }
        }
    }
    Ok(scopes)
}

fn disagreement(scope: &ScopeName, a: &Wanted<'_>, b: &Wanted<'_>) -> OpError {
    let stores = |w: &Wanted<'_>| {
        let others: Vec<&str> = w.others.iter().map(|s| s.as_str()).collect();
        format!("default {}, others [{}]", w.default, others.join(", "))
    };
    OpError::refused(
        Refusal::WorkspacesDisagree,
        format!(
            "the workspaces {:?} ({}) and {:?} ({}) of scope {scope} disagree: make them agree, or give them different \
             scopes; nothing was changed",
            a.workspace,
            stores(a),
            b.workspace,
            stores(b)
        ),
    )
    .with("scope", scope.as_str())
    .with("workspaces", vec![a.workspace.to_owned(), b.workspace.to_owned()])
}

fn apply(
    tx: &mut Tx<'_>,
    actor: &Actor,
    name: &ScopeName,
    wanted: &Wanted<'_>,
    done: &mut WorkspacesImported,
) -> Result<(), OpError> {
    let stores = stores(tx.topology(), wanted)?;
    let known = tx.topology().scope(name.as_str()).map(|s| s.id);
    let scope = if let Some(id) = known {
        id
    } else {
        done.scopes_created += 1;
        scopes::insert(tx, actor, name, false)?
    };
    for (store, priority) in stores {
        if links::prioritise(tx, actor, scope, store, priority)? == Linked::Now {
            done.links_created += 1;
        }
    }
    Ok(())
}

fn stores(
    topology: &Topology,
    wanted: &Wanted<'_>,
) -> Result<Vec<(StoreId, Option<i32>)>, OpError> {
    let mut all = vec![(find_store(topology, wanted.default)?.id, Some(DEFAULT_PRIORITY))];
    for name in &wanted.others {
        all.push((find_store(topology, name)?.id, None));
    }
    Ok(all)
}
