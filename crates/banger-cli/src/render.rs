//! What is written: data to stdout, messages to stderr, tables, JSON, times and sizes in words. Colour repeats meaning
//! and is off where `NO_COLOR` is set or nobody could see it.

use std::io::{self, IsTerminal as _, Write as _};

use jiff::Timestamp;
use serde::Serialize;
use tabwriter::TabWriter;

use crate::error::CliError;

/// Whether escape sequences may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    On,
    Off,
}

impl Colour {
    /// For what goes to stdout.
    pub(crate) fn of_stdout() -> Self {
        Self::when(io::stdout().is_terminal())
    }

    /// For what goes to stderr.
    pub(crate) fn of_stderr() -> Self {
        Self::when(io::stderr().is_terminal())
    }

    fn when(is_terminal: bool) -> Self {
        let is_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if is_terminal && !is_refused && !is_dumb() { Self::On } else { Self::Off }
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::On => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Self::Off => text.to_owned(),
        }
    }
}

/// Tells whether the terminal understands no escape sequences.
pub(crate) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Writes data.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    print_bytes(text.as_bytes())
}

/// Writes data that is text already.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(CliError::output)
}

/// Writes data as JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), CliError> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|source| CliError::BadResult { what: "value", source })?;
    text.push('\n');
    print(&text)
}

/// Writes a message. Where stderr is closed, nobody wants it.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes an error.
pub(crate) fn complain(about: Option<&str>, error: &CliError) {
    let _ = io::stderr().write_all(error.draw(about, Colour::of_stderr()).as_bytes());
}

/// Returns a table with aligned columns. Rows have as many cells as the head.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut writer = TabWriter::new(Vec::new()).padding(2);
    let mut lines = format!("{}\n", head.join("\t"));
    for row in rows {
        let cells: Vec<_> = row.iter().map(|cell| if cell.is_empty() { "-" } else { cell }).collect();
        lines.push_str(&cells.join("\t"));
        lines.push('\n');
    }
    // Writing into memory cannot fail; what it holds is the text that went in.
    let _ = writer.write_all(lines.as_bytes());
    let aligned =
        writer.into_inner().map_or(lines.clone(), |bytes| String::from_utf8_lossy(&bytes).into_owned());
    aligned.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Returns a moment as seen from now, as in `5 minutes ago`; what is no moment stays as it is.
pub(crate) fn ago(moment: &str, now: Timestamp) -> String {
    let Ok(then) = moment.parse::<Timestamp>() else { return moment.to_owned() };
    let seconds = now.as_second().saturating_sub(then.as_second()).max(0);
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

/// Returns a number of bytes with a unit, as in `1.4 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
    let mut value = count as f64 / 1024.0;
    let mut unit = "KiB";
    for larger in units.into_iter().skip(1) {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    format!("{value:.1} {unit}")
}

/// Returns milliseconds as seconds, as in `2.3 s`.
pub(crate) fn seconds(millis: u64) -> String {
    let tenths = (millis + 50) / 100;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_empty_cells_are_marked() {
        let rows = vec![vec!["a".into(), "running".into()], vec!["longer-name".into(), String::new()]];
        insta::assert_snapshot!(table(&["NAME", "STATE"], &rows), @r"
        NAME         STATE
        a            running
        longer-name  -
        ");
    }

    #[test]
    fn a_moment_is_told_from_now() {
        let now = "2026-01-02T00:00:00Z".parse().unwrap();
        let told = |moment| ago(moment, now);
        assert_eq!(told("2026-01-01T23:59:59Z"), "1 second ago");
        assert_eq!(told("2026-01-01T23:30:00Z"), "30 minutes ago");
        assert_eq!(told("2026-01-01T01:00:00+01:00"), "1 day ago");
        assert_eq!(told("2026-01-03T00:00:00Z"), "0 seconds ago");
        assert_eq!(told("yesterday"), "yesterday");
    }

    #[test]
    fn amounts_have_a_unit() {
        assert_eq!(
            [0, 1023, 1536, 1 << 20, 3 << 30].map(bytes),
            ["0 B", "1023 B", "1.5 KiB", "1.0 MiB", "3.0 GiB"]
        );
        assert_eq!([0, 49, 50, 2345].map(seconds), ["0.0 s", "0.0 s", "0.1 s", "2.3 s"]);
    }
}
