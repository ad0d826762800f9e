//! The contract between the CLI and the daemon: HTTP/1.1 with JSON on a Unix socket, so that `curl --unix-socket` is a
//! client too. Long work is an operation: the request that begins it answers at once with its id, and
//! `GET /v1/operations/{id}?after=<revision>` waits for the next change.
//!
//! | route | takes → gives |
//! |---|---|
//! | `GET /v1/info` | [`DaemonInfo`] |
//! | `GET /v1/defaults` | [`VmDefaults`] |
//! | `GET /v1/doctor` | [`DoctorReport`] |
//! | `GET /v1/openapi.json` | this contract as an OpenAPI document |
//! | `POST /v1/shutdown?force=<bool>` | ends the daemon; without `force` refused while work is in progress |
//! | `GET /v1/vms` | list of [`VmView`] |
//! | `POST /v1/vms` | [`CreateVm`] → [`OperationView`], its result a [`VmView`] |
//! | `GET /v1/vms/{vm}` | [`VmView`]; `{vm}` is a name, an id or a unique beginning of an id |
//! | `POST /v1/vms/{vm}/start` | [`StartVm`] → [`OperationView`], its result a [`VmView`] |
//! | `POST /v1/vms/{vm}/stop`, `…/restart` | [`StopVm`] → [`OperationView`], its result a [`VmView`] |
//! | `POST /v1/vms/{vm}/kill` | [`KillVm`] → [`OperationView`] |
//! | `POST /v1/vms/{vm}/delete` | [`DeleteVm`] → [`OperationView`] |
//! | `POST /v1/vms/{vm}/set` | [`SetVm`] → [`OperationView`], its result a [`VmView`] |
//! | `POST /v1/vms/{vm}/touch` | → [`OperationView`], its result a [`VmView`] |
//! | `GET /v1/vms/{vm}/logs?follow=<bool>&vmm=<bool>` | the guest's console, or with `vmm` what its VMM said, as bytes |
//! | `GET /v1/vms/{vm}/ports` | list of [`ListenerView`]: what listens inside the guest |
//! | `GET /v1/vms/{vm}/stats?host_only=<bool>` | [`VmStats`]; a guest that says nothing within 4 s has no figures of its own |
//! | `GET /v1/vms/{vm}/ssh` | [`SshAccess`] |
//! | `GET /v1/vms/{id}/ending?boot_id=<id>` | [`EndingView`] of that guest, or `null`; waits a second for an end that is about to be seen |
//! | `GET /v1/vms/{vm}/channel?port=<n>` | with `Upgrade: banger-channel`: bytes to and from that port of the guest's agent |
//! | `GET /v1/kernels`, `/v1/images` | list of [`KernelView`], [`ImageView`]: what is here and what the catalog has |
//! | `GET /v1/kernels/{name}`, `/v1/images/{name}` | [`KernelDetails`], [`ImageDetails`] |
//! | `GET /v1/catalog/kernels` | list of [`CatalogKernel`] |
//! | `POST /v1/kernels` | [`ImportKernel`] → [`OperationView`], its result a [`KernelView`] |
//! | `POST /v1/kernels/{name}/delete` | → [`OperationView`] |
//! | `POST /v1/kernels:pull` | [`PullRequest`] → [`OperationView`] |
//! | `POST /v1/images:pull` | [`PullImage`] → [`OperationView`], whose target is the image's name |
//! | `POST /v1/images:pull-bundle` | [`PullBundle`] → [`OperationView`], whose target is the image's name |
//! | `POST /v1/images` | [`RegisterImage`] → [`OperationView`], its result an [`ImageView`] |
//! | `POST /v1/images/{name}/promote` | → [`OperationView`], its result an [`ImageView`] |
//! | `POST /v1/images/{name}/delete` | → [`OperationView`] |
//! | `POST /v1/images/{name}/bundle` | [`PackBundle`] → [`OperationView`], its result a [`BundleView`] |
//! | `POST /v1/image-cache/prune` | [`PruneCache`] → [`PrunedCache`] |
//! | `GET /v1/events?after=<cursor>&follow=<bool>` | a line of JSON per [`EventView`]; without `after` those from now on |
//! | `GET /v1/operations` | list of [`OperationView`]: those at work and the latest that ended |
//! | `GET /v1/operations/{id}?after=<revision>` | [`OperationView`], at once when its revision is beyond `after`, else after the next change or 25 s |
//! | `POST /v1/operations/{id}/cancel` | [`OperationView`] |
//!
//! An error is an [`ErrorBody`] under the HTTP status of its code.

mod bundle;
mod error;
mod event;
mod guest;
mod image;
mod kernel;
mod operation;
mod system;
mod vm;

pub use bundle::{BundleView, PackBundle, PullBundle};
pub use error::{ErrorBody, ErrorCode};
pub use event::{EventKind, EventView};
pub use guest::{
    DiskStats, FileSystemStats, GuestStats, HostStats, InterfaceStats, ListenerProcess, ListenerView,
    MachineStats, TransportProtocol, VmStats,
};
pub use image::{
    ImageDetails, ImageProcessView, ImageView, PruneCache, PrunedCache, PullImage, PullRequest, RegisterImage,
};
pub use kernel::{ArtifactFile, CatalogKernel, ImportKernel, KernelDetails, KernelView};
pub use operation::{OperationKind, OperationState, OperationView, StagePartView, StageView};
pub use system::{CheckOutcome, CheckView, DaemonInfo, DoctorReport, VmDefaults};
pub use vm::{
    CreateVm, DeleteVm, EndingView, HostProcess, KillVm, PendingWork, PullPolicy, SetVm, SshAccess, StartVm,
    StopVm, VmView, WaitFor,
};

/// Version of this contract. It changes when an old client would misunderstand a new daemon.
pub const API_VERSION: u32 = 1;

/// Value of the `Upgrade` header that turns a request into a stream of bytes to the guest.
pub const CHANNEL_PROTOCOL: &str = "banger-channel";
