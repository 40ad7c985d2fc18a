//! Tables and the words in their cells.

use std::fmt::Display;

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, ContentArrangement};

use crate::domain::{ByteSize, Timestamp, plural};

/// A table without lines, its numbers flush right.
pub struct Table(comfy_table::Table);

impl Table {
    /// A heading that begins with `>` stands over numbers.
    pub fn new(headings: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(headings.iter().map(|h| Cell::new(h.trim_start_matches('>'))));
        for (column, heading) in table.column_iter_mut().zip(headings) {
            if heading.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
            column.set_padding((0, 2));
        }
        Self(table)
    }

    pub fn row<S: ToString>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.0.add_row(cells.into_iter().map(Cell::new));
    }

    pub fn is_empty(&self) -> bool {
        self.0.row_count() == 0
    }

    pub fn show(&self) -> String {
        let text = self.0.to_string();
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        lines.join("\n")
    }

    /// The table, or a sentence when it has no rows.
    pub fn show_or(&self, nothing: &str) -> String {
        if self.is_empty() { nothing.to_owned() } else { self.show() }
    }
}

pub fn bytes(n: u64) -> String {
    ByteSize(n).to_string()
}

/// `1 file`, `2 files`.
pub fn count(n: u64, noun: &str) -> String {
    plural(n, noun)
}

/// To the second, UTC, as in RFC 3339.
pub fn time(t: Timestamp) -> String {
    let text = t.to_string();
    format!("{}Z", text.split(['.', 'Z']).next().unwrap_or_default())
}

/// The value, or a dash.
pub fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| v.to_string())
}

/// `-`, or a count with its bytes.
pub fn files_and_bytes(files: u64, size: u64) -> String {
    if files == 0 { "-".to_owned() } else { format!("{files} ({})", bytes(size)) }
}

/// Bytes against their limit.
pub fn of_limit(size: u64, limit: Option<u64>) -> String {
    match limit {
        Some(limit) => format!("{} / {}", bytes(size), bytes(limit)),
        None => bytes(size),
    }
}

/// One line for each warning.
pub fn warnings(about: &str, list: impl IntoIterator<Item = impl Display>) -> String {
    list.into_iter()
        .fold(String::new(), |text, warning| text + &format!("\nwarning: {about}{warning}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_flush_right_and_lines_end_clean() {
        let mut table = Table::new(&["STORE", ">FILES"]);
        table.row(["local", "7"]);
        table.row(["a-longer-name", "12345"]);
        assert_eq!(
            table.show(),
            "STORE          FILES\nlocal              7\na-longer-name  12345"
        );
    }

    #[test]
    fn times_are_shown_to_the_second() {
        assert_eq!(time(Timestamp(1_700_000_000_000_001)), "2023-11-14T22:13:20Z");
    }
}
