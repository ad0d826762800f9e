//! The command line: what can be typed. Names and sizes become types here, so that a bad one is refused before
//! anything starts. What a combination of arguments means is decided in `plan`.

use banger_model::{ImageName, NameError, VmName};
use clap::{Args, Parser, Subcommand};

use crate::args_image::ImageCommand;
use crate::args_kernel::KernelCommand;
use crate::args_vm::VmCommand;
use crate::setup::SetupCommand;
use crate::version;

/// Make and use development sandboxes: each a Linux machine of its own, in one command
#[derive(Debug, Parser)]
#[command(
    name = "banger",
    version = version::line(),
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Example:\n  banger vm run --rm -- uname -a"
)]
pub(crate) struct Cli {
    /// Say only what was asked for, and errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one of it, for the life of the process")]
pub(crate) enum Command {
    /// Run, list, stop and delete VMs
    #[command(subcommand, after_help = VM_EXAMPLES)]
    Vm(VmCommand),
    /// List VMs, as `vm list`
    #[command(after_help = "Example:\n  banger ps")]
    Ps(JsonArgs),
    /// Pull and list images
    #[command(subcommand, after_help = "Example:\n  banger image pull debian-bookworm")]
    Image(ImageCommand),
    /// Pull, import, list and remove kernels
    #[command(subcommand, after_help = "Example:\n  banger kernel pull debian-12")]
    Kernel(KernelCommand),
    /// Print what happens to VMs, images and kernels, a line of JSON each, until it is stopped
    #[command(after_help = EVENTS_EXAMPLES)]
    Events(EventsArgs),
    /// Look at the daemon's work, and stop some of it
    #[command(subcommand, after_help = "Example:\n  banger operation list")]
    Operation(OperationCommand),
    /// Look after the daemon that runs the VMs; other commands start it when it is needed
    #[command(subcommand, after_help = "Example:\n  banger daemon status")]
    Daemon(DaemonCommand),
    /// Install what banger uses and the host's packages do not have
    #[command(subcommand, after_help = "Example:\n  banger setup firecracker")]
    Setup(SetupCommand),
    /// Check the host and tell the command that fixes what is wrong
    #[command(after_help = "Example:\n  banger doctor")]
    Doctor(JsonArgs),
    /// Show the version
    #[command(after_help = "Example:\n  banger version --json")]
    Version(JsonArgs),
    /// Print the script that completes commands and names in a shell
    #[command(after_help = "Example:\n  source <(banger completion bash)")]
    Completion {
        /// Shell
        #[arg(value_parser = ["bash", "zsh", "fish"])]
        shell: String,
    },
    /// Connect stdin and stdout to a port of a VM (the `ProxyCommand` of ssh)
    #[command(hide = true, after_help = "Example:\n  ssh -o ProxyCommand='banger proxy %h %p' root@dev.vm")]
    Proxy {
        /// VM, with or without `.vm`
        host: String,
        /// Port in the guest
        port: u16,
    },
}

const VM_EXAMPLES: &str = "Examples:
  banger vm run                      a fresh machine, straight into a shell
  banger vm run --rm -- make test    one command, and leave nothing behind
  banger vm create --name dev        a machine that stays
  banger vm exec dev -- make test    one command in it
  banger vm ssh dev                  into it with ssh
  banger vm cp ./site dev:/srv       copy files into it, or out of it
  banger vm stats --watch            what the VMs use
  banger vm stop dev                 stop it
  banger vm delete dev               remove it with its disks";

const EVENTS_EXAMPLES: &str = "Examples:
  banger events                        what happens from now on
  banger events --after 0 --no-follow  what has happened, as far as it is kept
  banger events --after 1234           what came after cursor 1234, and what comes";

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Begin after this cursor (of an event that was printed before) instead of now
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<i64>,
    /// End when everything that has happened is printed
    #[arg(long)]
    pub(crate) no_follow: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OperationCommand {
    /// List the operations at work and the latest that ended
    #[command(after_help = "Example:\n  banger operation list --json")]
    List(JsonArgs),
    /// Show an operation with its stages
    #[command(after_help = "Example:\n  banger operation show op-0123456789ab")]
    Show {
        /// Id, as errors and logs show it
        #[arg(value_parser = parse_operation)]
        id: String,
        #[command(flatten)]
        json: JsonArgs,
    },
    /// Stop an operation; what it has made is undone
    #[command(after_help = "Example:\n  banger operation cancel op-0123456789ab")]
    Cancel {
        /// Id, as errors and logs show it
        #[arg(value_parser = parse_operation)]
        id: String,
        #[command(flatten)]
        json: JsonArgs,
    },
}

/// The id of an operation: it becomes a part of a path.
fn parse_operation(text: &str) -> Result<String, String> {
    let is_id = text
        .strip_prefix("op-")
        .is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_hexdigit()));
    if is_id {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not the id of an operation; see `banger operation list`"))
    }
}

