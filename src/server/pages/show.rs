//! Values as people read them. Functions that return markup escape what they are given.

use std::fmt::Write as _;

use crate::api::{MoveAction, Outcome, Role};
use crate::domain::{ByteSize, Change, StoreSetting, Target, Timestamp};
use crate::words::{self, Phrase, Piece};

/// A value, however many references templates put before it.
pub trait Plain<T> {
    fn plain(self) -> T;
}

impl<T: Copy> Plain<T> for T {
    fn plain(self) -> T {
        self
    }
}

impl<T: Copy> Plain<T> for &T {
    fn plain(self) -> T {
        *self
    }
}

impl<T: Copy> Plain<T> for &&T {
    fn plain(self) -> T {
        **self
    }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// `83.0 GB`.
pub fn bytes(n: impl Plain<u64>) -> String {
    ByteSize(n.plain()).to_string()
}

/// A limit as a form takes it: exact, in the largest unit that divides it.
pub fn exact(n: u64) -> String {
    const UNITS: [(&str, u64); 8] = [
        ("TB", 1_000_000_000_000),
        ("TiB", 1 << 40),
        ("GB", 1_000_000_000),
        ("GiB", 1 << 30),
        ("MB", 1_000_000),
        ("MiB", 1 << 20),
        ("kB", 1_000),
        ("KiB", 1 << 10),
    ];
    let unit = UNITS.iter().find(|(_, size)| n >= *size && n.is_multiple_of(*size));
    unit.map_or_else(|| n.to_string(), |(name, size)| format!("{}{name}", n / size))
}

/// `1,204`.
pub fn number(n: impl Plain<u64>) -> String {
    let digits = n.plain().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 file`, `1,204 files`.
pub fn files(n: impl Plain<u64>) -> String {
    plural(n, "file")
}

/// `1 store`, `2 stores`.
pub fn plural(n: impl Plain<u64>, noun: &str) -> String {
    let n = n.plain();
    let end = if n == 1 { "" } else { "s" };
    format!("{} {noun}{end}", number(n))
}

/// A priority, or a dash for null.
pub fn priority(n: impl Plain<Option<i32>>) -> String {
    n.plain().map_or_else(|| "–".to_owned(), |n| n.to_string())
}

/// `3 h`, `2 d`, `under 1 s`.
pub fn span(seconds: impl Plain<u64>) -> String {
    match seconds.plain() {
        0 => "under 1 s".to_owned(),
        s @ 1..MINUTE => format!("{s} s"),
        s @ MINUTE..HOUR => format!("{} min", s / MINUTE),
        s @ HOUR..DAY => match (s / HOUR, s % HOUR / MINUTE) {
            (h, m) if h < 10 && m > 0 => format!("{h} h {m} min"),
            (h, _) => format!("{h} h"),
        },
        s => format!("{} d", (s + DAY / 2) / DAY),
    }
}

/// A time element: how long ago, or how far ahead, with the exact time behind it. Markup.
pub fn when(at: impl Plain<Timestamp>, now: impl Plain<Timestamp>) -> String {
    let (at, now) = (at.plain(), now.plain());
    let text = match (at.since(now).as_secs(), now.since(at).as_secs()) {
        (0, 0) => "just now".to_owned(),
        (0, past) => format!("{} ago", span(past)),
        (ahead, _) => format!("in {}", span(ahead)),
    };
    format!("<time datetime=\"{at}\" title=\"{}\">{text}</time>", minute(at))
}

/// `2026-11-22 14:39 UTC`.
pub fn minute(at: impl Plain<Timestamp>) -> String {
    at.plain().to_minute()
}

/// `2026-11-22`, of a day since the epoch.
pub fn day(day: impl Plain<u32>) -> String {
    let text = Timestamp(i64::from(day.plain()) * 86_400_000_000).to_string();
    text.get(..10).unwrap_or(&text).to_owned()
}

/// One word for how a run ended or stands; also the class of its mark.
pub fn outcome(outcome: impl Plain<Outcome>) -> &'static str {
    outcome.plain().as_str()
}

/// What a move does.
pub fn action(action: impl Plain<MoveAction>) -> &'static str {
    action.plain().as_str()
}

pub fn role(role: impl Plain<Role>) -> &'static str {
    match role.plain() {
        Role::Read => "read",
        Role::Write => "write",
        Role::Admin => "admin",
    }
}

/// A name among words where there is no markup: its marks of direction end with it.
pub fn isolated(name: &str) -> String {
    format!("\u{2068}{name}\u{2069}")
}

/// The first digits of a digest.
pub fn short(digest: &impl ToString) -> String {
    digest.to_string().chars().take(12).collect()
}

/// What messages name as on a command line, and what it is called in forms. Markup.
const FIELDS: [(&str, &str); 12] = [
    ("say --region as ", "give <b>Region</b> as "),
    ("say --region ", "set <b>Region</b> to "),
    ("--region", "<b>Region</b>"),
    ("say --path-style", "tick <b>Path style</b>"),
    ("--path-style", "<b>Path style</b>"),
    ("--public-endpoint", "<b>Public endpoint</b>"),
    ("--endpoint", "<b>Endpoint</b>"),
    ("--access-key-id", "<b>Access key id</b>"),
    ("--bucket", "<b>Bucket</b>"),
    ("by proxy (--serve proxy)", "by proxy (<b>Downloads</b>)"),
    ("--checksum", "<b>Proof of a write</b>"),
    ("with --force", "by force"),
];
/// A remedy that is a field of the store's page.
const READ_BACK: &str = "hayloft store manage NAME --checksum readback";

/// Options outside commands as the fields they are here. Markup to markup.
fn with_fields(text: &str) -> String {
    FIELDS.iter().fold(text.to_owned(), |text, (option, field)| text.replace(option, field))
}

/// Text with its `code` marked up; commands can be copied, options are named as the fields of the
/// page. Markup.
pub fn with_code(text: &str) -> String {
    let mut markup = String::with_capacity(text.len() + 64);
    for (at, part) in text.split('`').enumerate() {
        let part = escape(part);
        let done = match (at % 2, part.starts_with("hayloft ")) {
            (0, _) => write!(markup, "{}", with_fields(&part)),
            (_, true) if part == READ_BACK => write!(markup, "<b>Proof of a write</b>"),
            (_, true) => write!(markup, "<code class=\"command\">{part}</code>"),
            (_, false) => write!(markup, "<code>{part}</code>"),
        };
        debug_assert!(done.is_ok(), "a string takes everything");
    }
    markup
}

