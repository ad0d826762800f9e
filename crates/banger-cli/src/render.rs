//! What is written: data to stdout, messages to stderr, tables, JSON, times and sizes in words. Colour repeats meaning
//! and is off where `NO_COLOR` is set or nobody could see it. Whatever is written here is fit for a terminal, whoever
//! wrote its parts (see `foreign`); what a command in a guest writes goes through `stdio` as it is.

use std::borrow::Cow;
use std::io::{self, Write as _};

use banger_model::count;
use jiff::Timestamp;
use serde::Serialize;
use tabwriter::TabWriter;

use crate::error::CliError;
use crate::foreign;
use crate::painted::{Colour, Painted};

/// Most characters of a cell of a table, and of a value of a sheet; JSON has all of them.
const CELL_CHARS_MAX: usize = 200;
const VALUE_CHARS_MAX: usize = 4096;
/// Moves to the top left corner and clears what is below (`console_codes(4)`).
const CLEAR: &str = "\u{1b}[H\u{1b}[J";

/// Writes lines of data.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    write_out(foreign::lines(text).as_bytes())
}

/// Writes lines that may be coloured.
pub(crate) fn print_painted(text: &Painted) -> Result<(), CliError> {
    write_out(text.as_str().as_bytes())
}

/// Writes lines in place of all that is on the terminal.
pub(crate) fn print_anew(text: &str) -> Result<(), CliError> {
    write_out(format!("{CLEAR}{}", foreign::lines(text)).as_bytes())
}

/// Writes data that is JSON already.
pub(crate) fn print_json_text(bytes: &[u8]) -> Result<(), CliError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => write_out(foreign::json(text).as_bytes()),
        Err(_) => write_out(foreign::json(&String::from_utf8_lossy(bytes)).as_bytes()),
    }
}

/// Writes data as JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), CliError> {
    let mut text = serde_json::to_string_pretty(value).map_err(CliError::failed)?;
    text.push('\n');
    print_json_text(text.as_bytes())
}

/// Writes data as one line of JSON.
pub(crate) fn print_json_line(value: &impl Serialize) -> Result<(), CliError> {
    let mut line = serde_json::to_string(value).map_err(CliError::failed)?;
    line.push('\n');
    print_json_text(line.as_bytes())
}

fn write_out(bytes: &[u8]) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(CliError::output)
}

/// Writes a message. Where stderr is closed, nobody wants it.
pub(crate) fn say(line: &str) {
    say_painted(&Painted::line(line).end_line());
}

/// Writes messages that may be coloured.
pub(crate) fn say_painted(text: &Painted) {
    let _ = io::stderr().write_all(text.as_str().as_bytes());
}

/// Writes an error.
pub(crate) fn complain(about: Option<&str>, error: &CliError) {
    say_painted(&error.draw(about, Colour::of_stderr()));
}

/// Returns lines with a name and a value each, which begins at this column.
pub(crate) fn sheet<'a>(width: usize, lines: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let line =
        |(name, value): (&str, String)| format!("{name:<width$}{}\n", foreign::line(&value, VALUE_CHARS_MAX));
    lines.into_iter().map(line).collect()
}

/// Returns a table with aligned columns. Rows have as many cells as the head.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut writer = TabWriter::new(Vec::new()).padding(2);
    let mut lines = format!("{}\n", head.join("\t"));
    for row in rows {
        let cells: Vec<_> = row.iter().map(|text| cell(text)).collect();
        lines.push_str(&cells.join("\t"));
        lines.push('\n');
    }
    // Writing into memory cannot fail; what it holds is the text that went in.
    let _ = writer.write_all(lines.as_bytes());
    let aligned =
        writer.into_inner().map_or(lines.clone(), |bytes| String::from_utf8_lossy(&bytes).into_owned());
    aligned.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn cell(text: &str) -> Cow<'_, str> {
    if text.is_empty() { Cow::Borrowed("-") } else { foreign::line(text, CELL_CHARS_MAX) }
}

/// Returns a moment as seen from now, as in `5 minutes ago`; what is no moment stays as it is.
pub(crate) fn ago(moment: &str, now: Timestamp) -> String {
    let Ok(then) = moment.parse::<Timestamp>() else { return moment.to_owned() };
    format!("{} ago", span(now.as_second().saturating_sub(then.as_second())))
}

/// Returns a moment to come as seen from now, as in `in 5 minutes`; what is no moment stays as it is.
pub(crate) fn until(moment: &str, now: Timestamp) -> String {
    let Ok(then) = moment.parse::<Timestamp>() else { return moment.to_owned() };
    match then.as_second().saturating_sub(now.as_second()) {
        seconds if seconds <= 0 => "now".to_owned(),
        seconds => format!("in {}", span(seconds)),
    }
}

/// Returns a number of seconds in its largest unit; a negative one is none.
fn span(seconds: i64) -> String {
    let seconds = seconds.max(0).unsigned_abs();
    match seconds {
        0..60 => count("second", seconds),
        60..3600 => count("minute", seconds / 60),
        3600..86_400 => count("hour", seconds / 3600),
        _ => count("day", seconds / 86_400),
    }
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
        let to_come = |moment| until(moment, now);
        assert_eq!(to_come("2026-01-02T08:30:00Z"), "in 8 hours");
        assert_eq!(to_come("2026-01-02T00:00:01Z"), "in 1 second");
        assert_eq!(to_come("2026-01-01T00:00:00Z"), "now");
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
