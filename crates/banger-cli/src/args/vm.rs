//! The commands under `vm`.

use std::ffi::OsString;

use banger_model::KillSignal;
use clap::{Args, Subcommand};
use clap_complete::ArgValueCompleter;

use crate::args::create::{CreateArgs, RunArgs, SetArgs, WaitArgs};
use crate::args::process::ProcessArgs;
use crate::args::shared::{AnyVms, JsonArgs, ManyVms, OneVm};
use crate::completion;

#[derive(Debug, Subcommand)]
pub(crate) enum VmCommand {
    /// Create a VM, start it and run a command or a shell in it
    #[command(after_help = RUN_EXAMPLES, override_usage = RUN_USAGE)]
    Run(RunArgs),
    /// Create a VM and start it
    #[command(after_help = "Example:\n  banger vm create --name dev --memory 4G")]
    Create(CreateArgs),
    /// List VMs
    #[command(visible_aliases = ["ls", "ps"], after_help = "Examples:\n  banger vm list\n  banger ps -q\n  banger vm list --json")]
    List(ListArgs),
    /// Show the details of a VM
    #[command(visible_alias = "inspect", after_help = "Example:\n  banger vm show dev --json")]
    Show {
        #[command(flatten)]
        vm: OneVm,
        #[command(flatten)]
        json: JsonArgs,
    },
    /// Start stopped VMs
    ///
    /// A VM that is already running is left as it is. The command that `vm run` has started, the image's or another, is
    /// not started again.
    #[command(after_help = "Example:\n  banger vm start dev")]
    Start {
        #[command(flatten)]
        vms: ManyVms,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Stop running VMs gracefully and keep their disks
    ///
    /// A VM that is not running is left as it is.
    #[command(after_help = "Example:\n  banger vm stop dev test")]
    Stop {
        #[command(flatten)]
        vms: ManyVms,
        #[command(flatten)]
        grace: GraceArgs,
    },
    /// Stop VMs and start them again
    ///
    /// The command that `vm run` has started, the image's or another, is not started again.
    #[command(after_help = "Example:\n  banger vm restart dev")]
    Restart {
        #[command(flatten)]
        vms: ManyVms,
        #[command(flatten)]
        grace: GraceArgs,
    },
    /// Force VMs off immediately
    #[command(after_help = "Example:\n  banger vm kill dev")]
    Kill {
        #[command(flatten)]
        vms: ManyVms,
        /// Signal to send to the VMM process; the VM may survive any other than KILL
        #[arg(short, long, default_value = "KILL")]
        signal: KillSignal,
    },
    /// Delete VMs with their disks, even if they are running
    ///
    /// There is no confirmation, and the deletion cannot be undone.
    #[command(visible_aliases = ["rm", "remove"], after_help = "Example:\n  banger vm delete dev test")]
    Delete {
        #[command(flatten)]
        vms: ManyVms,
        /// Do not fail if a VM does not exist
        #[arg(short, long)]
        force: bool,
    },
    /// Delete all VMs that are not running
    #[command(after_help = "Example:\n  banger vm prune --yes")]
    Prune(PruneArgs),
    /// Resize VMs, or set their time to live
    ///
    /// New sizes apply at the next start.
    #[command(
        override_usage = "banger vm set [OPTIONS] <VM>...",
        after_help = "Examples:\n  banger vm set dev --memory 4G --disk-size 20G\n  banger vm set dev --ttl none"
    )]
    Set {
        #[command(flatten)]
        vms: ManyVms,
        #[command(flatten)]
        change: SetArgs,
    },
    /// Reset the time to live of VMs
    ///
    /// It also counts as a use, so that an idle VM is not stopped by `auto_stop_stale_after`.
    #[command(after_help = "Example:\n  banger vm touch dev")]
    Touch {
        #[command(flatten)]
        vms: ManyVms,
    },
    /// Run a command or a shell in a running VM
    #[command(visible_alias = "shell", after_help = EXEC_EXAMPLES)]
    Exec(ExecArgs),
    /// Connect to a running VM with ssh
    ///
    /// If its image has no ssh server, banger's agent runs the shell or the command.
    #[command(
        after_help = "Examples:\n  banger vm ssh dev\n  banger vm ssh dev -- -L 8080:localhost:80\n\nOther clients reach the ssh \
                      server by the ProxyCommand `banger proxy %h %p`, with `dev.vm` as the host."
    )]
    Ssh {
        #[command(flatten)]
        vm: OneVm,
        /// Options of ssh, or a command
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
    /// Copy files and directories to, from and between VMs
    #[command(after_help = CP_HELP)]
    Cp(CpArgs),
    /// List the ports that programs in VMs listen on
    #[command(visible_alias = "port", after_help = "Example:\n  banger vm ports dev")]
    Ports(AnyVms),
    /// Show the resource usage of VMs
    #[command(visible_alias = "top", after_help = STATS_EXAMPLES)]
    Stats {
        #[command(flatten)]
        vms: AnyVms,
        /// Refresh every second until Ctrl-C; with `--json`, print one line for each VM
        #[arg(short, long)]
        watch: bool,
        /// Accepted and not needed: figures are printed once unless --watch
        #[arg(long, hide = true, conflicts_with = "watch")]
        no_stream: bool,
    },
    /// Print the output of a VM's command, or its console log
    ///
    /// The command is the one that `vm run -d` started; the end of its output is kept, also after the VM was stopped. For a VM
    /// without such a command, and with `--console`, prints the console log, with the messages of the kernel and the init.
    ///
    /// Colours are removed, and other control characters are printed as escapes, as in `\x1b[2J`.
    #[command(
        visible_alias = "log",
        after_help = "Examples:\n  banger vm logs -f dev\n  banger vm logs --console --raw dev >console.log\n  banger vm logs --vmm dev"
    )]
    Logs {
        #[command(flatten)]
        vm: OneVm,
        /// Follow the log, until the command or the VM ends
        #[arg(short, long)]
        follow: bool,
        /// Print every byte as the guest wrote it, control characters included
        #[arg(long)]
        raw: bool,
        /// Print the console log, also if the VM has a command
        #[arg(long)]
        console: bool,
        /// Print the log of the VMM and its network process instead; each line names its program
        #[arg(long, conflicts_with_all = ["follow", "console"])]
        vmm: bool,
    },
}

