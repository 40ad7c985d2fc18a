//! What a command prints: results on standard output, everything else on standard error.

pub mod progress;
mod runs;
mod scopes;
mod status;
mod stores;
mod table;
mod welcome;

use std::io::{self, IsTerminal, Write};

use anyhow::Result;
use serde::de::DeserializeOwned;

use super::client::Reply;

pub use runs::{history, run, verify};
pub use scopes::{explanation, file, link_notes, scope, scopes};
pub use status::status;
pub use stores::{check, deleted, evacuation, reconciled, store, stores, swept};
pub use table::{Table, bytes, count, time};
pub use welcome::welcome;

/// How results are printed.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    pub json: bool,
    pub verbose: u8,
}

impl Output {
    /// Prints an answer: as it came for programs, by `show` for people.
    pub fn answer<T: DeserializeOwned>(
        self,
        answer: &Reply,
        show: impl FnOnce(&T) -> String,
    ) -> Result<()> {
        if self.json {
            return line(answer.text().trim_end());
        }
        line(show(&answer.read()?).trim_end())
    }

    /// Prints what was done by a command that people only want confirmed.
    pub fn done(self, answer: &Reply, sentence: &str) -> Result<()> {
        match self.json {
            true if answer.0.is_empty() => Ok(()),
            true => line(answer.text().trim_end()),
            false => line(sentence),
        }
    }

    /// A remark for people on standard error.
    pub fn note(self, text: &str) {
        if !self.json {
            eprintln!("{text}");
        }
    }

    /// Whether bars are drawn: for people at a terminal only.
    pub fn progress_bars(self) -> bool {
        !self.json && io::stderr().is_terminal()
    }
}

/// One line, or several, on standard output.
pub fn line(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Asks on the terminal; without one the answer is yes, as scripts have said what they want.
pub fn confirm(question: &str) -> Result<bool> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Ok(true);
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
