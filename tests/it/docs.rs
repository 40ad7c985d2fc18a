//! The README and the administrator's guide do what they say: every command runs or at least parses,
//! every snippet is accepted, every message is one of ours.

mod machine;
mod nginx;
mod page;

use std::path::{Path, PathBuf};

use hayloft::cli::args::Cli;
use machine::Machine;
use page::{Block, Page, hayloft_commands};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The README and the guide.
fn pages() -> Vec<Page> {
    let dir = root().join("packaging/doc");
    let guide = std::fs::read_dir(&dir).expect("the guide").map(|e| e.expect("an entry").path());
    let mut paths: Vec<PathBuf> =
        guide.filter(|p| p.extension().is_some_and(|e| e == "md")).collect();
    paths.sort();
    paths.insert(0, root().join("README.md"));
    paths.iter().map(|path| Page::read(path)).collect()
}

fn guide(name: &str) -> Page {
    Page::read(&root().join("packaging/doc").join(name))
}

#[test]
fn every_hayloft_command_of_the_documents_is_valid() {
    use clap::error::ErrorKind::{
        DisplayHelpOnMissingArgumentOrSubcommand, MissingRequiredArgument, MissingSubcommand,
    };
    let mut seen = 0;
    for page in pages() {
        let blocks = page.blocks.iter().filter(|b| b.language == "sh");
        for words in blocks.flat_map(|b| hayloft_commands(&b.text)) {
            if let Err(e) = Cli::read(words.iter().map(Into::into)) {
                panic!("{}: {}\n{e}", page.name, words.join(" "));
            }
            seen += 1;
        }
        // Sentences may name a command without its arguments.
        let allowed =
            [DisplayHelpOnMissingArgumentOrSubcommand, MissingRequiredArgument, MissingSubcommand];
        for words in page.inline_commands().iter().flat_map(|text| hayloft_commands(text)) {
            if let Err(e) = Cli::read(words.iter().map(Into::into)) {
                let named = allowed.contains(&e.kind()) || e.exit_code() == 0;
                assert!(named, "{}: {}\n{e}", page.name, words.join(" "));
            }
            seen += 1;
        }
    }
    assert!(seen > 100, "only {seen} commands were found");
}

#[test]
fn what_is_not_run_says_why() {
    for page in pages() {
        for block in &page.blocks {
            let known = ["sh", "toml", "nginx", "json", "ini", "text"];
            assert!(
                known.contains(&block.language.as_str()),
                "{}: {:?}",
                page.name,
                block.language
            );
            let reason = block.not_run.as_deref();
            assert!(reason.is_none_or(|r| r.len() > 10), "{}: {reason:?} is no reason", page.name);
        }
    }
}

#[test]
fn every_block_is_sound_shell_or_json() {
    for page in pages() {
        for Block { language, text, .. } in &page.blocks {
            match language.as_str() {
                "sh" => machine::assert_shell(&page.name, text),
                "json" => {
                    let parsed: Result<serde_json::Value, _> = serde_json::from_str(text);
                    assert!(parsed.is_ok(), "{}: {parsed:?}", page.name);
                }
                _ => {}
            }
        }
    }
}

#[test]
fn every_configuration_in_the_documents_is_accepted() {
    let mut seen = 0;
    for page in pages() {
        for block in page.blocks.iter().filter(|b| b.language == "toml") {
            let dir = tempfile::tempdir().expect("a directory");
            let file = dir.path().join("config.toml");
            std::fs::write(&file, &block.text).expect("written");
            let checked = hayloft::config::Config::load(Some(&file), []);
            assert!(checked.is_ok(), "{}: {checked:?}\n{}", page.name, block.text);
            seen += 1;
        }
    }
    assert!(seen >= 4, "only {seen} configurations were found");
}

#[test]
fn every_link_leads_somewhere() {
    for page in pages() {
        for link in page.links() {
            let there = page.dir.join(&link);
            assert!(there.exists(), "{}: {link} leads nowhere", page.name);
        }
    }
}

/// Texts of the source, line continuations joined as the compiler does.
fn source() -> String {
    let mut todo = vec![root().join("src")];
    let mut all = String::new();
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                all.push_str(&std::fs::read_to_string(path).expect("a source"));
            }
        }
    }
    let mut joined = String::with_capacity(all.len());
    let mut pieces = all.split("\\\n");
    joined.push_str(pieces.next().unwrap_or_default());
    pieces.for_each(|piece| joined.push_str(piece.trim_start()));
    joined
}

#[test]
fn every_message_of_the_troubleshooting_page_is_in_the_source() {
    let source = source();
    let messages = guide("troubleshooting.md").first_cells();
    assert!(messages.len() > 40, "only {} messages were found", messages.len());
    for message in messages {
        for fragment in message.split('…').map(str::trim).filter(|f| f.len() > 2) {
            assert!(source.contains(fragment), "{fragment:?} of {message:?} is not in the source");
        }
    }
}

// ---- each page's commands, on a machine of their own ----

/// A scope with a file, and a store in the cloud that it may use.
const CLOUD: &str = "
hayloft scope create media
hayloft file put media holiday.jpg photos/a.jpg
hayloft store create cold s3 --bucket my-archive --endpoint https://s3.example.org --path-style --credentials env
hayloft scope manage media add-store cold
";

async fn run(page: Page, prepare: &str) {
    let machine = Machine::new().await;
    machine.run(&page.name, prepare);
    machine.run(&page.name, &page.script());
}

#[tokio::test]
async fn the_commands_of_the_readme_run() {
    run(Page::read(&root().join("README.md")), "mkdir -p /mnt/new").await;
}

#[tokio::test]
async fn the_commands_of_the_page_on_installing_run() {
    run(guide("installing.md"), "hayloft scope create media").await;
}

#[tokio::test]
async fn the_commands_of_the_page_on_the_first_file_run() {
    run(guide("first-file.md"), "").await;
}

#[tokio::test]
async fn the_commands_of_the_page_on_proxies_run() {
    run(guide("proxy.md"), "").await;
}

#[tokio::test]
async fn the_commands_of_the_page_on_providers_run() {
    run(guide("providers.md"), "hayloft scope create media; echo EXAMPLESECRET > secret").await;
}

#[tokio::test]
async fn the_commands_of_the_page_on_policies_run() {
    run(guide("policies.md"), CLOUD).await;
}

#[tokio::test]
async fn the_commands_of_the_page_on_leaving_run() {
    // What is in the cloud only makes the first report say no.
    let away = "hayloft store manage local --soft-max-size 0\nhayloft vacuum\n";
    run(guide("leaving.md"), &format!("{CLOUD}{away}")).await;
}

#[tokio::test]
async fn the_commands_of_the_page_on_backup_run() {
    run(guide("backup.md"), &format!("{CLOUD}mkdir -p /srv/backup")).await;
}

#[tokio::test]
async fn the_commands_of_the_page_on_moving_run() {
    run(guide("moving.md"), &format!("{CLOUD}mkdir -p /mnt/new")).await;
}

#[tokio::test]
async fn the_commands_of_the_page_on_tuning_run() {
    run(guide("tuning.md"), CLOUD).await;
}
