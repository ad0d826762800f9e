//! The last words of a process beside a machine. Its standard error is one of the machine's logs.

use std::error::Error;
use std::process::ExitCode;

/// Writes an error and its causes as one line to standard error, behind a prefix; returns the status to end with.
pub(crate) fn failed(prefix: &str, error: &dyn Error) -> ExitCode {
    let mut line = format!("{prefix}{error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    eprintln!("{line}");
    ExitCode::FAILURE
}
