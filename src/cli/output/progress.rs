//! Progress on standard error: a bar on a terminal, a plain line now and then in a pipe.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Output;
use super::table::bytes;
use crate::api::{Count, Outcome, Progress, Run};

/// How often a pipe gets a line: often enough to see life, seldom enough for a log.
const LINE_EVERY: Duration = Duration::from_secs(10);

const RUN_BAR: &str = "{bar:20} {percent:>3}%  {wide_msg}";
const BYTES_BAR: &str = "{bar:20} {percent:>3}%  {bytes} of {total_bytes}  {bytes_per_sec}  {msg}";
const BYTES_ONLY: &str = "{bytes}  {bytes_per_sec}  {msg}";

/// The progress of a vacuum run.
pub struct RunProgress {
    bar: Option<ProgressBar>,
    quiet: bool,
    last_line: Option<(Instant, String)>,
}

impl RunProgress {
    pub fn new(output: Output) -> Self {
        let bar = output.progress_bars().then(|| styled(ProgressBar::new(100), RUN_BAR));
        Self { bar, quiet: output.json, last_line: None }
    }

    pub fn update(&mut self, run: &Run) {
        let Some(progress) = &run.progress else { return };
        let text = described(run.outcome, progress);
        if let Some(bar) = &self.bar {
            bar.set_position(percent(progress.done, progress.total));
            bar.set_message(text);
        } else if !self.quiet {
            self.plain_line(&progress.phase, &text);
        }
    }

    /// At each new phase, and every few seconds.
    fn plain_line(&mut self, phase: &str, text: &str) {
        let due = self
            .last_line
            .as_ref()
            .is_none_or(|(at, last)| at.elapsed() >= LINE_EVERY || last != phase);
        if due {
            eprintln!("{text}");
            self.last_line = Some((Instant::now(), phase.to_owned()));
        }
    }

    /// Runs `ask` while the bar is out of the way.
    pub fn suspended<T>(&self, ask: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(ask),
            None => ask(),
        }
    }

    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Bytes count when there are any, else files.
fn percent(done: Count, total: Count) -> u64 {
    let (done, total) =
        if total.bytes > 0 { (done.bytes, total.bytes) } else { (done.files, total.files) };
    if total == 0 {
        0
    } else {
        u64::try_from(u128::from(done) * 100 / u128::from(total)).unwrap_or(100)
    }
}

fn described(outcome: Outcome, progress: &Progress) -> String {
    let mut text = progress.phase.clone();
    let place: Vec<&str> =
        [&progress.scope, &progress.store].into_iter().flatten().map(|s| &**s).collect();
    if !place.is_empty() {
        text += &format!(" {}", place.join("/"));
    }
    let (done, total) = (progress.done, progress.total);
    text += &format!(
        ": {} of {} files, {} of {}",
        done.files,
        total.files,
        bytes(done.bytes),
        bytes(total.bytes)
    );
    if outcome == Outcome::Paused {
        return text + ", paused";
    }
    if progress.rate > 0 {
        text += &format!(", {}/s", bytes(progress.rate));
    }
    if let Some(left) = progress.seconds_left {
        text += &format!(", {} left", clock(left));
    }
    text
}

/// `1:02:03` or `2:03`.
fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

/// The progress of bytes sent or received; hidden unless standard error is a terminal.
pub fn transfer(output: Output, total: Option<u64>) -> ProgressBar {
    if !output.progress_bars() {
        return ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
    }
    match total {
        Some(total) => styled(ProgressBar::new(total), BYTES_BAR),
        None => styled(ProgressBar::no_length(), BYTES_ONLY),
    }
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    // An invalid template would be found by the test below; the default style is no harm.
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_valid() {
        for template in [RUN_BAR, BYTES_BAR, BYTES_ONLY] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn a_run_is_described_in_one_line() {
        let progress = Progress {
            phase: "populate".into(),
            scope: Some("media".into()),
            store: Some("cold".into()),
            done: Count { files: 1, bytes: 1000 },
            total: Count { files: 4, bytes: 4000 },
            rate: 500,
            seconds_left: Some(3723),
        };
        assert_eq!(
            described(Outcome::Running, &progress),
            "populate media/cold: 1 of 4 files, 1.0 kB of 4.0 kB, 500 B/s, 1:02:03 left"
        );
        assert!(described(Outcome::Paused, &progress).ends_with("paused"));
        assert_eq!(percent(progress.done, progress.total), 25);
    }
}
