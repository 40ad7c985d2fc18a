//! The planner against a catalogue of plain maps: golden scenarios, and properties of random ones.

mod checker;
mod driving;
mod instance;
pub mod mirror;
pub mod model;
mod naive;
pub mod plain;
mod print;
mod property;
mod remedies;
mod rules;
mod scenario;
mod sequence;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use scenario::Scenario;

fn scenarios() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut all: Vec<_> = fs::read_dir(root)
        .expect("the directory of scenarios")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir())
        .collect();
    all.sort();
    all
}

/// Every scenario runs until a run plans nothing. What it prints is `expected.txt`, written anew
/// with `HAYLOFT_GOLDEN=1`.
#[test]
fn every_scenario_plans_what_its_golden_file_says() {
    let rewrite = std::env::var_os("HAYLOFT_GOLDEN").is_some();
    let mut differences = String::new();
    for dir in scenarios() {
        let input = fs::read_to_string(dir.join("input.txt")).expect("input.txt");
        let printed = print::story(&mut Scenario::parse(&input));
        let golden = dir.join("expected.txt");
        if rewrite {
            fs::write(&golden, &printed).expect("expected.txt is written");
        } else if fs::read_to_string(&golden).unwrap_or_default() != printed {
            writeln!(differences, "--- {}\n{printed}", dir.display()).expect("text");
        }
    }
    assert!(differences.is_empty(), "scenarios differ from expected.txt:\n{differences}");
}
