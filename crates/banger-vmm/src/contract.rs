//! What every VMM driver does, in the words of the product.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use banger_model::{MemoryMib, VcpuCount, VmId};
use banger_sys::process::ProcessIdentity;
use serde::{Deserialize, Serialize};

/// Which VMM runs a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VmmKind {
    /// QEMU's `microvm` machine.
    Qemu,
    /// Firecracker.
    Firecracker,
}

/// Everything a driver needs to start one machine. All paths are absolute.
#[derive(Clone, Debug)]
pub struct MachinePlan {
    /// Whose machine it is.
    pub vm: VmId,
    /// Directory for what must survive the VMM: console log, guest memory. Exists, 0700.
    pub state_directory: PathBuf,
    /// Directory for sockets. Exists, 0700; what is left in it from an older machine is removed by the driver.
    pub runtime_directory: PathBuf,
    /// What it boots.
    pub kernel: KernelFiles,
    /// Added to the driver's own kernel command line.
    pub kernel_arguments: Vec<String>,
    /// Virtual processors.
    pub vcpus: VcpuCount,
    /// Memory.
    pub memory: MemoryMib,
    /// Drives in the order in which the guest finds them; the driver tells the guest their roles
    /// (`banger.drives=` on the kernel command line).
    pub drives: Vec<Drive>,
    /// Network.
    pub network: Network,
}

/// A kernel's files.
#[derive(Clone, Debug)]
pub struct KernelFiles {
    /// Compressed image with the x86 boot header (bzImage).
    pub vmlinuz: PathBuf,
    /// The same kernel as an ELF file.
    pub vmlinux: PathBuf,
    /// Our initramfs.
    pub initramfs: PathBuf,
}

/// A block device of the guest.
#[derive(Clone, Debug)]
pub struct Drive {
    /// What the guest uses it for.
    pub role: DriveRole,
    /// Raw file on the host.
    pub path: PathBuf,
}

/// What the guest uses a drive for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DriveRole {
    /// The image's root: shared, read-only.
    Base,
    /// The kernel's modules: shared, read-only.
    Modules,
    /// What this VM changes in its root.
    Overlay,
    /// `/root`.
    Work,
}

impl DriveRole {
    /// Name on the kernel command line and as the drive's serial.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Modules => "modules",
            Self::Overlay => "overlay",
            Self::Work => "work",
        }
    }

    /// Tells whether the guest may write to it.
    #[must_use]
    pub fn is_writable(self) -> bool {
        match self {
            Self::Base | Self::Modules => false,
            Self::Overlay | Self::Work => true,
        }
    }
}

/// The machine's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// Loopback only.
    None,
    /// Outbound access without root, through a user-mode stack.
    UserMode {
        /// Hardware address, as in `52:54:00:12:34:56`.
        mac: String,
    },
}

/// How the guest reaches its network: handed to the agent by `identify`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestNetwork {
    /// Hardware address of the interface.
    pub mac: String,
    /// Address with prefix length.
    pub address: String,
    /// Default gateway.
    pub gateway: String,
    /// Name servers.
    pub dns_servers: Vec<String>,
}

/// What is needed to find a machine again: written by the driver as `machine.json` in the state directory, before the
/// machine may do anything, and kept in the format of this version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineHandle {
    /// Format of this file.
    pub format_version: u32,
    /// Whose machine it is.
    pub vm: VmId,
    /// Which driver started it.
    pub vmm: VmmKind,
    /// The VMM's process.
    pub process: MachineProcess,
    /// Helper processes that live and die with it (a user-mode network stack).
    pub companions: Vec<MachineProcess>,
    /// Socket of the VMM's control protocol (QMP, HTTP).
    pub control_socket: PathBuf,
    /// Socket of the guest channel as the rest of the product sees it.
    pub channel_socket: PathBuf,
    /// Console log.
    pub console_log: PathBuf,
}

/// A process with its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineProcess {
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks since the host's boot.
    pub start_ticks: u64,
}

impl From<MachineProcess> for ProcessIdentity {
    fn from(process: MachineProcess) -> Self {
        Self { pid: process.pid, start_ticks: process.start_ticks }
    }
}

impl From<ProcessIdentity> for MachineProcess {
    fn from(identity: ProcessIdentity) -> Self {
        Self { pid: identity.pid, start_ticks: identity.start_ticks }
    }
}

