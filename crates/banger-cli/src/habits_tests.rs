use clap::Command;
use proptest::prelude::*;

use super::*;
use crate::args;

/// All words that name a command, with their aliases.
fn words(command: &Command) -> Vec<String> {
    let own = command.get_name_and_visible_aliases().into_iter().map(str::to_owned);
    own.chain(command.get_subcommands().flat_map(words)).collect()
}

fn built() -> Command {
    let mut command = args::command();
    command.build();
    command
}

#[test]
fn no_command_of_ours_is_in_the_list_of_those_that_we_do_not_have() {
    let top = built();
    for (words, instead) in COMMANDS {
        for word in *words {
            assert!(top.find_subcommand(word).is_none(), "{word}: {instead}");
        }
    }
}

#[test]
fn every_command_that_is_named_instead_exists() {
    let texts = COMMANDS.iter().map(|(_, text)| *text).chain(OPTIONS.iter().map(|(_, _, text)| *text));
    for text in texts {
        for part in text.split('`').skip(1).step_by(2).filter_map(|code| code.strip_prefix("banger ")) {
            let mut command = &built();
            for word in part.split(' ').take_while(|word| word.chars().all(|c| c.is_ascii_lowercase())) {
                match command.find_subcommand(word) {
                    Some(next) => command = next,
                    None => assert!(!command.has_subcommands(), "{part}: {word}"),
                }
            }
        }
    }
}

#[test]
fn one_slip_is_one_character_more_less_other_or_swapped() {
    for typed in ["lst", "liist", "lost", "lsit", "ilst", "lis", "list2"] {
        assert!(is_one_slip(typed, "list"), "{typed}");
    }
    for typed in ["list", "push", "lt", "tsil", ""] {
        assert!(!is_one_slip(typed, "list"), "{typed}");
    }
}

proptest! {
    #[test]
    fn nothing_that_destroys_is_ever_suggested(typed in "[a-z]{1,9}|-{1,2}[a-z]{1,9}") {
        let words = words(&built());
        let known = words.iter().map(String::as_str).chain(["--force", "--rm", "--yes", "--json"]);
        let known = known.map(|word| (word, word));
        if let Some(meant) = meant(&typed, known) {
            prop_assert!(!DESTRUCTIVE.contains(&meant), "{} -> {}", typed, meant);
        }
    }
}