/// A phrase: settings by their fields, commands to be copied. Markup.
pub fn phrase(phrase: &Phrase) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => marked(text),
        Piece::Code(code) => format!("<code>{}</code>", escape(code)),
        Piece::StoreSetting(setting) => format!("<b>{}</b>", words::store_label(*setting)),
        Piece::LinkSetting(setting) => format!("<b>{}</b>", words::link_label(*setting)),
        Piece::StoreChange(change) => field_change(change),
        Piece::Command(remedy) => {
            format!("<code class=\"command\">{}</code>", escape(&words::command(remedy)))
        }
        Piece::Force => "by force".to_owned(),
    };
    phrase.pieces().iter().map(piece).collect()
}

/// Words with their `code` marked up. Markup.
fn marked(text: &str) -> String {
    let parts = text.split('`').map(escape).enumerate();
    parts
        .map(|(at, part)| if at % 2 == 0 { part } else { format!("<code>{part}</code>") })
        .collect()
}

/// A field and what it should say. Markup.
fn field_change(change: &Change<StoreSetting>) -> String {
    let field = format!("<b>{}</b>", words::store_label(change.setting));
    let value = match &change.to {
        Target::Chosen => return field,
        Target::Unset => "nothing".to_owned(),
        Target::On => "on".to_owned(),
        Target::Off => "off".to_owned(),
        Target::Size(size) => exact(*size),
        Target::Value(value) => format!("<code>{}</code>", escape(value)),
    };
    format!("{field} to {value}")
}

/// Text that cannot become markup.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// A percent-encoded segment or parameter of an address.
pub fn url(text: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const SET: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, SET).to_string()
}

/// The same with its slashes kept: a path below `/files/{scope}/`.
pub fn url_path(path: &str) -> String {
    path.split('/').map(url).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_limits_exact() {
        assert_eq!(
            [number(0), number(999), number(1_204), number(1_000_000)],
            ["0", "999", "1,204", "1,000,000"]
        );
        assert_eq!(
            [exact(80_000_000_000), exact(1 << 31), exact(1001), exact(0)],
            ["80GB", "2GiB", "1001", "0"]
        );
        for n in [0, 1, 999, 80_000_000_000, 1 << 40, u64::MAX] {
            assert_eq!(exact(n).parse(), Ok(ByteSize(n)), "{n}");
        }
    }

    #[test]
    fn spans_are_short() {
        let cases = [(0, "under 1 s"), (59, "59 s"), (60, "1 min"), (5400, "1 h 30 min")];
        for (seconds, text) in cases {
            assert_eq!(span(seconds), text);
        }
        assert_eq!(span(3 * DAY), "3 d");
    }

    #[test]
    fn code_is_marked_and_nothing_else() {
        let markup = with_code("say `hayloft status <x>` or `none` & \"go\"");
        assert_eq!(
            markup,
            "say <code class=\"command\">hayloft status &lt;x&gt;</code> or <code>none</code> &amp; &quot;go&quot;"
        );
    }

    #[test]
    fn options_are_the_fields_of_the_page_and_commands_stay() {
        for (said, markup) in [
            (
                "say --region eu-1, and correct --endpoint",
                "set <b>Region</b> to eu-1, and correct <b>Endpoint</b>",
            ),
            ("say --path-style, so that", "tick <b>Path style</b>, so that"),
            ("first, or repeat with --force", "first, or repeat by force"),
            (
                "`hayloft store manage cold --endpoint x`",
                "<code class=\"command\">hayloft store manage cold --endpoint x</code>",
            ),
        ] {
            assert_eq!(with_code(said), markup);
        }
    }

    #[test]
    fn addresses_are_encoded() {
        assert_eq!(url_path("a b/ü?#.txt"), "a%20b/%C3%BC%3F%23.txt");
        assert_eq!(url("a/b&c"), "a%2Fb%26c");
    }
}
