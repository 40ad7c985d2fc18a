//! The table of layers and the habits that a compiler does not check.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const MAX_LINES: usize = 599;

/// What stands at the top of the repository, and nothing else.
const TOP: [&str; 15] = [
    ".ci",
    ".gitignore",
    ".rustfmt.toml",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "config.example.toml",
    "packaging",
    "rust-toolchain.toml",
    "src",
    "tests",
    "web",
];

/// Rooms that stand for a fact of the world, and the shapes that all layers above speak.
const GROUND: [&str; 5] = ["domain", "clock", "random", "api", "words"];

/// The rooms, each with those it may use besides itself.
const LAYERS: [(&str, &[&[&str]]); 19] = [
    ("domain", &[]),
    ("clock", &[&["domain"]]),
    ("random", &[]),
    ("histogram", &[]),
    ("planner", &[&["domain"]]),
    ("catalogue", &[&GROUND]),
    ("stores", &[&["domain", "clock", "random", "histogram"]]),
    // Below `api`: what is said is a value to the page and a text on the wire.
    ("words", &[&["domain", "planner", "stores"]]),
    // The steps of a store's check are shown as the store reports them.
    ("api", &[&["domain", "stores", "words"]]),
    ("config", &[&["domain", "logging"]]),
    ("logging", &[]),
    ("transfer", &[&GROUND, &["planner", "catalogue", "stores"]]),
    ("maintenance", &[&GROUND, &["planner", "catalogue", "stores", "transfer", "config"]]),
    ("app", &[&GROUND, &BELOW_OPS]),
    // An operation is given the open instance.
    ("ops", &[&GROUND, &BELOW_OPS, &["app"]]),
    ("open", &[&GROUND, &BELOW_OPS, &["app", "ops"]]),
    ("server", &[&GROUND, &BELOW_OPS, &["ops", "app", "logging", "histogram"]]),
    ("cli", &[&GROUND, &["app", "config", "logging", "open", "server"]]),
    ("main", &[]),
];

const BELOW_OPS: [&str; 6] =
    ["planner", "catalogue", "stores", "transfer", "maintenance", "config"];

/// Crates that only some places may name: a file or room, or the beginning of a path below `src`.
const CRATES: [(&str, &[&str]); 6] = [
    ("redb", &["catalogue"]),
    ("bincode", &["catalogue"]),
    ("s3", &["stores/s3", "stores/mod.rs"]),
    ("axum", &["server", "cli/transport.rs", "app"]),
    ("clap", &["cli", "main.rs", "domain/store.rs", "api/instance.rs"]),
    ("rust_s3", &[]),
];

/// What pure rooms do not know.
const PURE: [&str; 2] = ["domain", "planner"];
const IMPURE: [&str; 6] = ["tokio", "redb", "tracing", "std::fs", "std::net", "crate::clock"];

const FORBIDDEN: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];
const CLOCKS: [&str; 3] = ["SystemTime::now", "Timestamp::now", "Zoned::now"];

/// Where a text names a command or an option though it is no business of `words` and `cli`: a file, or
/// the beginning of its path, and why.
const SAID_THERE: [(&str, &str); 9] = [
    ("cli/", "the command line itself"),
    ("words/", "the one room that says values"),
    ("config/load.rs", "the group of the Debian package has our name"),
    ("stores/local/check.rs", "bytes of a probe"),
    ("stores/s3/check.rs", "bytes of a probe"),
    ("planner/report.rs", "a reason of the plan, which scenarios keep as it is"),
    ("maintenance/", "causes that run histories keep as texts"),
    ("ops/attention.rs", "reads those causes"),
    ("server/pages/", "shows those causes"),
];

struct Source {
    /// Below `src`, with slashes.
    path: String,
    /// Without comments and texts.
    code: String,
    /// What stands between quotes outside of comments and tests.
    texts: Vec<String>,
    lines: usize,
}

impl Source {
    fn room(&self) -> &str {
        self.path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    for entry in entries {
        let path = entry.expect("directory entry").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    files.sort();
    let source = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).expect("read a source file");
        let path = file.strip_prefix(&src).expect("below src").to_string_lossy().into_owned();
        Source { path, code: bare(&text), texts: texts(&text), lines: text.lines().count() }
    };
    files.iter().map(source).collect()
}

