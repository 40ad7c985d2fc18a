//! `tests/README.md` maps the contract to tests. These tests hold it to the truth: every item is
//! there, and whatever it names exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A row of a table: its first cell, and what its last cell names.
struct Row {
    item: String,
    tests: Vec<String>,
}

/// Rows whose first cell is of the shape `is_item`.
fn rows(is_item: impl Fn(&str) -> bool) -> Vec<Row> {
    let text = fs::read_to_string(root().join("tests/README.md")).expect("tests/README.md");
    let lines = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let cells = lines.map(|line| line.split(" | ").map(str::trim).collect::<Vec<_>>());
    let ours = cells.filter(|cells| cells.len() == 3 && is_item(cells[0]));
    ours.map(|cells| Row {
        item: cells[0].to_owned(),
        tests: cells[2].split('`').skip(1).step_by(2).map(str::to_owned).collect(),
    })
    .collect()
}

fn number(text: &str, prefix: &str) -> Option<u32> {
    text.strip_prefix(prefix)?.parse().ok()
}

fn is_acceptance(item: &str) -> bool {
    ["", "R", "C"].iter().any(|prefix| number(item, prefix).is_some())
}

fn is_section(item: &str) -> bool {
    item.starts_with('§')
}

/// All Rust files below a directory.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a directory").map(|e| e.expect("an entry").path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .collect()
}

/// Where a file stands in the tree of modules: `http/reads.rs` is `http::reads`.
fn module(path: &Path, base: &Path) -> String {
    let path = path.strip_prefix(base).expect("below").with_extension("");
    let parts: Vec<_> = path.iter().map(|p| p.to_string_lossy().into_owned()).collect();
    let parts = parts.iter().map(String::as_str).filter(|p| *p != "mod" && *p != "main");
    parts.collect::<Vec<_>>().join("::")
}

/// Names of the functions with a test's attribute, which a macro may carry.
fn tests_in(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(rest) = line.strip_prefix("async fn ").or(line.strip_prefix("fn "))
            && std::mem::take(&mut is_test)
        {
            found.extend(rest.split(['(', '<']).next().map(str::to_owned));
        }
    }
    found
}

/// Every test by its path as `cargo nextest list` prints it, without the backends that the
/// conformance suite puts between.
fn all_tests() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (base, suffix) in [("tests/it", ""), ("src", "::tests")] {
        let base = root().join(base);
        for path in sources(&base) {
            let module = module(&path, &base);
            let text = fs::read_to_string(&path).expect("readable");
            // A test at the first level stands in a file of tests.
            let is_test = |line: &str| line == "#[test]" || line.starts_with("#[tokio::test");
            let in_own_file = suffix.is_empty() || text.lines().any(is_test);
            let module = if in_own_file { module } else { module + suffix };
            all.extend(tests_in(&text).into_iter().map(|name| format!("{module}::{name}")));
        }
    }
    all
}

fn exists(named: &str, all: &BTreeSet<String>) -> bool {
    match named.strip_prefix("scenarios/") {
        Some(name) => root().join("tests/scenarios").join(name).join("expected.txt").exists(),
        None => all.contains(named),
    }
}

#[test]
fn every_item_recipe_and_naive_case_of_the_acceptance_list_has_its_tests() {
    let rows = rows(is_acceptance);
    let items: Vec<_> = rows.iter().map(|row| row.item.clone()).collect();
    let expected = (1..=39).map(|n| n.to_string());
    let expected = expected.chain((1..=5).map(|n| format!("R{n}")));
    let expected: Vec<_> = expected.chain((1..=7).map(|n| format!("C{n}"))).collect();
    assert_eq!(items, expected, "each item once, in order");
    for row in &rows {
        assert!(!row.tests.is_empty(), "item {} has no test", row.item);
    }
}

#[test]
fn every_test_that_the_tables_name_exists() {
    let all = all_tests();
    assert!(all.len() > 300, "the tests are not found: {}", all.len());
    let mut absent = Vec::new();
    for row in rows(|item| is_acceptance(item) || is_section(item)) {
        let missing = row.tests.into_iter().filter(|named| !exists(named, &all));
        absent.extend(missing.map(|named| format!("{}: {named}", row.item)));
    }
    assert!(absent.is_empty(), "named in tests/README.md and not there:\n{}", absent.join("\n"));
}

/// A test that stands for two items proves each of them by half, unless it says so in its name.
#[test]
fn no_test_stands_for_two_items_unless_its_name_has_both() {
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows(is_acceptance) {
        for named in row.tests {
            seen.entry(named).or_default().push(row.item.clone());
        }
    }
    for (named, items) in seen {
        let numbers: BTreeSet<&str> = named.split(|c: char| !c.is_ascii_digit()).collect();
        let says_so = |item: &String| {
            let plain = item.trim_start_matches(['R', 'C']);
            numbers.iter().any(|n| n.trim_start_matches('0') == plain)
        };
        let is_range = named.contains("_to_") && items.iter().any(says_so);
        assert!(
            items.len() == 1 || is_range || items.iter().all(says_so),
            "{named} stands for {items:?}"
        );
    }
}

#[test]
fn every_scenario_is_in_a_table() {
    let rows = rows(|item| is_acceptance(item) || is_section(item));
    let named: BTreeSet<_> = rows.into_iter().flat_map(|row| row.tests).collect();
    let entries = fs::read_dir(root().join("tests/scenarios")).expect("the scenarios");
    let all: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir())
        .map(|path| format!("scenarios/{}", path.file_name().expect("a name").to_string_lossy()))
        .collect();
    assert!(!all.is_empty());
    let lost: Vec<_> = all.into_iter().filter(|name| !named.contains(name)).collect();
    assert!(lost.is_empty(), "not in tests/README.md:\n{}", lost.join("\n"));
}

/// The other way round: a test of the acceptance list that no row names is one that nobody finds.
#[test]
fn every_acceptance_test_is_in_its_table() {
    let named: BTreeSet<_> = rows(|item| is_acceptance(item) || is_section(item))
        .into_iter()
        .flat_map(|row| row.tests)
        .collect();
    let ours = all_tests().into_iter().filter(|test| {
        ["acceptance::", "recipes::", "spec_sentences::"].iter().any(|room| test.starts_with(room))
    });
    let lost: Vec<_> = ours.filter(|test| !named.contains(test)).collect();
    assert!(lost.is_empty(), "not in tests/README.md:\n{}", lost.join("\n"));
}

#[test]
fn every_section_of_the_contract_has_rows() {
    let rows = rows(is_section);
    for section in 2..=12 {
        let name = format!("§{section}");
        assert!(rows.iter().any(|row| row.item == name && !row.tests.is_empty()), "{name}");
    }
}
