//! The commands under `vm`.

use std::ffi::OsString;

use banger_api::{CreateVm, PullImage, PullPolicy, SetVm, WaitFor};
use banger_model::{
    DiskBytes, IdempotencyKey, KernelName, KillSignal, MemoryMib, Ttl, TtlChange, VcpuCount, VmName,
};
use clap::{Args, Subcommand, ValueEnum};
use clap_complete::{ArgValueCandidates, ArgValueCompleter};

use crate::args::{ImageArg, JsonArgs, parse_image, parse_vm};
use crate::completion;
use crate::escape_keys::EscapeKeys;

#[derive(Debug, Subcommand)]
pub(crate) enum VmCommand {
    /// Make a VM and enter its shell, or run one command in it
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Make a VM and start it
    #[command(after_help = "Example:\n  banger vm create --name dev --memory 4G")]
    Create(CreateArgs),
    /// List VMs
    #[command(after_help = "Example:\n  banger vm list --json")]
    List(JsonArgs),
    /// Show everything about a VM
    #[command(after_help = "Example:\n  banger vm show dev --json")]
    Show {
        #[command(flatten)]
        vm: OneVm,
        #[command(flatten)]
        json: JsonArgs,
    },
    /// Start stopped VMs; one that runs already is no error
    #[command(after_help = "Example:\n  banger vm start dev")]
    Start {
        #[command(flatten)]
        vms: ManyVms,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Stop running VMs gracefully; their disks stay. One that does not run is no error
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
    /// End the machines of VMs at once, for when `vm stop` hangs
    #[command(after_help = "Example:\n  banger vm kill dev")]
    Kill {
        #[command(flatten)]
        vms: ManyVms,
        /// Signal for the machine's process; after another one than KILL it may go on
        #[arg(short, long, default_value = "KILL")]
        signal: KillSignal,
    },
    /// Stop VMs and remove them with their disks; asks nothing and cannot be undone
    #[command(after_help = "Example:\n  banger vm delete dev test")]
    Delete {
        #[command(flatten)]
        vms: ManyVms,
        /// Do not fail for VMs that do not exist
        #[arg(short, long)]
        force: bool,
    },
    /// Delete all VMs that have no machine: stopped ones, failed ones, those never started
    #[command(after_help = "Example:\n  banger vm prune --force")]
    Prune(PruneArgs),
    /// Change the sizes of VMs, from their next start on, or their time to live
    #[command(
        after_help = "Examples:\n  banger vm set dev --memory 4G --disk-size 20G\n  banger vm set dev --ttl none"
    )]
    Set {
        #[command(flatten)]
        vms: ManyVms,
        #[command(flatten)]
        change: SetArgs,
    },
    /// Begin the time to live of VMs anew, and count it as a use of them
    #[command(after_help = "Example:\n  banger vm touch dev")]
    Touch {
        #[command(flatten)]
        vms: ManyVms,
    },
    /// Run a command in a running VM; without a command, its login shell
    #[command(after_help = EXEC_EXAMPLES)]
    Exec(ExecArgs),
    /// Enter a running VM with the host's ssh; where its image has no ssh server, through banger's agent
    #[command(after_help = "Examples:\n  banger vm ssh dev\n  banger vm ssh dev -- -L 8080:localhost:80")]
    Ssh {
        #[command(flatten)]
        vm: OneVm,
        /// Further arguments of ssh, or a command
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
    /// Copy files and directories into VMs, out of them, or from one to another
    #[command(after_help = CP_HELP)]
    Cp(CpArgs),
    /// List what listens inside VMs; without a name, in all that run
    #[command(after_help = "Example:\n  banger vm ports dev")]
    Ports(AnyVms),
    /// Show what VMs use, as the host and as the guest sees it; without a name, all that run
    #[command(after_help = STATS_EXAMPLES)]
    Stats {
        #[command(flatten)]
        vms: AnyVms,
        /// Go on every second, until Ctrl-C; with `--json` one line for each VM
        #[arg(short, long)]
        watch: bool,
    },
    /// Print the console log of a VM: its kernel and its init
    ///
    /// The guest wrote it, so what would command the terminal is shown instead, as in `\x1b[2J`; colours are left out.
    #[command(
        after_help = "Examples:\n  banger vm logs -f dev\n  banger vm logs --raw dev >console.log\n  banger vm logs --vmm dev"
    )]
    Logs {
        #[command(flatten)]
        vm: OneVm,
        /// Go on with what comes
        #[arg(short, long)]
        follow: bool,
        /// Print every byte as the guest wrote it: it can command your terminal then
        #[arg(long)]
        raw: bool,
        /// Print what the VMM and the processes beside it said instead
        #[arg(long, conflicts_with = "follow")]
        vmm: bool,
    },
}

const EXEC_EXAMPLES: &str = "Examples:
  banger vm exec dev make test
  banger vm exec dev -e CI=1 -w /srv -- ./run --fast
  tar c . | banger vm exec dev -- tar x -C /srv

