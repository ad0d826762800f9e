//! Text with colours of ours: what is pushed is escaped, and only colours and line breaks that are asked for by name
//! reach the terminal as such.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _};

use crate::foreign;

/// Longest message; more of it is of no use on a terminal.
const MESSAGE_CHARS_MAX: usize = 4096;
/// Most lines of one message.
const MESSAGE_LINES_MAX: usize = 40;

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
}

/// Tells whether the terminal understands no escape sequences.
pub(crate) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// A colour, which repeats a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Red,
    Green,
    Yellow,
    Dim,
}

/// Lines that are safe to write to a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Painted(String);

/// Most characters of a quoted word.
const QUOTED_CHARS_MAX: usize = 80;

impl Painted {
    /// Makes a line of somebody's text, without its end.
    pub(crate) fn line(text: &str) -> Self {
        Self::default().push(text)
    }

    /// Appends text, as a part of one line.
    pub(crate) fn push(mut self, text: &str) -> Self {
        self.0.push_str(&foreign::line(text, MESSAGE_CHARS_MAX));
        self
    }

    /// Appends coloured text.
    pub(crate) fn paint(mut self, colour: Colour, paint: Paint, text: &str) -> Self {
        let code = match paint {
            Paint::Red => "31",
            Paint::Green => "32",
            Paint::Yellow => "33",
            Paint::Dim => "2",
        };
        match colour {
            Colour::On => {
                let _ = write!(self.0, "\u{1b}[{code}m");
                self = self.push(text);
                self.0.push_str("\u{1b}[0m");
                self
            }
            Colour::Off => self.push(text),
        }
    }

    /// Appends a message that may have several lines: those after its first are indented, so that none of them looks
    /// like one of ours.
    pub(crate) fn message(mut self, text: &str) -> Self {
        for (index, line) in text.trim_end().split('\n').take(MESSAGE_LINES_MAX).enumerate() {
            if index > 0 {
                self.0.push_str("\n    ");
            }
            self = self.push(&shorter(line.trim_end_matches('\r')));
        }
        self
    }

    /// Appends the beginning of an error and what is wrong.
    pub(crate) fn complaint(self, colour: Colour, sentence: &str) -> Self {
        self.paint(colour, Paint::Red, "banger:").push(" ").push(&shorter(sentence))
    }

    /// Appends a line with the next command to type, or what to do.
    pub(crate) fn hint(self, hint: Option<&str>) -> Self {
        match hint {
            Some(hint) => self.push("hint: ").push(&shorter(hint)).end_line(),
            None => self,
        }
    }

    /// Ends the line.
    pub(crate) fn end_line(mut self) -> Self {
        self.0.push('\n');
        self
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Cuts what a message quotes of somebody's words: a name of ten thousand characters hides what is wrong with it. Paths and
/// commands stay whole.
fn shorter(message: &str) -> Cow<'_, str> {
    let is_long = |word: &str| word.chars().count() > QUOTED_CHARS_MAX && !word.contains(['/', ' ']);
    if !message.split('`').any(is_long) {
        return Cow::Borrowed(message);
    }
    let parts = message.split('`').enumerate().map(|(index, part)| match part {
        part if index % 2 == 1 && is_long(part) => {
            Cow::Owned(part.chars().take(QUOTED_CHARS_MAX).chain(['…']).collect())
        }
        part => Cow::Borrowed(part),
    });
    Cow::Owned(parts.collect::<Vec<_>>().join("`"))
}

impl fmt::Display for Painted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_and_a_path_and_a_command_stay_whole() {
        let long = "a".repeat(300);
        let told = shorter(&format!("there is no user `{long}`; see `x`")).into_owned();
        assert_eq!(told, format!("there is no user `{}…`; see `x`", "a".repeat(80)));
        for whole in
            [format!("cannot read `/{long}`"), format!("use `banger rm {long}`"), "a `b` c".to_owned()]
        {
            assert_eq!(shorter(&whole), whole);
        }
    }
}