/// Code without line comments and without what stands between quotes.
fn bare(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    for line in text.lines() {
        let mut in_text = false;
        let mut previous = ' ';
        let mut kept = String::new();
        for c in line.chars() {
            if !in_text && c == '/' && previous == '/' {
                kept.pop();
                break;
            }
            if c == '"' && previous != '\\' && previous != '\'' {
                in_text = !in_text;
            }
            if !in_text {
                kept.push(c);
            }
            previous = c;
        }
        code.push_str(&kept);
        code.push('\n');
    }
    code
}

/// What stands between quotes, outside of comments and before the tests of a file.
fn texts(source: &str) -> Vec<String> {
    let (code, _) = source.split_once("\n#[cfg(test)]\nmod tests").unwrap_or((source, ""));
    let mut rest = code.chars().peekable();
    let mut all = Vec::new();
    while let Some(c) = rest.next() {
        match c {
            '/' if rest.peek() == Some(&'/') => {
                rest.by_ref().take_while(|c| *c != '\n').for_each(drop);
            }
            // The character of a quote; a lifetime has none.
            '\'' if matches!(rest.peek(), Some('"' | '\\')) => {
                rest.next_if_eq(&'\\');
                rest.next();
            }
            '"' => all.push(rest_of_text(&mut rest)),
            _ => {}
        }
    }
    all
}

/// The text that has begun, its line breaks folded.
fn rest_of_text(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut text = String::new();
    while let Some(c) = rest.next() {
        match c {
            '"' => break,
            '\\' if rest.next_if_eq(&'\n').is_some() => {
                while rest.next_if(|c| c.is_whitespace()).is_some() {}
            }
            '\\' => {
                rest.next();
            }
            other => text.push(other),
        }
    }
    text
}

/// Whether a text names a command of ours or one of its options.
fn names_a_command(text: &str) -> bool {
    let is_option = |at: usize| text[at + 2..].starts_with(|c: char| c.is_ascii_lowercase());
    text.contains("hayloft ") || text.match_indices("--").any(|(at, _)| is_option(at))
}

/// The words that follow `crate::`, the members of a brace group included.
fn rooms_used(code: &str) -> BTreeSet<&str> {
    let ident =
        |s: &str| s.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(s.len());
    let mut used = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => {
                used.insert(&rest[..ident(rest)]);
            }
            Some(group) => used.extend(members(group).map(|m| &m[..ident(m)])),
        }
    }
    used
}

/// The members of a brace group, at its first level.
fn members(group: &str) -> impl Iterator<Item = &str> {
    let mut depth = 1_usize;
    let end = group
        .find(|c| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            depth == 0
        })
        .unwrap_or(group.len());
    let mut depth = 0_usize;
    group[..end]
        .split(move |c| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            c == ',' && depth == 0
        })
        .map(str::trim)
        .filter(|m| !m.is_empty())
}

/// Whether the code names `name::…` as a crate or path of its own.
fn names(code: &str, name: &str) -> bool {
    let needle = format!("{name}::");
    code.match_indices(&needle).any(|(at, _)| {
        let before = code[..at].chars().next_back().unwrap_or(' ');
        !(before.is_alphanumeric() || before == '_' || before == ':')
            || code[..at].ends_with("use ::")
    })
}