On a terminal, `~.` at the beginning of a line leaves, also when the guest does not answer (`~?` tells more). Without
one, signals are the command's; one that ignores SIGTERM or SIGHUP is ended after 3 seconds, and by the second of them
or the third signal of any kind at once.";

const CP_HELP: &str = "Examples:
  banger vm cp notes.txt dev:                 into root's home
  banger vm cp ./site dev:/srv                as /srv/site; ./site/. copies what is in it
  banger vm cp dev:/var/log/syslog .          out of it
  banger vm cp dev:data test:/srv             from one VM to another
  banger vm cp dev:/etc - | tar t             as a tar; `-` as the source reads one

A path in a VM is VM:PATH; a relative one begins at root's home. A directory comes with all that is in it. As with
`cp`, a destination that is a directory takes things under their names, another one is the new name.
Permissions and times are kept, and holes of files; links are copied as links. What comes into a VM becomes root's,
what comes out of it becomes yours, both without set-user-id and set-group-id bits. Devices, sockets and named pipes
are left out. A file has its name only when it is whole.";

const STATS_EXAMPLES: &str = "Examples:
  banger vm stats
  banger vm stats --watch dev
  banger vm stats --watch --json dev

CPU, MEM and DISK are what the VM takes from the host, CPU in percent of one of its processors. GUEST MEM, /
and /root are used and whole as the guest sees them, NET what came and went.";

const RUN_EXAMPLES: &str = "Examples:
  banger vm run                             a fresh machine, straight into a shell
  banger vm run --rm -- make test           one command; its exit status is ours
  banger vm run --rm alpine:3.20 uname -a   one command in a container image, pulled if it is missing
  banger vm run -d --name dev --memory 4G   a machine that stays, without entering it

Exit status: the command's own; 128 + n when signal n ended it; 127 when it was not found,
126 when it cannot be executed; 1 when banger failed; 2 when the arguments make no sense.";

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Delete the VM when the shell or the command has ended, or this program, however it did
    #[arg(long)]
    pub(crate) rm: bool,
    /// Do not enter it: print its name and leave it running
    #[arg(short, long)]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(crate) sizing: SizingArgs,
    #[command(flatten)]
    pub(crate) process: ProcessArgs,
    /// First word that is no option and stands before `--`: where an image comes from, see `plan::first_word`
    #[arg(value_name = "IMAGE")]
    pub(crate) first_word: Option<OsString>,
    /// What follows the first word
    #[arg(hide = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<OsString>,
    /// Command and its arguments, taken as they are; without one, the image's own command, or a login shell
    #[arg(last = true)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    pub(crate) sizing: SizingArgs,
    /// Only make it
    #[arg(long)]
    pub(crate) no_start: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

/// When the image of a new VM is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PullChoice {
    /// Pull, and use the image that is here only if the registry has no other
    Always,
    /// Pull if the image is not here
    Missing,
    /// Never pull
    Never,
}

/// What a new VM is made of.
#[derive(Debug, Args)]
pub(crate) struct SizingArgs {
    /// Name: 1 to 63 of a-z, 0-9 and `-` [default: a generated one]
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) name: Option<VmName>,
    /// Image, by name or by reference, as in alpine:3.20 [default: debian-bookworm, or the configured one]
    #[arg(long, allow_hyphen_values = true, value_parser = parse_image, add = ArgValueCandidates::new(completion::images))]
    pub(crate) image: Option<ImageArg>,
    /// When to pull the image
    #[arg(long, value_enum, default_value_t = PullChoice::Missing)]
    pub(crate) pull: PullChoice,
    /// Kernel [default: the image's]
    #[arg(long, allow_hyphen_values = true, add = ArgValueCandidates::new(completion::kernels))]
    pub(crate) kernel: Option<KernelName>,
    /// Virtual processors, 1 to 32 [default: a quarter of the host's, 1 to 4]
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) vcpu: Option<VcpuCount>,
    /// Memory, as in 512M or 2G [default: an eighth of the host's, 512M to 8G]
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) memory: Option<MemoryMib>,
    /// Size of `/` and of `/root`, each on a disk of its own [default: 8G; only what is written takes room]
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) disk_size: Option<DiskBytes>,
    /// Size of the overlay (`/` in the guest) where it differs from --disk-size
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) overlay_size: Option<DiskBytes>,
    /// Size of the work disk (`/root` in the guest) where it differs from --disk-size
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) work_size: Option<DiskBytes>,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
    /// Delete the VM after this time, as in 90m, 8h or 7d, counted anew by `vm touch` [default: never]
    #[arg(long)]
    pub(crate) ttl: Option<Ttl>,
    /// Make one VM however often this request is repeated with this key
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<IdempotencyKey>,
    /// VMM [default: auto, or the configured one]
    #[arg(long, value_parser = ["auto", "qemu", "firecracker"])]
    pub(crate) vmm: Option<String>,
}

