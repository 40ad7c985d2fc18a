//! What no move may do, one by one, as the second opinion on a batch sees it.

use hayloft::domain::{File, FileId, ScopeId, StoreId};
use hayloft::planner::{
    Action, Batch, Cause, Move, MoveResult, Phase, Reason, Violation, admit, check,
};

use super::model::Model;
use super::scenario::Scenario;

const A: ScopeId = ScopeId(1);
const S: StoreId = StoreId(1);
const T: StoreId = StoreId(2);

/// `copy s t`, `move s t` or `remove s`, for scope a; `-` is a store that is not named.
fn step(model: &Model, file: &File, words: &str) -> Move {
    let words: Vec<_> = words.split(' ').collect();
    let store =
        |i: usize| words.get(i).and_then(|name| model.topology.store(name)).map(|store| store.id);
    Move {
        action: match words[0] {
            "copy" => Action::Copy,
            "move" => Action::Move,
            _ => Action::Remove,
        },
        file: file.id,
        digest: file.digest,
        size: file.size,
        from: store(1),
        to: store(2),
        scope: Some(A),
        via: Some(A),
        reason: Reason::Drain,
    }
}

fn model(text: &str) -> Model {
    Scenario::parse(&format!(
        "store s\nstore t max=10\nstore u\nscope a\nscope b\n{}",
        text.replace("; ", "\n")
    ))
    .model
}

fn found(model: &Model, moves: Vec<Move>) -> Vec<Violation> {
    let batch = Batch { phase: Phase::Drain, scope: Some(A), store: S, moves };
    let Ok(found) = check(&batch, model, &model.world());
    found.into_iter().map(|(_, violation)| violation).collect()
}

fn assert_violations(cases: &[(&str, &str, &[Violation])]) {
    for (text, words, expected) in cases {
        let model = model(text);
        let step = step(&model, &model.files[&FileId(1)], words);
        assert_eq!(found(&model, vec![step]), *expected, "{words}: {text}");
    }
}

#[test]
fn a_copy_needs_a_source_that_its_scope_may_read() {
    use Violation::{Held, Incomplete, Unreadable};
    assert_violations(&[
        ("link a s; link a t; file f 1 in=a at=s", "copy s t", &[]),
        ("link a s; link a t; file f 1 in=a at=s", "move s t", &[]),
        ("link a s; link a t; file f 1 in=a at=s", "copy s -", &[Incomplete]),
        ("link a s; link a t; file f 1 in=a at=s", "copy - t", &[Incomplete]),
        ("link a s; link a t; file f 1 in=a at=t", "copy s t", &[Unreadable, Held]),
        ("link a s; link a t; file f 1 in=a at=s,t", "copy s t", &[Held]),
        ("link a t; file f 1 in=a at=s", "copy s t", &[Unreadable]),
        ("link a s; link a t; unavailable s; file f 1 in=a at=s", "copy s t", &[Unreadable]),
        ("link a s write_only; link a t; file f 1 in=a at=s", "move s t", &[Unreadable]),
        ("link a s write_only; link a t; file f 1 in=a at=s", "copy s t", &[Unreadable]),
        // A move may leave an archive for a replica that was read elsewhere; no copy reads there.
        ("link a s write_only; link a t; link a u; file f 1 in=a at=s,u", "move s t", &[]),
        (
            "link a s write_only; link a t; link a u; file f 1 in=a at=s,u",
            "copy s t",
            &[Unreadable],
        ),
    ]);
}

#[test]
fn a_copy_needs_a_target_that_takes_it() {
    use Violation::{Closed, Drained, OverLimit, Unavailable};
    assert_violations(&[
        ("link a s; link a t read_only; file f 1 in=a at=s", "copy s t", &[Closed]),
        ("link a s; link a t write_only; file f 1 in=a at=s", "copy s t", &[Closed]),
        ("link a s; link a t write_only populate; file f 1 in=a at=s", "copy s t", &[]),
        ("link a s; file f 1 in=a at=s", "copy s t", &[Closed]),
        ("link a s; link a t; unavailable t; file f 1 in=a at=s", "copy s t", &[Unavailable]),
        // Drained by the scope itself, by name or not, or by another scope of the file.
        ("link a s; link a t drain; file f 1 in=a at=s", "copy s t", &[Drained]),
        ("link a s drain=t; link a t drain; file f 1 in=a at=s", "copy s t", &[Drained]),
        ("link a s; link a t; link b t drain; file f 1 in=a,b at=s", "copy s t", &[Drained]),
        ("link a s; link a t; link b t drain; file f 1 in=a at=s", "copy s t", &[]),
        ("link a s; link a t populate; link b t drain; file f 1 in=a,b at=s", "copy s t", &[]),
        ("link a s drain=t; link a t; link b t drain; file f 1 in=a,b at=s", "copy s t", &[]),
        // Each limit by itself; equal fits.
        ("link a s; link a t; file f 10 in=a at=s", "copy s t", &[]),
        ("link a s; link a t; file f 11 in=a at=s", "copy s t", &[OverLimit]),
        ("store v soft=10; link a s; link a v; file f 10 in=a at=s", "copy s v", &[]),
        ("store v soft=10; link a s; link a v; file f 11 in=a at=s", "copy s v", &[OverLimit]),
        ("link a s; link a u soft=10; file f 10 in=a at=s", "copy s u", &[]),
        ("link a s; link a u soft=10; file f 11 in=a at=s", "copy s u", &[OverLimit]),
        ("link a s; link a u; link b u soft=1; file f 2 in=a,b at=s", "copy s u", &[OverLimit]),
        ("link a s; link a u; link b u soft=1; file f 2 in=a at=s", "copy s u", &[]),
    ]);
}