#[test]
fn each_room_uses_only_the_rooms_below_it() {
    let mut wrong = Vec::new();
    for source in sources() {
        if source.path == "lib.rs" {
            continue;
        }
        let Some((_, allowed)) = LAYERS.iter().find(|(room, _)| *room == source.room()) else {
            wrong.push(format!("{}: its room is not in the table of layers", source.path));
            continue;
        };
        for used in rooms_used(&source.code) {
            let is_room = LAYERS.iter().any(|(room, _)| *room == used);
            let may = allowed.iter().any(|rooms| rooms.contains(&used));
            if is_room && used != source.room() && !may {
                wrong.push(format!("{} uses crate::{used}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_library_is_known_in_its_place_only() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (library, places) in CRATES {
            let at_home = places.iter().any(|place| {
                source.path.strip_prefix(place).is_some_and(|rest| {
                    rest.is_empty() || rest.starts_with('/') || rest.starts_with('.')
                })
            });
            if !at_home && names(&source.code, library) {
                wrong.push(format!("{} names {library}", source.path));
            }
        }
        if PURE.contains(&source.room()) {
            for impure in IMPURE {
                if names(&source.code, impure) {
                    wrong.push(format!("{} names {impure}", source.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_left_undone_and_only_the_clock_reads_the_clock() {
    let mut wrong = Vec::new();
    for source in sources() {
        for word in FORBIDDEN.iter().filter(|word| source.code.contains(**word)) {
            wrong.push(format!("{} contains {word}", source.path));
        }
        for clock in CLOCKS.iter().filter(|clock| source.code.contains(**clock)) {
            if source.path != "clock.rs" {
                wrong.push(format!("{} contains {clock}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Rows are set by what makes them up; all others let an event happen (see `domain::replica`).
#[test]
fn the_state_of_a_replica_changes_through_the_table_of_its_life_only() {
    let set = ["put_replica(", "put_file(", ".state = ReplicaState", "replicas.retain("];
    let sets = |source: &Source| set.iter().any(|way| source.code.contains(way));
    let at_home = ["domain/file.rs", "domain/replica.rs", "catalogue/tx_files.rs"];
    let elsewhere = sources().into_iter().filter(|source| {
        !at_home.contains(&source.path.as_str()) && !source.path.ends_with("tests.rs")
    });
    let wrong: Vec<_> = elsewhere.filter(sets).map(|source| source.path).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn commands_and_options_are_named_in_one_room() {
    let mut wrong = Vec::new();
    for source in sources() {
        if SAID_THERE.iter().any(|(place, _)| source.path.starts_with(place)) {
            continue;
        }
        for text in source.texts.iter().filter(|text| names_a_command(text)) {
            wrong.push(format!("{}: {text:?}", source.path));
        }
    }
    assert!(
        wrong.is_empty(),
        "a remedy or a setting that `words` should say:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn no_file_is_too_long() {
    let mut files = Vec::new();
    rust_files(&root().join("tests"), &mut files);
    let tests = files.iter().map(|file| {
        let text = std::fs::read_to_string(file).expect("read a test");
        (file.display().to_string(), text.lines().count())
    });
    let rooms = sources().into_iter().map(|source| (source.path, source.lines));
    let long: Vec<_> = rooms.chain(tests).filter(|(_, lines)| *lines > MAX_LINES).collect();
    assert!(long.is_empty(), "{long:?}");
}

#[test]
fn the_top_level_is_as_agreed() {
    let untracked = [".git", "target"];
    for entry in std::fs::read_dir(root()).expect("read the top level") {
        let name = entry.expect("directory entry").file_name().to_string_lossy().into_owned();
        assert!(
            TOP.contains(&name.as_str()) || untracked.contains(&name.as_str()),
            "{name} does not belong at the top level"
        );
    }
}

#[test]
fn the_reader_of_sources_sees_what_it_should() {
    let code = bare("use crate::domain::{A, B}; // crate::cli\nlet s = \"crate::server\";");
    assert_eq!(rooms_used(&code), BTreeSet::from(["domain"]));
    assert_eq!(rooms_used("use crate::{api::{X, Y}, domain};"), BTreeSet::from(["api", "domain"]));
    assert!(names("use s3::Bucket;", "s3") && names(" s3::x()", "s3"));
    assert!(!names("stores::s3::Store", "s3") && !names("rust_s3::x", "s3"));
    let code = "let a = \"say \\\n    --x\"; // \"--y\"\nlet b = '\"';\n#[cfg(test)]\nmod tests { \"--z\" }";
    assert_eq!(texts(code), ["say --x"]);
    assert!(names_a_command("say --x") && names_a_command("run `hayloft status`"));
    assert!(!names_a_command("--- a") && !names_a_command("Hayloft"));
}
