//! The manual: a page for the program, one for each group of commands and one for each command.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::args::Cli;

/// What the page of the program has beside what clap knows. Lines of troff.
const GENERAL: &str = r".SH FIRST STEPS
.nf
hayloft status
hayloft scope create media
hayloft file put media holiday.jpg photos/holiday.jpg
hayloft store create cold s3 \-\-bucket my\-archive \-\-credentials systemd:s3_cold
hayloft store check cold
hayloft scope manage media add\-store cold \-\-populate
hayloft store manage local \-\-soft\-max\-size 80GB
hayloft vacuum \-\-dry\-run
.fi
.SH FILES
.TP
\fI/etc/hayloft/config.toml\fR
The configuration. Every key with its default and the reason for it is in
\fI/usr/share/doc/hayloft/examples/config.example.toml\fR.
.TP
\fI/etc/hayloft/credentials\fR
Keys of S3 stores, one file each, which systemd hands to the service.
.TP
\fI/var/lib/hayloft\fR
The data directory: the catalogue \fIhayloft.redb\fR, the first local store below \fIstore\fR, and
\fIspool\fR for uploads on their way to remote stores.
.TP
\fI/var/lib/hayloft/hayloft.ballast\fR
8 MiB that are given up when the disk is full, so that the catalogue can still be written.
.TP
\fI/run/hayloft/admin.sock\fR
The admin socket. Whoever may open it, by its group, administers the instance.
.TP
\fI/usr/share/doc/hayloft/guide\fR
The administrator's guide: installing, proxies, providers, policies, backup, troubleshooting.
.SH ENVIRONMENT
.TP
\fBHAYLOFT_CONFIG\fR
As \fB\-\-config\fR.
.TP
\fBHAYLOFT_SERVER\fR, \fBHAYLOFT_TOKEN\fR
As \fB\-\-server\fR, and the token for it.
.TP
\fBHAYLOFT_\fIKEY\fR, \fBHAYLOFT_\fISECTION\fB__\fIKEY\fR
A single setting, such as \fBHAYLOFT_LISTEN\fR or \fBHAYLOFT_MAINTENANCE__SCHEDULE\fR. A name that is nearly
one is refused.
.TP
\fBAWS_ACCESS_KEY_ID\fR, \fBAWS_SECRET_ACCESS_KEY\fR, \fBAWS_SESSION_TOKEN\fR
The key of stores with \fB\-\-credentials env\fR, read by the server.
.TP
\fBNO_COLOR\fR
No colours on a terminal.
";

const EXIT_STATUS: &str = r".SH EXIT STATUS
.TP
.B 0
Done.
.TP
.B 1
Refused or failed; an incomplete run, dry or real; a check that found something.
.TP
.B 2
Wrong usage.
";

/// Writes all pages into `dir`, which is created.
pub fn write(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let mut root = Cli::command();
    root.build();
    pages(&root, None, &mut |name, page| {
        let path = dir.join(format!("{name}.1"));
        fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))
    })
}

fn pages(
    command: &Command,
    parent: Option<&str>,
    keep: &mut impl FnMut(&str, Vec<u8>) -> Result<()>,
) -> Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let page = page(command, &name, parent).context("cannot make a manual page")?;
    keep(&name, page)?;
    shown(command).try_for_each(|sub| pages(sub, Some(&name), keep))
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set())
}

fn page(command: &Command, name: &str, parent: Option<&str>) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone());
    let mut out = Vec::new();
    // The date stays empty, so that the same source makes the same page.
    let (title, version) = (name.to_uppercase(), env!("CARGO_PKG_VERSION"));
    writeln!(out, ".TH \"{title}\" 1 \"\" \"Hayloft {version}\" \"Hayloft\"")?;
    man.render_name_section(&mut out)?;
    synopsis(command, &mut out)?;
    man.render_description_section(&mut out)?;
    man.render_options_section(&mut out)?;
    if shown(command).next().is_some() {
        man.render_subcommands_section(&mut out)?;
    }
    examples(command, &mut out)?;
    if parent.is_none() {
        out.write_all(GENERAL.as_bytes())?;
    }
    out.write_all(EXIT_STATUS.as_bytes())?;
    see_also(command, name, parent, &mut out)?;
    Ok(out)
}