/// One VMM.
#[async_trait]
pub trait Vmm: Send + Sync {
    /// Which one it is.
    fn kind(&self) -> VmmKind;

    /// Tells how a guest of this driver reaches its network; `None` without one.
    fn guest_network(&self, network: &Network) -> Option<GuestNetwork>;

    /// Starts a machine. The VMM's process is in a session of its own and outlives the caller.
    /// When the future is dropped or fails, no process is left.
    async fn start(&self, plan: &MachinePlan) -> Result<Box<dyn Machine>, StartError>;

    /// Takes over a machine that another process started; `None` when it has ended.
    async fn adopt(&self, handle: &MachineHandle) -> Result<Option<Box<dyn Machine>>, AdoptError>;
}

/// A running machine. Dropping it leaves the machine running.
#[async_trait]
pub trait Machine: Send + Sync {
    /// What is needed to find it again.
    fn handle(&self) -> &MachineHandle;

    /// Waits until the machine has ended: an event, for any number of waiters, at any time.
    async fn ended(&self) -> MachineEnd;

    /// Ends the machine at once (SIGKILL) and waits until it is gone, with its companions and sockets.
    async fn kill(&self) -> Result<(), KillError>;

    /// Opens a stream to a port of the guest's agent: connects to the channel socket, sends `CONNECT`, reads `OK`.
    /// Waits until the guest's agent is there, the machine ends or the deadline passes.
    async fn connect(&self, port: u32, deadline: Duration) -> Result<tokio::net::UnixStream, ConnectError>;
}

/// How a machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineEnd {
    /// Exit status, where it was ours to wait for.
    Exited(i32),
    /// Ended by this signal.
    Signaled(i32),
    /// It ended; an adopted process does not tell how.
    Unknown,
}

/// Why a machine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The VMM is not installed.
    #[error("the program `{program}` is not installed")]
    Missing {
        /// Its name.
        program: &'static str,
        /// Debian package that has it.
        package: &'static str,
    },
    /// The plan cannot be carried out by this driver.
    #[error("the machine plan is not possible: {reason}")]
    BadPlan {
        /// What is wrong with it.
        reason: String,
    },
    /// A file of the machine could not be prepared.
    #[error("cannot prepare `{}`", path.display())]
    Prepare {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The process could not be started.
    #[error("cannot start `{program}`")]
    Spawn {
        /// Which program.
        program: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The process ended before the machine ran.
    #[error("`{program}` ended at once{}", if .stderr.is_empty() { String::new() } else { format!(": {}", .stderr) })]
    Refused {
        /// Which program.
        program: &'static str,
        /// What it said.
        stderr: String,
    },
    /// The process did not get ready in time.
    #[error("`{program}` was not ready within {} s", .deadline.as_secs())]
    NotReady {
        /// Which program.
        program: &'static str,
        /// What it was given.
        deadline: Duration,
    },
}

/// Why a machine could not be taken over.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// The handle is of a format that this version does not know.
    #[error("the machine's handle has format {found}; this version knows {known}")]
    UnknownFormat {
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Its process or sockets could not be opened.
    #[error("cannot take over the machine of VM `{vm}`")]
    Open {
        /// Whose.
        vm: VmId,
        /// Why.
        source: std::io::Error,
    },
}

/// Why a machine could not be ended.
#[derive(Debug, thiserror::Error)]
pub enum KillError {
    /// The signal could not be sent.
    #[error("cannot end process {pid}")]
    Signal {
        /// Its process id.
        pid: u32,
        /// Why.
        source: std::io::Error,
    },
    /// It is still there.
    #[error("process {pid} did not end within {} s", .deadline.as_secs())]
    StillAlive {
        /// Its process id.
        pid: u32,
        /// What it was given.
        deadline: Duration,
    },
}

/// Why no stream to the guest could be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The machine ended.
    #[error("the machine has ended")]
    MachineEnded,
    /// The guest's agent did not answer.
    #[error("the guest did not answer within {} s", .deadline.as_secs_f32())]
    Silent {
        /// What it was given.
        deadline: Duration,
    },
    /// The guest's agent is there, but not on this port.
    #[error("the guest does not listen on port {port}")]
    Refused {
        /// Which port.
        port: u32,
    },
    /// The channel broke.
    #[error("the guest channel failed")]
    Channel(#[source] std::io::Error),
}
