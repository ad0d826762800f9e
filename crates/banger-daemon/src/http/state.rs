//! What the routes work with.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::doctor::Doctor;
use crate::events::Events;
use crate::image::{ImageOperations, KernelOperations};
use crate::operation::Operations;
use crate::program::RunningProgram;
use crate::supervisor::Supervisor;
use crate::vm::Vms;

/// The services and registries that the routes work with.
#[derive(Clone)]
pub struct ApiState {
    /// VMs.
    pub vms: Vms,
    /// Kernels.
    pub kernels: Arc<KernelOperations>,
    /// Images.
    pub images: Arc<ImageOperations>,
    /// Operations.
    pub operations: Operations,
    /// Events.
    pub events: Events,
    /// Checks of the host.
    pub doctor: Arc<Doctor>,
    /// Configuration.
    pub config: Arc<Config>,
    /// This program.
    pub program: Arc<RunningProgram>,
    /// Tasks.
    pub supervisor: Supervisor,
    /// Streams to guests that are open.
    pub streams: Arc<AtomicUsize>,
    /// Ends the daemon.
    pub shutdown: CancellationToken,
}
