//! A page of Markdown: its blocks, links, tables, and the commands in them.

use std::path::{Path, PathBuf};

/// A fenced block.
pub struct Block {
    /// The first word behind the fence.
    pub language: String,
    /// Why it cannot run here.
    pub not_run: Option<String>,
    pub text: String,
}

pub struct Page {
    pub name: String,
    pub dir: PathBuf,
    text: String,
    pub blocks: Vec<Block>,
}

/// What a comment begins with that holds commands for the test between two blocks.
const MEANWHILE: &str = "<!-- meanwhile: ";

impl Page {
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("a page");
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let dir = path.parent().expect("a directory").to_owned();
        let blocks = blocks(&name, &text);
        Self { name, dir, text, blocks }
    }

    /// All that is to be run, in order.
    pub fn script(&self) -> String {
        let run = |b: &&Block| b.language == "sh" && b.not_run.is_none();
        self.blocks.iter().filter(run).map(|b| b.text.as_str()).collect()
    }

    /// Commands named within sentences, placeholders filled in.
    pub fn inline_commands(&self) -> Vec<String> {
        let prose = self.prose();
        let spans = prose.split('`').skip(1).step_by(2);
        let commands = spans.filter(|s| s.starts_with("hayloft ") && !s.contains('…'));
        commands.map(|c| c.replace('\n', " ").replace(" ID", " 7")).collect()
    }

    /// The text outside of blocks.
    fn prose(&self) -> String {
        let mut inside = false;
        let mut prose = String::new();
        for line in self.text.lines() {
            if line.starts_with("```") {
                inside = !inside;
            } else if !inside {
                prose += line;
                prose.push('\n');
            }
        }
        prose
    }

    /// Relative links.
    pub fn links(&self) -> Vec<String> {
        let prose = self.prose();
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        let targets = targets.map(|(target, _)| target.split('#').next().unwrap_or_default());
        targets.filter(|t| !t.is_empty() && !t.contains("://")).map(str::to_owned).collect()
    }

    /// The code in the first cell of every row of a table.
    pub fn first_cells(&self) -> Vec<String> {
        let rows = self.text.lines().filter_map(|line| line.strip_prefix("| "));
        let cells = rows.filter_map(|row| row.split(" | ").next());
        cells.filter_map(|cell| Some(cell.split('`').nth(1)?.to_owned())).collect()
    }
}

fn blocks(name: &str, text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = vec![];
    let mut open = false;
    for line in text.lines() {
        if let Some(info) = line.strip_prefix("```") {
            if !open {
                found.push(block(name, info));
            }
            open = !open;
        } else if let (true, Some(block)) = (open, found.last_mut()) {
            block.text += line;
            block.text.push('\n');
        } else if let Some(rest) = line.strip_prefix(MEANWHILE) {
            let command = rest.trim_end_matches("-->").trim();
            let text = format!("{command}\n");
            found.push(Block { language: "sh".to_owned(), not_run: None, text });
        }
    }
    assert!(!open, "{name}: a block does not end");
    found
}

/// `sh` or `sh (not run: why)`.
fn block(name: &str, info: &str) -> Block {
    let (language, rest) = info.split_once(' ').unwrap_or((info, ""));
    let not_run = rest.strip_prefix("(not run: ").and_then(|r| r.strip_suffix(')'));
    assert!(rest.is_empty() || not_run.is_some(), "{name}: {info:?} is not understood");
    let not_run = not_run.map(str::to_owned);
    Block { language: language.to_owned(), not_run, text: String::new() }
}

/// The words of every `hayloft …` in shell text, with what stands in `$(…)` looked through too.
pub fn hayloft_commands(text: &str) -> Vec<Vec<String>> {
    let mut found = vec![];
    for line in without_here_documents(text).replace("\\\n", " ").lines() {
        for command in simple_commands(line) {
            let mut words = command.as_slice();
            loop {
                words = match words {
                    [sudo, option, _, rest @ ..] if sudo == "sudo" && option == "-u" => rest,
                    [sudo, rest @ ..] if sudo == "sudo" => rest,
                    [assignment, rest @ ..] if assignment.contains('=') => rest,
                    _ => break,
                };
            }
            let is_ours = |w: &String| w == "hayloft" || w.ends_with("/release/hayloft");
            if words.first().is_some_and(is_ours) {
                found.push(words.to_vec());
            }
        }
    }
    found
}

fn without_here_documents(text: &str) -> String {
    let mut kept = String::new();
    let mut end: Option<String> = None;
    for line in text.lines() {
        match &end {
            Some(word) if line == word => end = None,
            Some(_) => {}
            None => {
                kept += line;
                kept.push('\n');
                let word = line.split_once("<<").map(|(_, w)| w.trim_matches(['\'', '"', ' ']));
                end = word.map(str::to_owned);
            }
        }
    }
    kept
}

/// The words of each simple command of a line; redirections and comments are left out.
fn simple_commands(line: &str) -> Vec<Vec<String>> {
    let (mut all, mut words, mut word) = (vec![], vec![], String::new());
    let (mut quote, mut redirected) = (None, false);
    let end_word = |word: &mut String, words: &mut Vec<String>, redirected: &mut bool| {
        if !word.is_empty() {
            let word = std::mem::take(word);
            if !std::mem::take(redirected) {
                words.push(word);
            }
        }
    };
    for c in line.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '#') if word.is_empty() => break,
            (None, ' ') => end_word(&mut word, &mut words, &mut redirected),
            (None, '>' | '<') => {
                end_word(&mut word, &mut words, &mut redirected);
                redirected = true;
            }
            (None, '|' | ';' | '&' | '(' | ')') => {
                end_word(&mut word, &mut words, &mut redirected);
                all.push(std::mem::take(&mut words));
            }
            (_, c) => word.push(c),
        }
    }
    end_word(&mut word, &mut words, &mut redirected);
    all.push(words);
    all
}

#[test]
fn commands_are_found_in_shell_text() {
    let text = "sudo -u hayloft hayloft --json status | jq . > x # hayloft no\ncat <<'END'\nhayloft not\nEND\n\
                A=b hayloft file put s 'a b' && hayloft \\\n  vacuum -v\ncat /var/lib/hayloft\n";
    let found: Vec<String> = hayloft_commands(text).iter().map(|w| w.join("|")).collect();
    assert_eq!(found, ["hayloft|--json|status", "hayloft|file|put|s|a b", "hayloft|vacuum|-v"]);
}
