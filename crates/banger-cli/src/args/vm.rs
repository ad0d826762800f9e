//! The commands under `vm`.

use std::ffi::OsString;
use std::path::PathBuf;

use banger_api::{CreateVm, PullImage, PullPolicy, SetVm, WaitFor};
use banger_model::{
    DiskBytes, IdempotencyKey, KernelName, KillSignal, MemoryMib, Ttl, TtlChange, VcpuCount, VmName,
    WantedVmm,
};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};
use clap_complete::{ArgValueCandidates, ArgValueCompleter};

use crate::args::{JsonArgs, parse_image, parse_vm};
use crate::completion;
use crate::escape_keys::EscapeKeys;

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
    /// A VM that is already running is left as it is.
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
    #[command(after_help = "Examples:\n  banger vm ssh dev\n  banger vm ssh dev -- -L 8080:localhost:80")]
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
    /// Print the console log of a VM, with the messages of its kernel and its init
    ///
    /// Colours are removed, and other control characters are printed as escapes, as in `\x1b[2J`.
    #[command(
        visible_alias = "log",
        after_help = "Examples:\n  banger vm logs -f dev\n  banger vm logs --raw dev >console.log\n  banger vm logs --vmm dev"
    )]
    Logs {
        #[command(flatten)]
        vm: OneVm,
        /// Follow the log
        #[arg(short, long)]
        follow: bool,
        /// Print every byte as the guest wrote it, control characters included
        #[arg(long)]
        raw: bool,
        /// Print the log of the VMM and its network process instead
        #[arg(long, conflicts_with = "follow")]
        vmm: bool,
    },
}

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

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(crate) struct RunArgs {
    /// Delete the VM when the command or banger exits
    #[arg(long)]
    pub(crate) rm: bool,
    /// Run the command in the background, without output, and print the name of the VM
    #[arg(short, long)]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(crate) sizing: SizingArgs,
    #[command(flatten)]
    pub(crate) process: ProcessArgs,
    /// Program to run in place of the image's command; COMMAND becomes its arguments
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) entrypoint: Option<OsString>,
    /// Print JSON; needs --detach, because without it the output is the command's
    #[arg(long, requires = "detach")]
    pub(crate) json: bool,
    /// Image, then a command with its arguments; after `--`, only the command
    #[arg(value_name = "IMAGE|COMMAND", trailing_var_arg = true)]
    pub(crate) words: Vec<OsString>,
    /// The words stand behind `--`: all of them are the command. Set by `args::parse`
    #[arg(skip)]
    pub(crate) is_behind_dashes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    pub(crate) sizing: SizingArgs,
    /// Create it without starting it
    #[arg(long)]
    pub(crate) no_start: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

/// When the image of a new VM is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PullChoice {
    /// Pull even if the image is already present
    Always,
    /// Pull if the image is not present
    Missing,
    /// Never pull
    Never,
}

/// What a new VM is made of.
#[derive(Debug, Args)]
pub(crate) struct SizingArgs {
    /// Name and hostname: a-z, 0-9 and `-` [default: a generated one]
    #[arg(long, alias = "hostname", allow_hyphen_values = true)]
    pub(crate) name: Option<VmName>,
    /// Image, as in debian-bookworm, alpine or ghcr.io/owner/app:v1 [default: debian-bookworm, or the configured one]
    #[arg(long, allow_hyphen_values = true, value_parser = parse_image, add = ArgValueCandidates::new(completion::images))]
    pub(crate) image: Option<String>,
    /// When to pull the image
    #[arg(long, value_enum, default_value_t = PullChoice::Missing)]
    pub(crate) pull: PullChoice,
    /// Kernel [default: the image's]
    #[arg(long, allow_hyphen_values = true, add = ArgValueCandidates::new(completion::kernels))]
    pub(crate) kernel: Option<KernelName>,
    /// Virtual processors, 1 to 32 [default: a quarter of the host's, 1 to 4]
    #[arg(long, visible_alias = "cpus", allow_hyphen_values = true)]
    pub(crate) vcpu: Option<VcpuCount>,
    /// Memory, as in 512M or 2G [default: an eighth of the host's, 512M to 8G]
    #[arg(short, long, allow_hyphen_values = true)]
    pub(crate) memory: Option<MemoryMib>,
    /// Size of `/` and of `/root`, each a disk that takes space only as it is written [default: 8G]
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) disk_size: Option<DiskBytes>,
    /// Size of `/`, if it differs from --disk-size
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) overlay_size: Option<DiskBytes>,
    /// Size of `/root`, if it differs from --disk-size
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) work_size: Option<DiskBytes>,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
    /// Delete the VM after this time, as in 90m, 8h or 7d; `vm touch` resets it [default: never]
    #[arg(long)]
    pub(crate) ttl: Option<Ttl>,
    /// Create only one VM, even if the command is repeated with this key
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<IdempotencyKey>,
    /// VMM (virtual machine monitor) [default: auto, or the configured one]
    #[arg(long, value_parser = wanted_vmm())]
    pub(crate) vmm: Option<WantedVmm>,
}

