//! In which form a command prints its results.

use serde::Serialize;

use crate::error::CliError;
use crate::progress::Board;
use crate::render;

/// The form of what goes to stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Tables and sentences.
    Text,
    Json,
    /// What other commands take as the name of each thing, a line each.
    Ids,
}

impl Form {
    /// Chooses by `--json` and `-q`; JSON has the ids as well.
    pub(crate) fn of(as_json: bool, board: &Board) -> Self {
        match (as_json, board) {
            (true, _) => Self::Json,
            (false, Board::Quiet) => Self::Ids,
            (false, Board::Live(_) | Board::Plain) => Self::Text,
        }
    }

    /// Prints one thing.
    pub(crate) fn print(
        self,
        value: &impl Serialize,
        id: &str,
        text: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        match self {
            Self::Json => render::print_json(value),
            Self::Ids => render::print(&format!("{id}\n")),
            Self::Text => render::print(&text()),
        }
    }

    /// Prints a list of things.
    pub(crate) fn print_all<T: Serialize>(
        self,
        values: &[T],
        id: impl Fn(&T) -> &str,
        text: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        match self {
            Self::Json => render::print_json(&values),
            Self::Ids => {
                render::print(&values.iter().map(|value| format!("{}\n", id(value))).collect::<String>())
            }
            Self::Text => render::print(&text()),
        }
    }
}
