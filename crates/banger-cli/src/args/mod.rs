//! The command line: what can be typed. Names and sizes become types here, so that a bad one is refused before
//! anything starts. What a combination of arguments means is decided in `plan`.

pub(crate) mod image;
pub(crate) mod kernel;
pub(crate) mod vm;

use std::ffi::OsString;

use banger_model::{ImageName, NameError, VmName};
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::args::image::{ImageCommand, PullImageArgs};
use crate::args::kernel::KernelCommand;
use crate::args::vm::VmCommand;
use crate::setup::SetupCommand;
use crate::version;

/// Run development sandboxes, each in a VM of its own
#[derive(Debug, Parser)]
#[command(
    name = "banger",
    version = version::line(),
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = OVERVIEW
)]
pub(crate) struct Cli {
    /// Print only results and errors, and only IDs instead of tables
    #[arg(short, long, global = true, display_order = 998)]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Manage VMs: run, list, stop, delete
    #[command(subcommand, after_help = VM_EXAMPLES)]
    Vm(VmCommand),
    /// Manage images: pull, list, delete
    #[command(subcommand, after_help = "Example:\n  banger image pull debian-bookworm")]
    Image(ImageCommand),
    /// Manage kernels: pull, import, list, delete
    #[command(subcommand, after_help = "Example:\n  banger kernel pull debian-12")]
    Kernel(KernelCommand),
    /// Stream events of VMs, images and kernels as JSON lines
    #[command(after_help = EVENTS_EXAMPLES)]
    Events(EventsArgs),
    /// Manage operations: list, show, cancel
    #[command(subcommand, after_help = "Example:\n  banger operation list")]
    Operation(OperationCommand),
    /// Manage the daemon, which other commands start when they need it
    #[command(subcommand, after_help = "Example:\n  banger daemon status")]
    Daemon(DaemonCommand),
    /// Install programs that the host's packages do not provide
    #[command(subcommand, after_help = "Example:\n  banger setup firecracker")]
    Setup(SetupCommand),
    /// Check the host and print a fix for each problem
    #[command(after_help = "Example:\n  banger doctor")]
    Doctor(JsonArgs),
    /// Show disk usage of images, kernels, VMs and the layer cache
    #[command(after_help = "Example:\n  banger df")]
    Df(JsonArgs),
    /// Show the daemon; same as `banger daemon status`
    #[command(after_help = "Example:\n  banger info --json")]
    Info(JsonArgs),
    /// Show the version
    #[command(after_help = "Example:\n  banger version --json")]
    Version(JsonArgs),
    /// Print a shell completion script
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
    /// List images; same as `banger image list`
    #[command(after_help = "Example:\n  banger images")]
    Images(AvailableArgs),
    /// Pull an image; same as `banger image pull`
    #[command(after_help = "Example:\n  banger pull alpine:3.20")]
    Pull(PullImageArgs),
    #[command(flatten)]
    Short(VmCommand),
}

/// Returns the command line as its help shows it: short forms stand below, and not in the list of commands.
pub(crate) fn command() -> clap::Command {
    let short = <VmCommand as Subcommand>::augment_subcommands(clap::Command::new("short"));
    let names = short.get_subcommands().map(|command| command.get_name().to_owned());
    let names = names.chain(["images".to_owned(), "pull".to_owned()]).collect::<Vec<_>>();
    names
        .into_iter()
        .fold(Cli::command(), |command, name| command.mut_subcommand(name, |short| short.hide(true)))
}

/// Reads the words of a command line.
///
/// # Errors
/// What clap finds wrong; [`crate::usage`] tells it.
pub(crate) fn parse(words: &[OsString]) -> Result<Cli, clap::Error> {
    let mut cli = Cli::from_arg_matches(&command().try_get_matches_from(words)?)?;
    if let Command::Vm(VmCommand::Run(run)) | Command::Short(VmCommand::Run(run)) = &mut cli.command {
        // Its words are the last ones of all, and clap does not tell what stood before them.
        let before = words.len().checked_sub(run.words.len() + 1).and_then(|index| words.get(index));
        run.is_behind_dashes = before.is_some_and(|word| word == "--");
    }
    Ok(cli)
}

const OVERVIEW: &str = "Short forms:
  banger run, exec, ps, stop, rm, …   all commands of `banger vm` work without `vm`
  banger images                       banger image list
  banger pull                         banger image pull

Examples:
  banger run --rm -- uname -a     run one command in a new VM
  banger run -d --name dev        start a VM that stays
  banger exec dev bash            open a shell in it
  banger run -it --rm alpine sh   open a shell in a container image";

