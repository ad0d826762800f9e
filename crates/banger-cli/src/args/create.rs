//! Arguments of the commands that make a VM or change it.

use std::ffi::OsString;

use banger_api::{CreateVm, PullImage, SetVm, WaitFor};
use banger_model::{
    DiskBytes, IdempotencyKey, KernelName, MemoryMib, PullPolicy, Ttl, TtlChange, VcpuCount, VmName,
    WantedVmm,
};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use clap_complete::ArgValueCandidates;

use crate::args::process::ProcessArgs;
use crate::args::shared::{JsonArgs, parse_image};
use crate::completion;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(crate) struct RunArgs {
    /// Delete the VM when the command or banger exits
    #[arg(long)]
    pub(crate) rm: bool,
    /// Run the command once in the background and print the name of the VM; `vm logs` prints its output
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
    #[arg(value_name = "IMAGE|COMMAND", trailing_var_arg = true, add = ArgValueCandidates::new(completion::images))]
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
    #[arg(long, value_parser = pull_policy(), default_value = PullPolicy::Missing.as_str())]
    pub(crate) pull: PullPolicy,
    /// Kernel [default: the image's]
    #[arg(long, allow_hyphen_values = true, add = ArgValueCandidates::new(completion::kernels))]
    pub(crate) kernel: Option<KernelName>,
    /// Virtual processors, 1 to 32 [default: a quarter of the host's, 1 to 4]
    #[arg(long, visible_alias = "cpus", allow_hyphen_values = true)]
    pub(crate) vcpu: Option<VcpuCount>,
    /// Memory, as in 512M or 2G; a plain number is MiB [default: an eighth of the host's, 512M to 8G]
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
            pull: self.pull,
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
    /// Memory, as in 512M or 2G; a plain number is MiB
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

fn pull_policy() -> impl TypedValueParser<Value = PullPolicy> {
    let values = PullPolicy::ALL.map(|policy| {
        PossibleValue::new(policy.as_str()).help(match policy {
            PullPolicy::Always => "Pull even if the image is already present",
            PullPolicy::Missing => "Pull if the image is not present",
            PullPolicy::Never => "Never pull",
        })
    });
    PossibleValuesParser::new(values).try_map(|text| text.parse::<PullPolicy>())
}

fn wanted_vmm() -> impl TypedValueParser<Value = WantedVmm> {
    PossibleValuesParser::new(WantedVmm::ALL.map(WantedVmm::as_str)).try_map(|text| text.parse::<WantedVmm>())
}
