//! What clap finds wrong with the arguments, in the form of all our errors: one sentence, and the next command to type.

use std::error::Error as _;
use std::ffi::{OsStr, OsString};

use banger_model::{NameError, SizeError};
use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::error::USAGE;
use crate::habits;
use crate::painted::Colour;
use crate::painted::Painted;
use crate::ports;
use crate::render::say_painted;
use crate::source_path::is_archive_name;
use crate::ssh_words;

/// What is wrong, and what to do.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    sentence: String,
    hint: Option<String>,
}

/// Tells what is wrong, or the help that was asked for; returns the exit status.
pub(crate) fn tell(error: &clap::Error, words: &[OsString]) -> u8 {
    if is_help_of_help(error) {
        let words: Vec<_> = words.iter().filter(|word| *word != "help").cloned().collect();
        let _ = deepest(crate::args::command(), &words).1.print_help();
        return 0;
    }
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            0
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            USAGE
        }
        _ => {
            let Refusal { sentence, hint } = refusal(error, words);
            let text = Painted::default().complaint(Colour::of_stderr(), &sentence).end_line();
            say_painted(&text.hint(hint.as_deref()));
            USAGE
        }
    }
}

/// Tells whether help was asked of a `help` command, which has no options: that of the command it explains is meant.
fn is_help_of_help(error: &clap::Error) -> bool {
    let asks = |argument: &String| ["--help", "-h"].contains(&argument.as_str());
    error.kind() == ErrorKind::InvalidSubcommand
        && strings(error, ContextKind::InvalidSubcommand).iter().any(asks)
}

fn refusal(error: &clap::Error, words: &[OsString]) -> Refusal {
    let command = crate::args::command();
    let (path, command) = deepest(command, words);
    let help = Some(format!("{path} --help"));
    let plain = |sentence| Refusal { sentence, hint: help.clone() };
    let argument = strings(error, ContextKind::InvalidArg);
    let first = argument.first().map(|text| name_of(text)).unwrap_or_default();
    let value = strings(error, ContextKind::InvalidValue).into_iter().next().unwrap_or_default();
    let typed = typed_option(&first, &value, &command, words).unwrap_or_else(|| first.clone());
    match error.kind() {
        ErrorKind::InvalidSubcommand => unknown_command(error, &path, &command),
        ErrorKind::UnknownArgument => match ssh_words::behind_dashes(&first, &command, words) {
            Some(hint) => Refusal { sentence: format!("unexpected argument `{first}`"), hint: Some(hint) },
            None => unknown_argument(&first, &path, &command),
        },
        ErrorKind::MissingRequiredArgument => {
            // A group of options that are alternatives.
            if let Some(group) = argument.first().and_then(|text| text.strip_prefix("<--")) {
                let options =
                    group.split('|').map(|text| format!("`--{}`", name_of(text.trim_start_matches('-'))));
                return plain(format!("missing one of {}", options.collect::<Vec<_>>().join(", ")));
            }
            if let Some(option) = needing(&argument, words) {
                return plain(format!("`{option}` needs `{first}`"));
            }
            // A single path is taken as the destination, and typed as the source.
            if command.get_name() == "cp" && first == "SOURCE" && argument.len() == 1 {
                return plain("missing `DESTINATION`".to_owned());
            }
            let missing = argument.iter().map(|text| format!("`{}`", typed_as(text))).collect::<Vec<_>>();
            plain(format!("missing {}", missing.join(" and ")))
        }
        ErrorKind::MissingSubcommand => plain("missing a command".to_owned()),
        ErrorKind::ArgumentConflict => {
            let other = strings(error, ContextKind::PriorArg);
            match other.first().map(|text| name_of(text)) {
                // An option without its value conflicts with nothing that has a name.
                Some(other) if first.is_empty() => plain(format!("`{other}` needs a value")),
                Some(other) if other != first => {
                    plain(format!("`{first}` and `{other}` cannot be used together"))
                }
                Some(_) | None => plain(match spellings(&first, &command, words).as_slice() {
                    [one, other, ..] => {
                        format!("`{one}` and `{other}` are the same option; use one of them")
                    }
                    _ => format!("`{first}` can be given only once"),
                }),
            }
        }
        ErrorKind::InvalidValue if value.is_empty() => plain(format!("`{typed}` needs a value")),
        ErrorKind::InvalidValue => {
            let values = strings(error, ContextKind::ValidValue).join(", ");
            plain(format!("{typed}: `{value}` is not a valid value; use one of: {values}"))
        }
        ErrorKind::TooManyValues => plain(format!("unexpected value `{value}` for `{first}`")),
        ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => plain(format!("`{first}` needs a value")),
        // A refusal of one of our types says everything by itself.
        ErrorKind::ValueValidation => match error.source() {
            Some(source) => Refusal {
                sentence: value_refused(&typed, source),
                hint: hint_for_value(&first, &value, &path, words),
            },
            None => plain(format!("{typed}: `{value}` is not a valid value")),
        },
        _ => {
            let text = error.render().to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            plain(text.lines().next().unwrap_or_default().to_owned())
        }
    }
}