const VM_EXAMPLES: &str = "Examples:
  banger vm run                      open a shell in a new VM
  banger vm run --rm -- make test    run one command in a new VM, then delete the VM
  banger vm create --name dev        create a VM that stays
  banger vm exec dev -- make test    run one command in it
  banger vm ssh dev                  connect with ssh
  banger vm cp ./site dev:/srv       copy files into it
  banger vm stats --watch            watch resource usage
  banger vm stop dev                 stop it
  banger vm delete dev               delete it with its disks

All of them work without `vm`, as in `banger run`.";

const EVENTS_EXAMPLES: &str = "Examples:
  banger events                        events from now on
  banger events --after 0 --no-follow  past events that are still stored
  banger events --after 1234           events after cursor 1234, and new ones";

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Start after this cursor, the `cursor` of an earlier event [default: now]
    #[arg(long, value_name = "CURSOR", value_parser = parse_cursor)]
    pub(crate) after: Option<i64>,
    /// Exit after the stored events
    #[arg(long)]
    pub(crate) no_follow: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OperationCommand {
    /// List running and recent operations
    #[command(visible_alias = "ls", after_help = "Example:\n  banger operation list --json")]
    List(JsonArgs),
    /// Show an operation with its stages
    #[command(visible_alias = "inspect", after_help = "Example:\n  banger operation show op-0123456789ab")]
    Show {
        /// Operation ID, as in op-0123456789ab
        #[arg(value_parser = parse_operation)]
        id: String,
        #[command(flatten)]
        json: JsonArgs,
    },
    /// Cancel an operation and undo what it has done
    #[command(after_help = "Example:\n  banger operation cancel op-0123456789ab")]
    Cancel {
        /// Operation ID, as in op-0123456789ab
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
        Err(format!("`{text}` is not an operation ID; `banger operation list` shows them"))
    }
}

#[derive(Debug, Args)]
pub(crate) struct JsonArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a list of images or kernels shows.
#[derive(Debug, Args)]
pub(crate) struct AvailableArgs {
    /// Also list those that can be pulled from the catalog
    #[arg(short, long, visible_alias = "available")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// Pull again even if it is already present
    #[arg(long)]
    pub(crate) force: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DaemonCommand {
    /// Show the daemon without starting it
    #[command(visible_aliases = ["show", "info"], after_help = "Example:\n  banger daemon status --json")]
    Status(JsonArgs),
    /// Stop the daemon; VMs keep running
    #[command(after_help = "Example:\n  banger daemon stop")]
    Stop {
        /// Stop the daemon even while operations are in progress
        #[arg(short, long)]
        force: bool,
        #[command(flatten)]
        json: JsonArgs,
    },
}

/// A VM as typed: its name, its id or the beginning of its id. All of them have the form of a name.
pub(crate) fn parse_vm(text: &str) -> Result<String, NameError> {
    text.parse::<VmName>().map(String::from)
}

fn parse_cursor(text: &str) -> Result<i64, String> {
    let cursor = text.parse().ok().filter(|cursor| *cursor >= 0);
    cursor.ok_or_else(|| format!("`{text}` is not a valid cursor; use the `cursor` of an earlier event"))
}

/// Reads an image: a name, which the daemon looks for among the local images, in the catalog and on docker.io, or a
/// source with a registry, a tag or the prefix of a file.
pub(crate) fn parse_image(text: &str) -> Result<String, NameError> {
    if !is_source(text) {
        text.parse::<ImageName>()?;
    }
    Ok(text.to_owned())
}

/// Returns whether a word names the source of an image beyond doubt.
fn is_source(text: &str) -> bool {
    text.contains([':', '/', '@']) && !text.starts_with(['.', '/', '~', ':', '-'])
}

#[cfg(test)]
mod tests {
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
        lines.retain(|line| !is_short(line));
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
        kernel delete
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
        df
        info
        version
        completion
        proxy
        images
        pull
        ");
    }

    /// Tells whether a line names a command of `vm` without `vm`.
    fn is_short(line: &str) -> bool {
        let vm = <VmCommand as Subcommand>::augment_subcommands(clap::Command::new("vm"));
        vm.find_subcommand(line).is_some()
    }

    #[test]
    fn every_command_of_vm_works_without_vm_and_the_help_lists_none_twice() {
        let help = command().render_help().to_string();
        let vm = <VmCommand as Subcommand>::augment_subcommands(clap::Command::new("vm"));
        for sub in vm.get_subcommands() {
            let line = format!("\n  {} ", sub.get_name());
            assert!(Cli::command().find_subcommand(sub.get_name()).is_some(), "{line}");
            assert!(!help.contains(&line), "{line}: {help}");
        }
        assert!(help.contains("\n  vm ") && help.contains("Short forms:"), "{help}");
    }

    #[test]
    fn every_command_says_what_it_does_and_gives_an_example() {
        fn check(command: &clap::Command) {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty() && !about.ends_with('.'), "{}: {about:?}", command.get_name());
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains("Example"), "{}: no example", command.get_name());
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
