//! What a VMM does on request, in the driver's hands.

use std::path::Path;

use async_trait::async_trait;
use banger_model::LostSocket;

use crate::contract::{
    ControlError, DriveTraffic, NetworkTraffic, RunState, SnapshotFiles, SnapshotKind, VmmKind,
};

/// What a VMM has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) drives: Option<DriveTraffic>,
    pub(crate) network: Option<NetworkTraffic>,
}

/// The way to a running VMM.
#[async_trait]
pub(crate) trait Control: Send + Sync {
    async fn pause(&self) -> Result<(), ControlError>;
    async fn resume(&self) -> Result<(), ControlError>;
    async fn snapshot(&self, files: &SnapshotFiles, kind: SnapshotKind) -> Result<(), ControlError>;
    async fn traffic(&self) -> Result<Traffic, ControlError>;
    /// Where the VMM never stops a guest by itself, it runs.
    async fn run_state(&self) -> Result<RunState, ControlError> {
        Ok(RunState::Running)
    }
    /// Returns a socket of the VMM that was removed.
    fn lost_socket(&self) -> Option<LostSocket> {
        None
    }
}

/// Tells whether a file is certainly not there.
pub(crate) fn is_missing(path: &Path) -> bool {
    path.try_exists().is_ok_and(|exists| !exists)
}

/// For a machine that takes no orders.
pub(crate) struct NoControl(pub(crate) VmmKind);

impl NoControl {
    fn refuse<T>(&self, action: &'static str) -> Result<T, ControlError> {
        Err(ControlError::NotSupported { vmm: self.0, action })
    }
}

#[async_trait]
impl Control for NoControl {
    async fn pause(&self) -> Result<(), ControlError> {
        self.refuse("pause the machine")
    }

    async fn resume(&self) -> Result<(), ControlError> {
        self.refuse("resume the machine")
    }

    async fn snapshot(&self, _files: &SnapshotFiles, _kind: SnapshotKind) -> Result<(), ControlError> {
        self.refuse("take a snapshot")
    }

    async fn traffic(&self) -> Result<Traffic, ControlError> {
        Ok(Traffic::default())
    }
}