/// Names the option that a value was meant for, where the sentence does not name its thing itself.
fn value_refused(argument: &str, source: &(dyn std::error::Error + 'static)) -> String {
    if let Some(SizeError::OutOfRange { what, .. }) = source.downcast_ref() {
        let sentence = source.to_string();
        return format!("{argument}{}", sentence.strip_prefix(what).unwrap_or(&sentence));
    }
    if source.is::<NameError>() { source.to_string() } else { format!("{argument}: {source}") }
}

/// Options that are of no use without another one, which clap names alone when it misses it.
const NEEDS: &[(&str, &str)] = &[
    ("--json", "--detach"),
    ("--sha256", "--bundle"),
    ("--minisign-key", "--bundle"),
    ("--initrd", "--kernel"),
    ("--modules", "--kernel"),
    ("--release", "--distro"),
];

/// Returns the option that was typed and needs the one that is missing.
fn needing(missing: &[String], words: &[OsString]) -> Option<&'static str> {
    let [missing] = missing else { return None };
    let missing = name_of(missing);
    let is_typed = |option: &str| words.iter().any(|word| option_of(word) == Some(option));
    NEEDS.iter().find(|(option, needed)| *needed == missing && is_typed(option)).map(|(option, _)| *option)
}

/// Returns a long option without its value.
fn option_of(word: &OsStr) -> Option<&str> {
    word.to_str()?.split('=').next().filter(|option| option.starts_with("--"))
}

/// Returns the long forms of an option that were typed, its aliases among them.
fn spellings(option: &str, command: &Command, words: &[OsString]) -> Vec<String> {
    let long = option.strip_prefix("--");
    let argument = command.get_arguments().find(|argument| long.is_some() && argument.get_long() == long);
    let aliases = argument.and_then(clap::Arg::get_all_aliases).unwrap_or_default();
    let longs = long.into_iter().chain(aliases).map(|long| format!("--{long}"));
    longs.filter(|long| words.iter().any(|word| option_of(word) == Some(long))).collect()
}

/// Returns an option in the spelling in which it was given this value: one of its aliases, or its letter.
fn typed_option(option: &str, value: &str, command: &Command, words: &[OsString]) -> Option<String> {
    let long = option.strip_prefix("--")?;
    let argument = command.get_arguments().find(|argument| argument.get_long() == Some(long))?;
    let longs = [long].into_iter().chain(argument.get_all_aliases().unwrap_or_default());
    let letters =
        argument.get_short().into_iter().chain(argument.get_all_short_aliases().unwrap_or_default());
    let spellings = longs.map(|long| (format!("--{long}"), "="));
    let mut spellings = spellings.chain(letters.map(|letter| (format!("-{letter}"), "")));
    let words: Vec<_> = words.iter().filter_map(|word| word.to_str()).collect();
    let is_given = |(spelling, between): &(String, &str)| {
        words.windows(2).any(|pair| pair == [spelling.as_str(), value])
            || words.contains(&format!("{spelling}{between}{value}").as_str())
    };
    spellings.find(is_given).map(|(spelling, _)| spelling)
}

