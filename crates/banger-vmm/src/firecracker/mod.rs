//! Firecracker.
//!
//! ```text
//! daemon ── HTTP on control.sock ──▶ firecracker, in a cell: namespaces of its own, nothing seen but its files
//!    │                                  │ tap0 ─ bridge ─ tap1 ─▶ gate ─▶ passt
//!    ├── CONNECT on channel.sock ───────┤ vsock ─▶ agent
//!    └◀─ ring on channel.sock_1026 ─────┘
//! ```
//! It runs without root: the cell is made by a user namespace. Where the daemon is root, Firecracker's own jailer does the
//! rest ([`jail`]).

pub mod api;
mod bell;
pub(crate) mod cell;
mod config;
mod confine;
mod control;
mod host_parts;
mod jail;
mod metrics;
pub(crate) mod pager;
mod places;
mod probe;
mod start;
mod version;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use banger_model::GuestNetwork;

use crate::contract::{
    AdoptError, Machine, MachineHandle, MachinePlan, Network, NetworkLauncher, RestorePlan, StartError, Vmm,
    VmmKind,
};
use crate::handle;
use crate::selection::Choice;

pub use config::Tuning;
pub use jail::{JAILER_NAME, JailFacts, JailWish, jailer_of};
pub use probe::{ProbeError, version_of};
pub use version::{NotAVersion, OLDEST, OLDEST_TEXT, TESTED, Version};

/// Name of Firecracker's program, and of its process.
pub const PROGRAM_NAME: &str = "firecracker";

pub(crate) use cell::ARGUMENT as CELL_ARGUMENT;
pub(crate) use start::NO_CONSOLE;

/// Name of Firecracker's own log, beside the console log.
pub(crate) const LOG_FILE: &str = "firecracker.log";

/// The Firecracker driver.
#[derive(Clone, Debug)]
pub struct Firecracker {
    program: PathBuf,
    /// A program that plays the roles of [`crate::role`].
    helper: PathBuf,
    network: Arc<dyn NetworkLauncher>,
    tuning: Tuning,
}

impl Firecracker {
    /// Makes the driver for what was chosen. The helper is a program that calls [`crate::role::play`] first of all: it
    /// becomes the cell and the pager.
    #[must_use]
    pub fn new(choice: &Choice, helper: impl Into<PathBuf>, network: Arc<dyn NetworkLauncher>) -> Self {
        Self { program: choice.program.clone(), helper: helper.into(), network, tuning: Tuning::default() }
    }

    /// Takes the user's choices.
    #[must_use]
    pub fn with_tuning(mut self, tuning: Tuning) -> Self {
        self.tuning = tuning;
        self
    }
}

#[async_trait]
impl Vmm for Firecracker {
    fn kind(&self) -> VmmKind {
        VmmKind::Firecracker
    }

    fn guest_network(&self, network: &Network) -> Option<GuestNetwork> {
        match network {
            Network::None => None,
            // The device tells its largest packet since 1.16 only.
            Network::UserMode { mac } => {
                Some(GuestNetwork { mtu: Some(self.network.mtu()), ..self.network.guest(mac) })
            }
        }
    }

    async fn start(&self, plan: &MachinePlan) -> Result<Box<dyn Machine>, StartError> {
        Ok(Box::new(start::start(self, plan).await?))
    }

    async fn adopt(&self, handle: &MachineHandle) -> Result<Option<Box<dyn Machine>>, AdoptError> {
        handle::check_format(handle)?;
        let machine = start::adopt(handle).await?;
        Ok(machine.map(|machine| Box::new(machine) as Box<dyn Machine>))
    }

    async fn restore(&self, plan: &MachinePlan, from: &RestorePlan) -> Result<Box<dyn Machine>, StartError> {
        Ok(Box::new(start::restore(self, plan, from).await?))
    }
}