impl SizingArgs {
    /// Returns the request for such a VM.
    pub(crate) fn into_request(self, no_start: bool) -> CreateVm {
        let (image, image_source) = match self.image {
            None => (None, None),
            Some(ImageArg::Name(name)) => (Some(name), None),
            Some(ImageArg::Source(source)) => (None, Some(PullImage { source, ..PullImage::default() })),
        };
        CreateVm {
            name: self.name,
            image,
            image_source,
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
    #[arg(long, allow_hyphen_values = true)]
    vcpu: Option<VcpuCount>,
    /// Memory, as in 512M or 2G
    #[arg(long, allow_hyphen_values = true)]
    memory: Option<MemoryMib>,
    /// Size of `/` and of `/root`, each on a disk of its own, as in 20G; they can only grow
    #[arg(long, allow_hyphen_values = true)]
    disk_size: Option<DiskBytes>,
    /// Size of the overlay (`/` in the guest) where it differs from --disk-size
    #[arg(long, allow_hyphen_values = true)]
    overlay_size: Option<DiskBytes>,
    /// Size of the work disk (`/root` in the guest) where it differs from --disk-size
    #[arg(long, allow_hyphen_values = true)]
    work_size: Option<DiskBytes>,
    /// Delete the VM after this time from now on, as in 90m, 8h or 7d; `none`: never
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
pub(crate) struct PruneArgs {
    /// Delete without asking
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Wait until commands run (agent), or until the guest's services have started (system)
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
    /// Seconds that the guest gets to stop its services; then its machine is ended [default: 20]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) grace: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    pub(crate) vm: OneVm,
    /// Start the command and leave it running; its output is dropped
    #[arg(short, long)]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(crate) process: ProcessArgs,
    /// Command and its arguments, taken as they are: what follows its first word is the command's. Behind `--` that
    /// word may begin with `-`
    #[arg(trailing_var_arg = true)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct CpArgs {
    /// Keep owners by number and, into VMs and tars, set-user-id and set-group-id bits; out of VMs only root can
    #[arg(short, long)]
    pub(crate) archive: bool,
    /// Copy what a source that is a link leads to, and not the link
    #[arg(short = 'L', long)]
    pub(crate) follow_link: bool,
    /// Directories come with all that is in them anyway
    #[arg(short, long, visible_short_alias = 'R', hide = true)]
    pub(crate) recursive: bool,
    /// Files and directories: PATH here, VM:PATH in a VM, or `-` for a tar on stdin
    #[arg(required = true, value_name = "SOURCE", add = ArgValueCompleter::new(completion::places))]
    pub(crate) sources: Vec<OsString>,
    /// Where to: PATH, VM:PATH, or `-` for a tar on stdout
    #[arg(required = true, value_name = "DESTINATION", add = ArgValueCompleter::new(completion::places))]
    pub(crate) destination: OsString,
}

/// How a command runs in the guest.
#[derive(Debug, Args)]
pub(crate) struct ProcessArgs {
    /// Set a variable of the command's environment; without a value, take ours
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    pub(crate) environment: Vec<OsString>,
    /// Directory to start in [default: the user's home]
    #[arg(short, long, value_name = "DIRECTORY")]
    pub(crate) workdir: Option<OsString>,
    /// User to be, as a name or number [default: root]
    #[arg(short, long)]
    pub(crate) user: Option<String>,
    /// Use a terminal in the guest [default: when stdin and stdout are terminals]
    #[arg(short, long, conflicts_with = "no_tty")]
    pub(crate) tty: bool,
    /// Stdin is connected anyway; for hands that are used to `-it`
    #[arg(short, long, hide = true)]
    pub(crate) interactive: bool,
    /// Use no terminal in the guest
    #[arg(short = 'T', long)]
    pub(crate) no_tty: bool,
    /// Keys that leave a session on a terminal and end its command: a character to type before `.` at the beginning of
    /// a line, or keys anywhere, as in `ctrl-p,ctrl-q`, or `none` [default: ~]
    #[arg(long, visible_alias = "detach-keys", value_name = "KEYS")]
    pub(crate) escape_keys: Option<EscapeKeys>,
}

#[derive(Debug, Args)]
pub(crate) struct OneVm {
    /// Name, id, or beginning of the id
    #[arg(value_name = "VM", value_parser = parse_vm, add = ArgValueCandidates::new(completion::vms))]
    pub(crate) vm: String,
}

#[derive(Debug, Args)]
pub(crate) struct ManyVms {
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "VM", required = true, value_parser = parse_vm, add = ArgValueCandidates::new(completion::vms))]
    pub(crate) vms: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AnyVms {
    /// Names, ids, or beginnings of ids [default: all that run]
    #[arg(value_name = "VM", value_parser = parse_vm, add = ArgValueCandidates::new(completion::vms))]
    pub(crate) vms: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
