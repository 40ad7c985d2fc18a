//! Charts as SVG, drawn here: no script, no inline style. Every chart has its figures in words beside
//! it or as its label.

use std::fmt::Write as _;

use super::show;

/// Width of a bar's own coordinates; the page stretches them.
const WIDE: u64 = 1000;

/// How full a store is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fill {
    /// Bytes of present replicas.
    pub used: u64,
    /// Bytes promised to uploads and copies under way.
    pub reserved: u64,
    /// Bytes given up and not yet deleted.
    pub deleting: u64,
    /// Bytes that the next run would bring, and take away.
    pub coming: u64,
    pub going: u64,
    pub soft: Option<u64>,
    pub hard: Option<u64>,
    /// What the disk could hold, when no limit says it.
    pub capacity: Option<u64>,
}

impl Fill {
    /// What the whole width stands for.
    fn scale(&self) -> u64 {
        let taken = self.used.saturating_add(self.reserved).saturating_add(self.deleting);
        let taken = taken.saturating_add(self.coming);
        let Some(end) = self.hard.or(self.soft).or(self.capacity) else {
            // Without an end nothing is ever full.
            return taken.saturating_mul(2).max(1);
        };
        // A soft limit alone may be passed: there is room to see it.
        let room = if self.hard.is_none() && self.soft.is_some() { end / 8 } else { 0 };
        end.saturating_add(room).max(taken).max(1)
    }

    fn is_open(&self) -> bool {
        self.hard.or(self.soft).or(self.capacity).is_none()
    }

    /// A bar of this filling. Markup.
    pub fn bar(&self) -> String {
        let scale = u128::from(self.scale());
        let x = |bytes: u64| {
            u64::try_from(u128::from(bytes) * u128::from(WIDE) / scale).unwrap_or(WIDE)
        };
        let mut svg = format!(
            "<svg class=\"bar{}\" viewBox=\"0 0 {WIDE} 24\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">\
             <rect class=\"ground\" width=\"{WIDE}\" height=\"24\"/>",
            if self.is_open() { " open" } else { "" },
            show::escape(&self.words())
        );
        let stays = self.used.saturating_sub(self.going);
        let parts = [
            ("used", stays),
            ("going", self.used - stays),
            ("deleting", self.deleting),
            ("reserved", self.reserved),
            ("coming", self.coming),
        ];
        let mut at = 0u64;
        for (class, bytes) in parts {
            let (from, to) = (x(at), x(at.saturating_add(bytes)));
            at = at.saturating_add(bytes);
            // What is there is seen, however little it is.
            let width = if bytes > 0 { (to - from).max(2) } else { 0 };
            if width > 0 {
                push(
                    &mut svg,
                    format_args!(
                        "<rect class=\"{class}\" x=\"{from}\" width=\"{width}\" height=\"24\"/>"
                    ),
                );
            }
        }
        for (class, mark) in [("soft", self.soft), ("hard", self.hard)] {
            if let Some(mark) = mark {
                let at = x(mark).min(WIDE - 4);
                push(
                    &mut svg,
                    format_args!("<rect class=\"{class}\" x=\"{at}\" width=\"4\" height=\"24\"/>"),
                );
            }
        }
        svg.push_str("</svg>");
        svg
    }

    fn words(&self) -> String {
        let mut words = format!("{} used", show::bytes(self.used));
        let more = [
            (self.reserved, "reserved"),
            (self.deleting, "being deleted"),
            (self.coming, "would come"),
            (self.going, "would go"),
        ];
        for (bytes, what) in more.into_iter().filter(|(bytes, _)| *bytes > 0) {
            push(&mut words, format_args!(", {} {what}", show::bytes(bytes)));
        }
        for (limit, what) in [(self.soft, "soft limit"), (self.hard, "hard limit")] {
            if let Some(limit) = limit {
                push(&mut words, format_args!(", {what} {}", show::bytes(limit)));
            }
        }
        words
    }
}

/// Bytes over days, with a limit as a line. `points` are (day, bytes), oldest first; markup, empty for
/// fewer than two points.
pub fn growth(points: &[(u32, u64)], limit: Option<u64>) -> String {
    const HIGH: u64 = 100;
    const LONG: u64 = 300;
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return String::new() };
    let days = u64::from(last.0.saturating_sub(first.0));
    if days == 0 {
        return String::new();
    }
    let most = points.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
    // A limit far above would flatten the line.
    let near = limit.filter(|limit| *limit <= most.saturating_mul(3));
    let top = u128::from(most.max(near.unwrap_or(0)).max(1)) * 21 / 20;
    let y = |bytes: u64| {
        HIGH - u64::try_from(u128::from(bytes) * u128::from(HIGH) / top.max(1)).unwrap_or(HIGH)
    };
    let x = |day: u32| u64::from(day.saturating_sub(first.0)) * LONG / days;
    let line = points.iter().map(|(day, bytes)| format!("{},{}", x(*day), y(*bytes)));
    let line = line.collect::<Vec<_>>().join(" ");
    let label = format!(
        "{} on {}, {} on {}",
        show::bytes(first.1),
        show::day(first.0),
        show::bytes(last.1),
        show::day(last.0)
    );
    let mut svg = format!(
        "<svg class=\"growth\" viewBox=\"0 0 {LONG} {HIGH}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{label}\">\
         <polygon points=\"0,{HIGH} {line} {LONG},{HIGH}\"/><polyline points=\"{line}\"/>"
    );
    if let Some(limit) = near {
        let at = y(limit);
        push(&mut svg, format_args!("<line x1=\"0\" x2=\"{LONG}\" y1=\"{at}\" y2=\"{at}\"/>"));
    }
    svg.push_str("</svg>");
    svg
}

fn push(text: &mut String, part: std::fmt::Arguments<'_>) {
    let written = text.write_fmt(part);
    debug_assert!(written.is_ok(), "a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_never_leaves_its_ground_and_says_its_figures() {
        let fill = Fill {
            used: u64::MAX / 2,
            reserved: 1,
            coming: u64::MAX / 4,
            soft: Some(10),
            hard: Some(u64::MAX / 3),
            ..Fill::default()
        };
        let bar = fill.bar();
        assert!(bar.contains("soft limit 10 B") && bar.contains("class=\"reserved\""), "{bar}");
        assert!(Fill::default().bar().contains("0 B used"));
    }

    #[test]
    fn a_chart_needs_two_days() {
        assert_eq!(growth(&[], None), "");
        assert_eq!(growth(&[(3, 7)], None), "");
        let chart = growth(&[(20_000, 0), (20_010, 50)], Some(100));
        assert!(chart.contains("points=\"0,100 300,53\"") && chart.contains("<line"), "{chart}");
    }
}
