//! The script that a shell loads, and the answers to the questions that it asks this program.

use clap::CommandFactory as _;
use clap_complete::env::{CompleteEnv, Shells};

use crate::args::Cli;
use crate::error::CliError;
use crate::render;

/// Variable by which the script calls this program.
const VARIABLE: &str = "COMPLETE";
/// Answers a shell's question and ends, when this call is one.
pub(crate) fn answer() {
    CompleteEnv::with_factory(Cli::command).var(VARIABLE).complete();
}

/// Prints the script for a shell.
pub(crate) fn script(shell: &str) -> Result<(), CliError> {
    let mut script = Vec::new();
    if let Some(shell) = Shells::builtins().completer(shell) {
        shell
            .write_registration(VARIABLE, "banger", "banger", "banger", &mut script)
            .map_err(CliError::output)?;
    }
    render::print(&String::from_utf8_lossy(&script))
}
