//! What a program that starts networks becomes besides: the network of a machine, which has to outlive it. Such a program calls
//! [`play`] before anything else.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use crate::process::{ARGUMENT, attachment_of, start};

/// Plays the network that the arguments (without the program's name) ask for, to its end. `None`: they ask for none.
#[must_use]
pub fn play(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let words: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
    let [role, attachment, control, directory, rules] = words.as_slice() else { return None };
    if *role != ARGUMENT {
        return None;
    }
    // Standard error is the machine's `network.log`.
    let control = control.to_str()?.parse().ok()?;
    let rules = serde_json::from_str(rules.to_str()?).ok()?;
    match start(attachment_of(attachment)?, control, Path::new(directory), &rules) {
        Ok(()) => Some(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("{error}");
            Some(ExitCode::FAILURE)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_words_of_a_network_start_one() {
        for words in [
            &["--help"][..],
            &[],
            &["machine-network"],
            &["machine-network", "tap", "3", "/d"],
            &["machine-network", "x", "3", "/d", "{}"],
            &["machine-network", "tap", "x", "/d", "{}"],
            &["machine-network", "tap", "3", "/d", "open"],
            &["pager", "3"],
        ] {
            assert!(play(words.iter().map(Into::into)).is_none(), "{words:?}");
        }
    }
}
