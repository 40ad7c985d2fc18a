//! Who may work on the catalogue without a server.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Refuses everyone but the owner of `data_dir`: files made by another user would be closed to
/// the server later (SPEC 9).
pub fn check_owner(data_dir: &Path) -> Result<(), String> {
    let Ok(metadata) = std::fs::metadata(data_dir) else { return Ok(()) };
    if metadata.uid() == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    let owner = user_name(metadata.uid());
    Err(format!(
        "no server is running, and {} belongs to {owner}: start the server, or type `{}`",
        data_dir.display(),
        same_command_as(&owner)
    ))
}

/// The configuration that the environment names: `sudo` would lose it.
fn config_of_environment() -> Option<PathBuf> {
    let named_here = |word: std::ffi::OsString| word.to_string_lossy().starts_with("--config");
    if std::env::args_os().any(named_here) {
        return None;
    }
    // Another user may be elsewhere.
    std::path::absolute(std::env::var_os("HAYLOFT_CONFIG")?).ok()
}

/// What this process makes from now on is for its user alone, as under our unit: stores outside the
/// data directory too. What exists stays as it is.
pub fn keep_private() {
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
}

/// This process's command line, to be typed as another user.
pub fn same_command_as(user: &str) -> String {
    let config = config_of_environment();
    let words = std::env::args_os().skip(1).map(|word| quoted(&word.to_string_lossy()));
    let words: Vec<String> = words.collect();
    let config = config.map(|file| format!("--config {} ", quoted(&file.to_string_lossy())));
    format!("sudo -u {user} hayloft {}{}", config.unwrap_or_default(), words.join(" "))
}

/// The name of the user who owns `path`; `root` when that cannot be told.
pub fn owner_of(path: &Path) -> String {
    std::fs::metadata(path).map_or_else(|_| "root".to_owned(), |m| user_name(m.uid()))
}

/// As the shell has to be given it.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The same for an argument that may look like an option.
pub fn argument(word: &str) -> String {
    let dashes = if word.starts_with('-') { "-- " } else { "" };
    format!("{dashes}{}", quoted(word))
}

fn user_name(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_in(&passwd, uid).unwrap_or_else(|| format!("'#{uid}'"))
}

fn name_in(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(quoted("a-b/c"), "a-b/c");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(argument("x; touch y"), "'x; touch y'");
        assert_eq!(argument("-x"), "-- -x");
    }

    #[test]
    fn users_are_named() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nhayloft:x:107:112::/var/lib/hayloft:/bin/false";
        assert_eq!(name_in(passwd, 107).as_deref(), Some("hayloft"));
        assert_eq!(name_in(passwd, 5), None);
    }
}
