//! Runs in the catalogue: the last 100, and the moves of the last one.

use crate::api::{MoveView, Outcome, Run};
use crate::catalogue::values::RunMoves;
use crate::catalogue::{Catalogue, CatalogueError, values};
use crate::domain::Timestamp;

use super::live::fresh_run;

/// Records a new run under the next id.
pub async fn begin(catalogue: &Catalogue, now: Timestamp) -> Result<Run, CatalogueError> {
    catalogue
        .write(move |tx| {
            let id = tx.new_run_id()?;
            let run = fresh_run(Some(id), now);
            tx.put_run(id, &run)?;
            Ok(run)
        })
        .await
}

fn is_open(run: &Run) -> bool {
    matches!(run.outcome, Outcome::Running | Outcome::Paused)
}

/// The run that an earlier process left under way.
pub fn unfinished(catalogue: &Catalogue) -> Result<Option<Run>, CatalogueError> {
    Ok(catalogue.snapshot()?.runs(1)?.into_iter().find(is_open))
}

/// Writes the run as it is now, without its moves.
pub async fn record(catalogue: &Catalogue, run: &Run) -> Result<(), CatalogueError> {
    let run = Run { moves: None, progress: None, ..run.clone() };
    let id = run.id.unwrap_or_default();
    catalogue.write(move |tx| tx.put_run(id, &run)).await
}

/// Writes a run that has ended, and its moves in place of those of the run before.
pub async fn conclude(
    catalogue: &Catalogue,
    run: &Run,
    moves: Vec<MoveView>,
) -> Result<(), CatalogueError> {
    let run = Run { moves: None, progress: None, ..run.clone() };
    let id = run.id.unwrap_or_default();
    let moves = RunMoves { run: id, moves };
    catalogue
        .write(move |tx| {
            tx.put_run(id, &run)?;
            tx.set_value(&values::MOVES_OF_LAST_RUN, &moves)
        })
        .await
}

/// A run by its id; `moves` asks for its moves, where they are kept.
pub fn find(catalogue: &Catalogue, id: u64, moves: bool) -> Result<Option<Run>, CatalogueError> {
    let snapshot = catalogue.snapshot()?;
    let Some(mut run) = snapshot.run(id)? else { return Ok(None) };
    if moves {
        let kept = snapshot.value(&values::MOVES_OF_LAST_RUN)?;
        run.moves = kept.filter(|kept| kept.run == id).map(|kept| kept.moves);
    }
    Ok(Some(run))
}

/// When the last run finished; a new instance counts as just maintained.
pub async fn last_finished(
    catalogue: &Catalogue,
    now: Timestamp,
) -> Result<Timestamp, CatalogueError> {
    let runs = catalogue.snapshot()?.runs(100)?;
    if let Some(at) = runs.iter().filter_map(|run| run.finished_at).max() {
        return Ok(at);
    }
    catalogue
        .write(move |tx| {
            if let Some(born) = tx.value(&values::MAINTAINED_SINCE)? {
                return Ok(born);
            }
            tx.set_value(&values::MAINTAINED_SINCE, &now)?;
            Ok(now)
        })
        .await
}
