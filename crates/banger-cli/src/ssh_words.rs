//! What the words of `banger ssh` mean to who knows `ssh`: how they are typed here.

use std::ffi::OsString;

use clap::Command;

use crate::shell_words;

/// Returns what is typed in place of `ssh USER@VM COMMAND`: `banger ssh` enters as root.
pub(crate) fn without_user(words: &[OsString]) -> Option<String> {
    let typed: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let at = typed.iter().position(|word| *word == "ssh")? + 1;
    let (user, vm) = typed.get(at)?.split_once('@')?;
    let behind = typed.get(at + 1..)?.iter().copied().filter(|word| *word != "--").collect::<Vec<_>>();
    let is_whole = shell_words::plain(words).is_some();
    let command = match behind.as_slice() {
        [] => String::new(),
        words if is_whole => format!(" -- {}", words.join(" ")),
        _ => " -- COMMAND".to_owned(),
    };
    Some(match user {
        "root" => format!("banger ssh {vm}{command}"),
        _ => format!("`banger ssh` enters as root; for another user: banger exec -u {user} {vm}{command}"),
    })
}

/// Returns how ssh's own words are typed that stand without `--` behind its VM.
pub(crate) fn behind_dashes(unexpected: &str, command: &Command, words: &[OsString]) -> Option<String> {
    if command.get_name() != "ssh" {
        return None;
    }
    if let Some(hint) = without_user(words) {
        return Some(hint);
    }
    let typed = shell_words::plain(words.get(1..).unwrap_or_default()).unwrap_or_default();
    let of_ssh = typed.iter().position(|word| *word == "ssh").map_or(typed.len(), |index| index + 1);
    // What stands before it is the name of the VM alone.
    match typed.iter().position(|word| word.starts_with(unexpected)) {
        Some(at) if at == of_ssh + 1 => {
            let (before, behind) = typed.split_at(at);
            Some(format!("banger {} -- {}", before.join(" "), behind.join(" ")))
        }
        Some(_) | None => {
            Some("options of ssh and a command follow `--`, as in `banger ssh VM -- COMMAND`".to_owned())
        }
    }
}