impl SizingArgs {
    /// Returns the request for such a VM.
    pub(crate) fn into_request(self, no_start: bool) -> CreateVm {
        CreateVm {
            name: self.name,
            image: None,
            image_source: self.image.map(|source| PullImage { source, ..PullImage::default() }),
            pull: match self.pull {
                PullChoice::Always => PullPolicy::Always,
                PullChoice::Missing => PullPolicy::Missing,
                PullChoice::Never => PullPolicy::Never,
            },
            kernel: self.kernel,
            vcpus: self.vcpu,
            memory: self.memory,
            disk: self.disk_size,
            overlay: self.overlay_size,
            work: self.work_size,
            no_start,
            wait: self.wait.boundary(),
            command_follows: false,
            vmm: self.vmm,
            ttl: self.ttl,
            bound_to: None,
            idempotency_key: self.idempotency_key,
        }
    }
}

/// What is to become of a VM.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct SetArgs {
    /// Virtual processors, 1 to 32
    #[arg(long, visible_alias = "cpus", allow_hyphen_values = true)]
    vcpu: Option<VcpuCount>,
    /// Memory, as in 512M or 2G
    #[arg(short, long, allow_hyphen_values = true)]
    memory: Option<MemoryMib>,
    /// Size of `/` and of `/root`, each a disk, as in 20G; disks can only grow
    #[arg(long, allow_hyphen_values = true)]
    disk_size: Option<DiskBytes>,
    /// Size of `/`, if it differs from --disk-size
    #[arg(long, allow_hyphen_values = true)]
    overlay_size: Option<DiskBytes>,
    /// Size of `/root`, if it differs from --disk-size
    #[arg(long, allow_hyphen_values = true)]
    work_size: Option<DiskBytes>,
    /// Delete the VMs after this time, as in 90m, 8h or 7d; `none` for never
    #[arg(long)]
    ttl: Option<TtlChange>,
}

impl SetArgs {
    /// Returns the request for this change.
    pub(crate) fn request(&self) -> SetVm {
        SetVm {
            vcpus: self.vcpu,
            memory: self.memory,
            disk: self.disk_size,
            overlay: self.overlay_size,
            work: self.work_size,
            ttl: self.ttl,
        }
    }
}

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
pub(crate) struct WaitArgs {
    /// Wait until commands can run (agent), or until services have started (system)
    #[arg(long, value_enum, default_value_t = Wait::Agent)]
    wait: Wait,
}

impl WaitArgs {
    pub(crate) fn boundary(&self) -> WaitFor {
        match self.wait {
            Wait::Agent => WaitFor::Agent,
            Wait::System => WaitFor::System,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Wait {
    Agent,
    System,
}

#[derive(Debug, Args)]
pub(crate) struct GraceArgs {
    /// Seconds to wait for the guest to shut down before forcing it off [default: 20]
    #[arg(short = 't', long, visible_aliases = ["time", "timeout"], value_name = "SECONDS")]
    pub(crate) grace: Option<u32>,
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
    /// Command and its arguments [default: the login shell]
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

/// How a command runs in the guest.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(crate) struct ProcessArgs {
    /// Set an environment variable; without a value, pass the one of this shell
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    pub(crate) environment: Vec<OsString>,
    /// Read environment variables from a file, a NAME=VALUE or NAME on each line
    #[arg(long = "env-file", value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) environment_files: Vec<PathBuf>,
    /// Working directory of the command [default: the image's, or the user's home]
    #[arg(short, long, value_name = "DIRECTORY")]
    pub(crate) workdir: Option<OsString>,
    /// User to run the command as: NAME or UID, with an optional :GROUP [default: the image's, or root]
    #[arg(short, long)]
    pub(crate) user: Option<String>,
    /// Allocate a terminal [default: if stdin and stdout are terminals]
    #[arg(short, long, conflicts_with = "no_tty")]
    pub(crate) tty: bool,
    /// Accepted and not needed: stdin is connected unless --no-stdin
    #[arg(short, long, hide = true)]
    pub(crate) interactive: bool,
    /// Do not allocate a terminal
    #[arg(short = 'T', long)]
    pub(crate) no_tty: bool,
    /// Do not connect stdin, as `ssh -n`; for loops such as `while read`
    #[arg(short = 'n', long, conflicts_with_all = ["interactive", "tty"])]
    pub(crate) no_stdin: bool,
    /// Keys that leave a session on a terminal and end its command: a character to type before `.` at the beginning of
    /// a line, or keys anywhere, as in `ctrl-p,ctrl-q`, or `none` [default: ~]
    #[arg(long, visible_alias = "detach-keys", value_name = "KEYS")]
    pub(crate) escape_keys: Option<EscapeKeys>,
}

#[derive(Debug, Args)]
pub(crate) struct OneVm {
    /// Name, ID, or unique beginning of an ID
    #[arg(value_name = "VM", value_parser = parse_vm, add = ArgValueCandidates::new(completion::vms))]
    pub(crate) vm: String,
}

#[derive(Debug, Args)]
pub(crate) struct ManyVms {
    /// Names, IDs, or unique beginnings of IDs
    #[arg(value_name = "VM", required = true, value_parser = parse_vm, add = ArgValueCandidates::new(completion::vms))]
    pub(crate) vms: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AnyVms {
    /// Names, IDs, or unique beginnings of IDs [default: all running VMs]
    #[arg(value_name = "VM", value_parser = parse_vm, add = ArgValueCandidates::new(completion::vms))]
    pub(crate) vms: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn wanted_vmm() -> impl TypedValueParser<Value = WantedVmm> {
    PossibleValuesParser::new(WantedVmm::ALL.map(WantedVmm::as_str)).try_map(|text| text.parse::<WantedVmm>())
}
