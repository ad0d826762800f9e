//! What this program becomes besides the daemon: processes beside a machine that have to outlive the daemon. A program
//! that drives machines calls [`play`] before anything else.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use crate::failed::failed;
use crate::firecracker::{CELL_ARGUMENT, JOIN_ARGUMENT, cell, pager};

/// Plays the role that the arguments (without the program's name) ask for, to its end. `None`: they ask for none.
#[must_use]
pub fn play(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let words: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
    let is = |word: &OsStr, wanted: &str| word == wanted;
    match words.as_slice() {
        [role, ..] if is(role, CELL_ARGUMENT) => Some(cell::run()),
        [role, pid, start_ticks, mtu] if is(role, JOIN_ARGUMENT) => {
            Some(told(cell::join(pid, start_ticks, mtu)))
        }
        [role, listener] if is(role, pager::ARGUMENT) => Some(told(pager::run(listener))),
        _ => None,
    }
}

fn told<E: std::error::Error>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed("", &error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_words_of_a_role_start_one() {
        for words in
            [&["--help"][..], &[], &["--ready-fd", "3"], &["pager"], &["machine-network", "tap", "/d"]]
        {
            assert!(play(words.iter().map(Into::into)).is_none(), "{words:?}");
        }
    }
}
