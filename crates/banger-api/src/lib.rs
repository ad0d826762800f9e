//! The contract between the CLI and the daemon: HTTP/1.1 with JSON on a Unix socket, so that `curl --unix-socket` is a
//! client too. What can be asked stands in [`route`].

mod bundle;
mod error;
mod event;
mod guest;
mod image;
mod kernel;
mod operation;
mod query;
pub mod route;
mod system;
mod vm;

pub use banger_model::{ErrorCode, OperationKind, OperationState, WaitFor};
pub use bundle::{BundleView, PackBundle, PullBundle};
pub use error::{ErrorBody, http_status};
pub use event::EventView;
pub use guest::{
    DiskStats, FileSystemStats, GuestStats, HostStats, InterfaceStats, ListenerProcess, ListenerView,
    MachineStats, TransportProtocol, VmStats,
};
pub use image::{
    ImageDetails, ImageProcessView, ImageView, PruneCache, PrunedCache, PullImage, PullRequest, RegisterImage,
};
pub use kernel::{ArtifactFile, CatalogKernel, ImportKernel, KernelDetails, KernelView};
pub use operation::{OperationView, StagePartView, StageView};
pub use query::{
    ChannelQuery, DeleteKernelQuery, EndingQuery, EventsQuery, ListQuery, LogsQuery, OperationQuery, Query,
    ShutdownQuery, StatsQuery,
};
pub use system::{CheckOutcome, CheckView, DaemonInfo, DoctorReport, ServiceInfo, VmDefaults};
pub use vm::{
    CreateVm, DeleteVm, EndingView, HostProcess, KillVm, PendingWork, SetVm, SshAccess, StartVm, StopVm,
    VmCommandView, VmView,
};

/// Version of this contract. It changes when an old client would misunderstand a new daemon.
pub const API_VERSION: u32 = 2;

/// Value of the `Upgrade` header that turns a request into a stream of bytes to the guest.
pub const CHANNEL_PROTOCOL: &str = "banger-channel";
