//! Orders to a running QEMU. QEMU serves one connection at a time, so each order opens one and the orders of one machine
//! wait for each other.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::qmp::{Qmp, QmpError};
use crate::contract::{ControlError, DriveTraffic, MachineHandle, SnapshotFiles, SnapshotKind, VmmKind};
use crate::machine::{Control, Traffic};

/// QEMU answers at once, unless the host is short of everything.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

pub(super) struct QmpControl {
    socket: PathBuf,
    /// Held for one order.
    order: Mutex<()>,
}

impl QmpControl {
    pub(super) fn new(handle: &MachineHandle) -> Self {
        Self { socket: handle.control_socket.clone(), order: Mutex::new(()) }
    }

    async fn give<T>(
        &self,
        action: &'static str,
        order: impl AsyncFnOnce(&mut Qmp) -> Result<T, QmpError>,
    ) -> Result<T, ControlError> {
        let _order = self.order.lock().await;
        let given = async {
            let mut qmp = Qmp::connect(&self.socket, ANSWER_DEADLINE).await?;
            order(&mut qmp).await
        };
        given.await.map_err(|error| failure(action, error))
    }
}

fn failure(action: &'static str, error: QmpError) -> ControlError {
    let vmm = VmmKind::Qemu;
    match error {
        QmpError::Silent { deadline, .. } => ControlError::Silent { vmm, action, deadline },
        QmpError::Refused { reason, .. } => ControlError::Refused { vmm, action, reason },
        error @ (QmpError::Socket(_) | QmpError::NotQmp(_)) => {
            ControlError::Broken { vmm, action, source: Box::new(error) }
        }
    }
}

#[async_trait]
impl Control for QmpControl {
    async fn pause(&self) -> Result<(), ControlError> {
        self.give("pause the machine", async |qmp| qmp.run("stop").await.map(drop)).await
    }

    async fn resume(&self) -> Result<(), ControlError> {
        self.give("resume the machine", async |qmp| qmp.run("cont").await.map(drop)).await
    }

    async fn snapshot(&self, _files: &SnapshotFiles, _kind: SnapshotKind) -> Result<(), ControlError> {
        Err(ControlError::NotSupported { vmm: VmmKind::Qemu, action: "take a snapshot" })
    }

    async fn traffic(&self) -> Result<Traffic, ControlError> {
        let drives = self
            .give("tell figures", async |qmp| qmp.run("query-blockstats").await.map(|all| sum(&all)))
            .await?;
        Ok(Traffic { drives: Some(drives), network: None })
    }
}

/// Adds up what `query-blockstats` tells of each drive.
fn sum(all: &serde_json::Value) -> DriveTraffic {
    let mut traffic = DriveTraffic::default();
    for drive in all.as_array().into_iter().flatten() {
        let figure =
            |name: &str| drive.pointer(&format!("/stats/{name}")).and_then(serde_json::Value::as_u64);
        for (total, name) in [
            (&mut traffic.read_bytes, "rd_bytes"),
            (&mut traffic.written_bytes, "wr_bytes"),
            (&mut traffic.reads, "rd_operations"),
            (&mut traffic.writes, "wr_operations"),
        ] {
            *total = total.saturating_add(figure(name).unwrap_or_default());
        }
    }
    traffic
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_all_drives_are_added_up() {
        let drive = |bytes: u64| {
            serde_json::json!({"device": "base", "stats": {
                "rd_bytes": bytes, "wr_bytes": 2 * bytes, "rd_operations": 3, "wr_operations": 4,
            }})
        };
        let expected = DriveTraffic { read_bytes: 30, written_bytes: 60, reads: 6, writes: 8 };
        assert_eq!(sum(&serde_json::json!([drive(10), drive(20)])), expected);
        assert_eq!(sum(&serde_json::json!({"odd": true})), DriveTraffic::default());
    }
}
