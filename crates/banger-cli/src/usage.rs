//! What clap finds wrong with the arguments, in the form of all our errors.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::error::USAGE;
use crate::painted::{Paint, Painted};
use crate::render::{Colour, say_painted};

/// Tells what is wrong, or the help that was asked for; returns the exit status.
pub(crate) fn tell(error: &clap::Error) -> u8 {
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
            let mut text = Painted::default().paint(Colour::of_stderr(), Paint::Red, "banger:").push(" ");
            for line in sentence(error).lines() {
                text = text.push(line).end_line();
            }
            say_painted(&text);
            USAGE
        }
    }
}

fn sentence(error: &clap::Error) -> String {
    // A refusal of one of our types says everything by itself.
    if let (ErrorKind::ValueValidation, Some(refusal), Some(ContextValue::String(argument))) =
        (error.kind(), error.source(), error.get(ContextKind::InvalidArg))
    {
        let argument = argument.split([' ', '=']).next().unwrap_or_default().trim_matches(['<', '>', '.']);
        return format!("{argument}: {refusal}");
    }
    let text = error.render().to_string();
    text.strip_prefix("error: ").unwrap_or(&text).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Cli;

    fn refusal(arguments: &str) -> String {
        let arguments = ["banger"].into_iter().chain(arguments.split(' '));
        sentence(&Cli::try_parse_from(arguments).unwrap_err())
    }

    #[test]
    fn bad_values_are_refused_with_the_sentence_of_their_type() {
        let lines = [
            "vm run --vcpu 0",
            "vm run --vcpu two",
            "vm run --memory -1",
            "vm run --memory 0",
            "vm run --disk-size -8G",
            "vm create --name -a",
            "vm create --name Box",
            "vm create --image ../x",
            "vm exec a/b -- true",
            "vm stop dev ../dev",
            "kernel pull ..",
        ]
        .map(refusal);
        insta::assert_snapshot!(lines.join("\n"), @r"
        --vcpu: a number of processors of 0 is not possible; it can be 1 to 32
        --vcpu: `two` is not a number of processors; write a whole number, as in `2`
        --memory: memory of -1M is not possible; it can be 128M to 1T
        --memory: memory of 0 is not possible; it can be 128M to 1T
        --disk-size: a disk of -8G is not possible; it can be 64M to 2T
        --name: the VM name `-a` starts or ends with `-`; put a letter or digit there
        --name: the VM name `Box` has the character `B`; allowed are a to z, 0 to 9 and `-`
        --image: the image name `../x` has the character `/`; allowed are a to z, 0 to 9, `-`, `.` and `_`
        VM: the VM name `a/b` has the character `/`; allowed are a to z, 0 to 9 and `-`
        VM: the VM name `../dev` has the character `.`; allowed are a to z, 0 to 9 and `-`
        NAME: the kernel name `..` starts or ends with `.`; put a letter or digit there
        ");
    }

    #[test]
    fn what_clap_finds_is_told_without_its_prefix() {
        insta::assert_snapshot!(refusal("vm run --nope"), @r"
        unexpected argument '--nope' found

          tip: to pass '--nope' as a value, use '-- --nope'

        Usage: banger vm run [OPTIONS] [IMAGE] [-- <COMMAND>...]

        For more information, try '--help'.
        ");
        insta::assert_snapshot!(refusal("vm exec dev -t -T -- true"), @r"
        the argument '--tty' cannot be used with '--no-tty'

        Usage: banger vm exec --tty <VM> <COMMAND>...

        For more information, try '--help'.
        ");
    }
}