/// Returns what to type instead of a value that means something elsewhere.
fn hint_for_value(argument: &str, value: &str, path: &str, words: &[OsString]) -> Option<String> {
    if path.ends_with(" ssh") {
        return ssh_words::without_user(words);
    }
    if argument == "--image" && is_archive_name(value) {
        return Some(format!("for an archive, type its prefix: --image docker-archive:{value}"));
    }
    if path.contains(" image ") && argument == "NAME" && value.contains([':', '/', '@']) {
        return Some("`banger image list` shows the names of local images".to_owned());
    }
    path.ends_with(" ports").then(|| ports::TAKES_VMS.to_owned())
}

fn unknown_command(error: &clap::Error, path: &str, command: &Command) -> Refusal {
    let typed = strings(error, ContextKind::InvalidSubcommand).into_iter().next().unwrap_or_default();
    let sentence = format!("unknown command `{typed}`");
    let names = command
        .get_subcommands()
        .flat_map(|sub| sub.get_name_and_visible_aliases().into_iter().map(|word| (word, sub.get_name())));
    let hint = match habits::instead_of_command(&typed) {
        Some(instead) => instead.to_owned(),
        None => match habits::meant(&typed, names) {
            Some(meant) => format!("did you mean `{path} {meant}`?"),
            // A word next to one that ends or removes something gets no suggestion, but the list that has it.
            None if path == "banger" && habits::is_near_destructive(&typed) => "banger vm --help".to_owned(),
            None => format!("{path} --help"),
        },
    };
    Refusal { sentence, hint: Some(hint) }
}

/// Tells whether a command has this option, `--long` or a letter.
fn has_option(command: &Command, option: &str) -> bool {
    command.get_arguments().any(|argument| {
        let longs = argument.get_long_and_visible_aliases().unwrap_or_default();
        let letters = argument.get_short_and_visible_aliases().unwrap_or_default();
        longs.iter().any(|long| option.strip_prefix("--") == Some(long))
            || letters.iter().any(|letter| option == format!("-{letter}"))
    })
}

fn unknown_argument(option: &str, path: &str, command: &Command) -> Refusal {
    let sentence = format!("unexpected argument `{option}`");
    if has_option(command, option) {
        let hint = format!("options stand behind the command, as in `{path} {option}`");
        return Refusal { sentence, hint: Some(hint) };
    }
    if command.get_name() == "create" && !option.starts_with('-') {
        return Refusal { sentence, hint: Some(format!("to choose the image: --image {option}")) };
    }
    let longs = command
        .get_arguments()
        .flat_map(|argument| argument.get_long_and_visible_aliases().unwrap_or_default());
    let longs = longs.map(|long| format!("--{long}")).collect::<Vec<_>>();
    let hint = match habits::instead_of_option(command.get_name(), option) {
        Some(instead) => Some(instead.to_owned()),
        None => match habits::meant(option, longs.iter().map(|long| (long.as_str(), long.as_str()))) {
            Some(meant) => Some(format!("did you mean `{meant}`?")),
            None => Some(format!("{path} --help")),
        },
    };
    Refusal { sentence, hint }
}

/// Returns the command that the words lead to, and how it is typed.
fn deepest(mut command: Command, words: &[OsString]) -> (String, Command) {
    command.build();
    let mut path = command.get_name().to_owned();
    for word in words.iter().skip(1).filter_map(|word| word.to_str()) {
        if word.starts_with('-') {
            continue;
        }
        let Some(next) = command.find_subcommand(word) else { break };
        path = format!("{path} {}", next.get_name());
        command = next.clone();
    }
    (path, command)
}

fn strings(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}

/// Returns the option without its value, or the name of a positional argument.
fn name_of(argument: &str) -> String {
    let name = argument.split([' ', '=', '[']).next().unwrap_or_default();
    name.trim_matches(['<', '>', '.']).to_owned()
}

/// Returns an argument as its help names it: a positional one without its brackets.
fn typed_as(argument: &str) -> &str {
    if argument.starts_with('<') { argument.trim_matches(['<', '>', '.']) } else { argument }
}

#[cfg(test)]
#[path = "usage_tests.rs"]
mod tests;
