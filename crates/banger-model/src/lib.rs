//! The nouns and rules of the product. Text from outside becomes one of these types once, at the border, so code inside
//! never holds an invalid name or size. No I/O, no async, no clock.

mod count;
mod disk_floor;
mod disk_trouble;
mod distro;
pub mod egress;
mod error_code;
mod event;
mod hint;
mod host_path;
mod idempotency;
mod image;
mod lifetime;
mod lost_socket;
mod machine_end;
mod name;
mod network;
mod operation;
mod pause;
mod pending;
mod pull_policy;
mod reboot;
mod reconcile;
mod reference;
mod signal;
mod size;
mod spec;
mod vm;
mod vmm;
mod wait;
pub mod whole_number;
mod words;

pub use count::count;
pub use disk_floor::{BelowFloor, DiskFloor, DiskRoom};
pub use disk_trouble::DiskTrouble;
pub use distro::{BadSha256, Distro, Sha256};
pub use error_code::ErrorCode;
pub use event::EventKind;
pub use hint::{ArtifactKind, Hint};
pub use host_path::{HostPath, HostPathError};
pub use idempotency::{BadIdempotencyKey, IdempotencyKey};
pub use image::{ImageName, KernelName};
pub use lifetime::{Due, LifetimeFacts, Ttl, TtlChange, TtlError};
pub use lost_socket::LostSocket;
pub use machine_end::{Announced, EndCause, EndFacts, KernelWord, MemoryKill, SilentFacts, VmmExit, WayOut};
pub use name::{NameError, VmId, VmName, generate_name};
pub use network::{GuestNetwork, NetworkAttachment, NetworkTrouble};
pub use operation::{OperationKind, OperationState};
pub use pause::PauseReason;
pub use pending::Pending;
pub use pull_policy::PullPolicy;
pub use reboot::{Reboot, Reboots};
pub use reconcile::{Interruption, MachineFound, Verdict};
pub use reference::{VmRef, VmRefError};
pub use signal::KillSignal;
pub use size::{
    ByteCount, DiskBytes, HostSize, MemoryMib, SizeError, VcpuCount, default_memory, default_vcpus,
    display_rounded, memory_beyond_host,
};
pub use spec::{VmSizes, VmSpec};
pub use vm::{Denied, VmEvent, VmState};
pub use vmm::WantedVmm;
pub use wait::WaitFor;
pub use words::UnknownWord;