/// The usage, as the help has it: arguments of the commands above stand in the middle.
fn synopsis(command: &Command, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, ".SH SYNOPSIS")?;
    for (n, line) in usage(command).lines().enumerate() {
        if n > 0 {
            writeln!(out, ".br")?;
        }
        let words: Vec<String> = line.split_whitespace().map(word).collect();
        writeln!(out, "{}", words.join(" "))?;
    }
    Ok(())
}

fn usage(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    usage.trim_start_matches("Usage:").trim().to_owned()
}

/// What is typed as it stands is bold.
fn word(word: &str) -> String {
    if word.starts_with(['<', '[']) { escaped(word) } else { format!("\\fB{}\\fR", escaped(word)) }
}

/// The text below the options of a command's help; of a group, also the examples of its commands.
fn examples(command: &Command, out: &mut Vec<u8>) -> io::Result<()> {
    let help = |c: &Command| c.get_after_help().map(ToString::to_string).unwrap_or_default();
    let own = help(command);
    let of_commands: Vec<String> = shown(command)
        .map(help)
        .filter_map(|text| Some(text.strip_prefix("Example: ")?.split("\n\n").next()?.to_owned()))
        .collect();
    if own.is_empty() && of_commands.is_empty() {
        return Ok(());
    }
    writeln!(out, ".SH EXAMPLES\n.nf")?;
    let own = own.replacen("Example: ", "", 1).replacen("Examples:\n", "", 1);
    for line in own.lines().chain(of_commands.iter().flat_map(|text| text.lines())) {
        writeln!(out, "{}", escaped(line))?;
    }
    writeln!(out, ".fi")
}

fn see_also(
    command: &Command,
    name: &str,
    parent: Option<&str>,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let below = shown(command).map(|sub| format!("{name}-{}", sub.get_name()));
    let above = parent.map(str::to_owned);
    let status = (name == "hayloft-serve").then(|| "hayloft-status".to_owned());
    let all: Vec<String> = above.into_iter().chain(status).chain(below).collect();
    let all: Vec<String> = all.iter().map(|page| format!("\\fB{}\\fR(1)", escaped(page))).collect();
    writeln!(out, ".SH SEE ALSO\n{}", all.join(",\n"))
}

/// Text that troff takes literally.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_has_a_page_with_a_description_and_examples() {
        let mut root = Cli::command();
        root.build();
        let (mut names, mut texts) = (vec![], vec![]);
        let kept = pages(&root, None, &mut |name, page| {
            let text = String::from_utf8(page).expect("UTF-8");
            for section in
                ["NAME", "SYNOPSIS", "DESCRIPTION", "EXAMPLES", "EXIT STATUS", "SEE ALSO"]
            {
                assert!(
                    text.contains(&format!(".SH {section}"))
                        || text.contains(&format!(".SH \"{section}\"")),
                    "{name}: {section}\n{text}"
                );
            }
            names.push(name.to_owned());
            texts.push(text);
            Ok(())
        });
        kept.expect("pages");
        for group in ["", "-scope", "-store", "-vacuum", "-file", "-token", "-import"] {
            assert!(names.contains(&format!("hayloft{group}")), "{group}");
        }
        // As the help has it, where an argument stands in the middle too.
        for (name, synopsis) in [
            (
                "hayloft-store-create-s3",
                "hayloft store create <NAME> s3 [OPTIONS] --bucket <BUCKET>",
            ),
            (
                "hayloft-store-create-local",
                "hayloft store create <NAME> local [OPTIONS] --root <DIR>",
            ),
            (
                "hayloft-scope-manage-add-store",
                "hayloft scope manage <NAME> add-store [OPTIONS] <STORE>",
            ),
            ("hayloft-file-put", "hayloft file put [OPTIONS] <SCOPE> <FILE> [PATH]"),
        ] {
            let at = names.iter().position(|n| n == name).expect("a page");
            let plain = texts[at].replace("\\fB", "").replace("\\fR", "").replace("\\-", "-");
            assert!(plain.contains(&format!(".SH SYNOPSIS\n{synopsis}\n")), "{name}: {plain}");
        }
    }
}