const RUN_USAGE: &str =
    "banger vm run [OPTIONS] [IMAGE [COMMAND...]]\n       banger vm run [OPTIONS] -- COMMAND...";

const RUN_EXAMPLES: &str = "Examples:
  banger vm run                             open a shell in a new VM
  banger vm run --rm -- uname -a            run one command, then delete the VM
  banger vm run --rm alpine:3.20 uname -a   run a command in a container image
  banger vm run -d --name dev --memory 4G   start a VM and leave it running

IMAGE is the name of a local image or of one in the catalog (`banger image list --all`), or the reference of a \
container image, as in `alpine` or `ghcr.io/owner/app:v1`. An image that is not present is pulled.

Exit status: that of the command; 128 + n if signal n ended it; 127 if it was not found; 126 if it cannot be \
executed; 1 if banger failed; 2 for invalid arguments.";

const EXEC_EXAMPLES: &str = "Examples:
  banger vm exec dev make test
  banger vm exec dev -e CI=1 -w /srv -- ./run --fast
  tar c . | banger vm exec dev -- tar x -C /srv

On a terminal, `~.` at the beginning of a line closes the session, even if the guest does not answer; `~?` \
prints help. Without a terminal, signals are passed to the command. A command that ignores SIGTERM or SIGHUP \
is killed after 3 seconds, or immediately by the second of them or the third signal of any kind.";

const CP_HELP: &str = "Examples:
  banger vm cp notes.txt dev:                 to root's home directory
  banger vm cp ./site dev:/srv                to /srv/site; ./site/. copies its contents
  banger vm cp dev:/etc/os-release .          from the VM
  banger vm cp dev:data test:/srv             from one VM to another
  banger vm cp dev:/etc - | tar t             to a tar on stdout; `-` as the source reads one

A path in a VM is VM:PATH; relative paths start in /root. Directories are copied with their contents. As with \
`cp`, a source is copied into a destination that is a directory; any other destination is its new name.

Permissions, times and holes are kept, and links are copied as links. Files are owned by root in a VM and by \
you on the host, without set-user-id and set-group-id bits. Devices, sockets and named pipes are skipped. A \
file appears under its name only when it is complete.";

const STATS_EXAMPLES: &str = "Examples:
  banger vm stats
  banger vm stats --watch dev
  banger vm stats --watch --json dev

CPU, MEM and DISK are what the VM takes from the host; 100% CPU is one processor. GUEST MEM, / and /root are \
used and total as the guest sees them. NET is received and sent. To list the processes in a VM, use \
`banger exec dev ps aux`.";

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Accepted and not needed: stopped VMs are always listed
    #[arg(short, long, hide = true)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Delete without confirmation
    #[arg(short, long, visible_alias = "force", visible_short_alias = 'f')]
    pub(crate) yes: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GraceArgs {
    /// Seconds to wait for the guest to shut down before forcing it off [default: 20]
    #[arg(short = 't', long, visible_aliases = ["time", "timeout"], value_name = "SECONDS",
        allow_hyphen_values = true, value_parser = parse_seconds)]
    pub(crate) grace: Option<u32>,
}

fn parse_seconds(text: &str) -> Result<u32, String> {
    let refused = || format!("`{text}` is not a valid number of seconds; use a whole number, as in `20`");
    text.parse().ok().ok_or_else(refused)
}

#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    pub(crate) vm: OneVm,
    /// Run the command in the background, without output, and print its process ID
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Print JSON; needs --detach, because without it the output is the command's
    #[arg(long, requires = "detach")]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) process: ProcessArgs,
    /// Command and its arguments [default: a shell]
    #[arg(trailing_var_arg = true)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct CpArgs {
    /// Keep numeric owners and, in VMs and tars, set-user-id and set-group-id bits; needs root on the host
    #[arg(short, long)]
    pub(crate) archive: bool,
    /// Follow symbolic links in SOURCE
    #[arg(short = 'L', long)]
    pub(crate) follow_link: bool,
    /// Accepted and not needed: directories are copied with their contents
    #[arg(short, long, visible_short_alias = 'R', hide = true)]
    pub(crate) recursive: bool,
    /// Files and directories: PATH on the host, VM:PATH in a VM, or `-` for a tar on stdin
    #[arg(required = true, value_name = "SOURCE", add = ArgValueCompleter::new(completion::places))]
    pub(crate) sources: Vec<OsString>,
    /// Destination: PATH, VM:PATH, or `-` for a tar on stdout
    #[arg(required = true, value_name = "DESTINATION", add = ArgValueCompleter::new(completion::places))]
    pub(crate) destination: OsString,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}
