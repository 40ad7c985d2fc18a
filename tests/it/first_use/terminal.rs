//! What a terminal shows and asks: commands at a pseudo-terminal, with keys that are pressed.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::bytes;
use crate::support::instance::Instance;

/// A command that believes that somebody sits there.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    transcript: PathBuf,
}

impl Terminal {
    fn open(instance: &Instance, name: &str, words: &str) -> Self {
        let config = instance.path("config.toml");
        let program = env!("CARGO_BIN_EXE_hayloft");
        let program = format!("exec {program} --config {} {words}", config.display());
        let transcript = instance.path(name);
        let mut child = Command::new("script")
            .args(["-qefc", &program])
            .arg(&transcript)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("script, of util-linux");
        let keys = child.stdin.take().expect("its standard input");
        Self { child, keys, transcript }
    }

    /// Waits until the screen has shown `text`.
    fn shows(&self, text: &str) {
        let begun = Instant::now();
        loop {
            let seen = std::fs::read_to_string(&self.transcript).unwrap_or_default();
            if seen.contains(text) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{text} is not in\n{seen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("keys");
    }

    fn code(mut self) -> Option<i32> {
        self.child.wait().expect("ended").code()
    }
}

const CTRL_C: &str = "\x03";

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_asks_whether_to_detach_from_a_run_cancel_it_or_go_on() {
    // Slow enough for a run to be there until it is cancelled.
    let mut instance =
        Instance::new("[maintenance]\nschedule = \"off\"\nbandwidth = \"20kB\"\nconcurrency = 1\n");
    instance.start_and_sign_in().await;
    let root = instance.path("far").display().to_string();
    instance.ok(&["store", "create", "far", "local", "--root", &root]);
    instance.ok(&["scope", "create", "s", "--store", "far"]);
    instance.ok(&["scope", "manage", "s", "edit-store", "far", "--populate"]);
    for i in 0..100 {
        instance.put_ok(&format!("s/{i}"), bytes(i, 50_000)).await;
    }
    let question = "[d]etach and let the run go on, [c]ancel it, or Enter to keep watching: ";
    let outcome = || instance.ok(&["vacuum", "show", "1"])["outcome"].clone();

    let mut first = Terminal::open(&instance, "first", "vacuum");
    first.shows("50.0 kB");
    first.press(CTRL_C);
    first.shows(question);
    first.press("d\n");
    assert_eq!(first.code(), Some(0));
    assert_eq!(outcome(), "running");

    let mut second = Terminal::open(&instance, "second", "vacuum");
    second.shows("Run 1 is at work already");
    // It is followed once its figures are there.
    second.shows("MB");
    second.press(CTRL_C);
    second.shows(question);
    second.press("\n");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(outcome(), "running");
    second.press(CTRL_C);
    second.press("c\n");
    second.shows("Cancelling after the files under way");
    assert_eq!(second.code(), Some(1), "it did not do what it was asked for");
    assert_eq!(outcome(), "cancelled");
}
