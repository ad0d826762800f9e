//! The whole command line: its commands, and how words become one of them.

use std::ffi::OsString;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::args::daemon::{DaemonCommand, EVENTS_EXAMPLES, EventsArgs, OperationCommand};
use crate::args::image::{ImageCommand, PullImageArgs};
use crate::args::kernel::KernelCommand;
use crate::args::shared::{AvailableArgs, JsonArgs};
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
    /// Print only results and errors; for VMs, images, kernels and operations, only their IDs
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
        #[arg(value_parser = parse_port)]
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

fn parse_port(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| format!("`{text}` is not a valid port; use a number from 1 to 65535"))
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

    #[test]
    fn paragraphs_of_help_are_wrapped_by_the_terminal_and_examples_fit_in_it() {
        fn check(command: &clap::Command) {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let lines: Vec<_> = after.lines().collect();
            for pair in lines.windows(2) {
                let is_prose = |line: &str| !line.is_empty() && !line.starts_with(' ');
                let [one, other] = pair else { continue };
                assert!(!(is_prose(one) && is_prose(other)), "{}: {one:?} {other:?}", command.get_name());
            }
            for example in lines.iter().filter(|line| line.starts_with(' ')) {
                assert!(example.chars().count() < 100, "{}: {example}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&command());
    }

    fn list(command: &clap::Command, path: &str, lines: &mut Vec<String>) {
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let path = format!("{path} {}", sub.get_name()).trim().to_owned();
            lines.push(path.clone());
            list(sub, &path, lines);
        }
    }
}