#[derive(Debug, Args)]
pub(crate) struct JsonArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// Get it again, also when it is here
    #[arg(long)]
    pub(crate) force: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DaemonCommand {
    /// Show the daemon, without starting it
    #[command(after_help = "Example:\n  banger daemon status --json")]
    Status(JsonArgs),
    /// Stop the daemon; VMs go on
    #[command(after_help = "Example:\n  banger daemon stop")]
    Stop {
        /// Stop it also while it is at work
        #[arg(long)]
        force: bool,
    },
}

/// A VM as typed: its name, its id or the beginning of its id. All of them have the form of a name.
pub(crate) fn parse_vm(text: &str) -> Result<String, NameError> {
    text.parse::<VmName>().map(String::from)
}

/// An image as typed: by its name, or by where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ImageArg {
    Name(ImageName),
    Source(String),
}

/// Reads an image: a name is one that is here or in the catalog; what has a registry, a tag or the prefix of a file is pulled
/// from there.
pub(crate) fn parse_image(text: &str) -> Result<ImageArg, String> {
    if is_source(text) {
        return Ok(ImageArg::Source(text.to_owned()));
    }
    text.parse().map(ImageArg::Name).map_err(|error: NameError| error.to_string())
}

/// Tells whether a word says where an image comes from.
pub(crate) fn is_source(text: &str) -> bool {
    text.contains([':', '/', '@']) && !text.starts_with(['.', '/', '~', ':', '-'])
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_commands_are_these() {
        let mut command = Cli::command();
        command.build();
        let mut lines = Vec::new();
        list(&command, "", &mut lines);
        insta::assert_snapshot!(lines.join("\n"), @r"
        vm
        vm run
        vm create
        vm list
        vm show
        vm start
        vm stop
        vm restart
        vm kill
        vm delete
        vm prune
        vm set
        vm touch
        vm exec
        vm ssh
        vm cp
        vm ports
        vm stats
        vm logs
        ps
        image
        image pull
        image register
        image promote
        image delete
        image bundle
        image cache
        image cache prune
        image show
        image list
        kernel
        kernel list
        kernel show
        kernel pull
        kernel import
        kernel rm
        kernel catalog
        events
        operation
        operation list
        operation show
        operation cancel
        daemon
        daemon status
        daemon stop
        setup
        setup firecracker
        doctor
        version
        completion
        proxy
        ");
    }

    #[test]
    fn every_command_says_what_it_does_and_gives_an_example() {
        fn check(command: &clap::Command) {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty() && !about.ends_with('.'), "{}: {about:?}", command.get_name());
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.starts_with("Example"), "{}: no example", command.get_name());
            command.get_subcommands().filter(|sub| sub.get_name() != "help").for_each(check);
        }
        check(&Cli::command());
    }

    fn list(command: &clap::Command, path: &str, lines: &mut Vec<String>) {
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let path = format!("{path} {}", sub.get_name()).trim().to_owned();
            lines.push(path.clone());
            list(sub, &path, lines);
        }
    }
}