#[test]
fn a_removal_leaves_every_reader_a_replica() {
    use Violation::{Incomplete, LostFile, LostReader, NothingToRemove, Populated, Unavailable};
    assert_violations(&[
        ("link a s; link a t; file f 1 in=a at=s,t", "remove s", &[]),
        ("link a s; link a t; file f 1 in=a at=s,t", "remove -", &[Incomplete]),
        ("link a s; link a t; file f 1 in=a at=t", "remove s", &[NothingToRemove]),
        ("link a s; link a t; file f 1 in=a at=s:missing,t", "remove s", &[NothingToRemove]),
        ("link a s; link a t; file f 1 in=a at=s:corrupt,t", "remove s", &[]),
        ("link a s populate; link a t; file f 1 in=a at=s:corrupt,t", "remove s", &[]),
        ("link a s populate; link a t; file f 1 in=a at=s,t", "remove s", &[Populated]),
        ("link a s; link b s populate; link a t; file f 1 in=a at=s,t", "remove s", &[]),
        ("link a s; link a t; unavailable s; file f 1 in=a at=s,t", "remove s", &[Unavailable]),
        ("link a s; link a t; file f 1 in=a at=s", "remove s", &[LostReader, LostFile]),
        ("link a s; file f 1 in=a at=s,t", "remove s", &[LostReader, LostFile]),
        (
            "link a s; link a t write_only; file f 1 in=a at=s,t",
            "remove s",
            &[LostReader, LostFile],
        ),
        (
            "link a s; link a t; unavailable t; file f 1 in=a at=s,t",
            "remove s",
            &[LostReader, LostFile],
        ),
        ("link a s; link b s; link a t; file f 1 in=a,b at=s,t", "remove s", &[LostReader]),
        // B reads it nowhere, before and after.
        ("link a s; link a t; file f 1 in=a,b at=s,t", "remove s", &[]),
        ("file f 1 in=a at=s,t", "remove s", &[LostFile]),
    ]);
}

#[test]
fn the_moves_of_a_batch_are_judged_one_after_the_other() {
    let model = model("link a s; link a t; link a u; file f 6 in=a at=s; file g 6 in=a at=s,t");
    let (f, g) = (&model.files[&FileId(1)], &model.files[&FileId(2)]);
    let batch = |moves: [(&File, &str); 2]| {
        found(&model, moves.into_iter().map(|(file, words)| step(&model, file, words)).collect())
    };
    assert_eq!(batch([(f, "copy s u"), (f, "remove s")]), []);
    assert_eq!(batch([(f, "remove s"), (f, "copy s u")])[0], Violation::LostReader);
    assert_eq!(batch([(f, "copy s t"), (g, "remove s")]), [Violation::OverLimit]);
    let entered = batch([(f, "copy s t"), (g, "remove t")]);
    assert_eq!(entered, [Violation::EntersEmptied, Violation::OverLimit]);
    assert_eq!(batch([(f, "copy s u"), (g, "remove t")]), []);
    let gone = File { id: FileId(9), ..f.clone() };
    assert_eq!(batch([(&gone, "copy s u"), (f, "copy s u")]), [Violation::NoFile]);
}

#[test]
fn a_copy_back_into_a_store_that_the_file_left_in_this_run_is_seen() {
    let mut model = model("link a s; link a t populate; file f 1 in=a at=s");
    let mut file = model.files[&FileId(1)].clone();
    file.depart(model.run, T);
    model.files.insert(file.id, file.clone());
    let back = step(&model, &file, "copy s t");
    assert_eq!(found(&model, vec![back.clone()]), [Violation::Returned]);
    model.run += 1;
    assert_eq!(found(&model, vec![back]), []);
}

#[test]
fn of_a_batch_in_which_one_move_breaks_a_rule_nothing_is_done() {
    let model = model("link a s; link a u; file f 6 in=a at=s; file g 6 in=a at=s");
    let (f, g) = (&model.files[&FileId(1)], &model.files[&FileId(2)]);
    let batch = |of_g| {
        let moves = vec![step(&model, f, "copy s u"), step(&model, g, of_g)];
        Batch { phase: Phase::Drain, scope: Some(A), store: S, moves }
    };
    let Ok(good) = admit(batch("copy s u"), &model, &model.world());
    assert_eq!(good.expect("no rule is broken").batch(), &batch("copy s u"));
    let Ok(bad) = admit(batch("remove s"), &model, &model.world());
    let refused = bad.expect_err("a scope would lose its only replica");
    let cause = Cause::Refused { violation: Violation::LostReader };
    assert_eq!(refused.results(), vec![MoveResult::Failed { store: None, cause }; 2]);
}
