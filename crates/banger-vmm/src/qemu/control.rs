//! Orders to a running QEMU. QEMU serves one connection at a time, so each order opens one and the orders of one machine
//! wait for each other.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use banger_model::LostSocket;
use tokio::sync::Mutex;

use super::places::Places;
use super::qmp::{Qmp, QmpError};
use crate::contract::{
    ControlError, DriveTraffic, MachineHandle, RunState, SnapshotFiles, SnapshotKind, VmmKind, WriteFailure,
};
use crate::machine::{Control, Traffic, is_missing};

/// QEMU answers at once, unless the host is short of everything.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

pub(super) struct QmpControl {
    socket: PathBuf,
    /// QEMU's end of the guest channel.
    pipe: PathBuf,
    /// Held for one order.
    order: Mutex<()>,
}

impl QmpControl {
    pub(super) fn new(handle: &MachineHandle) -> Self {
        Self {
            socket: handle.control_socket.clone(),
            pipe: Places::of_handle(handle).pipe,
            order: Mutex::new(()),
        }
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

    fn lost_socket(&self) -> Option<LostSocket> {
        if is_missing(&self.pipe) {
            return Some(LostSocket::Pipe);
        }
        is_missing(&self.socket).then_some(LostSocket::Control)
    }

    async fn run_state(&self) -> Result<RunState, ControlError> {
        self.give("tell whether it runs", async |qmp| match qmp.status().await?.as_str() {
            "io-error" => {
                qmp.run("query-block").await.map(|drives| RunState::WriteFailed(failure_of(&drives)))
            }
            "paused" => Ok(RunState::Paused),
            _ => Ok(RunState::Running),
        })
        .await
    }
}

/// Finds in `query-block` why a write failed.
fn failure_of(drives: &serde_json::Value) -> WriteFailure {
    let mut drives = drives.as_array().into_iter().flatten();
    let is_full =
        drives.any(|drive| drive.get("io-status").and_then(serde_json::Value::as_str) == Some("nospace"));
    if is_full { WriteFailure::NoSpace } else { WriteFailure::Other }
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

    /// Serves one order as a QEMU in this run state.
    async fn run_state(status: &str, drives: serde_json::Value) -> RunState {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("control.sock");
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let answers = [
            serde_json::json!({"QMP": {}}),
            serde_json::json!({"return": {}}),
            serde_json::json!({"return": {"running": status == "running", "status": status}}),
            serde_json::json!({"return": drives}),
        ];
        let served = tokio::spawn(async move {
            use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
            let mut stream = tokio::io::BufReader::new(listener.accept().await.unwrap().0);
            for answer in answers {
                stream.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
                stream.read_until(b'\n', &mut Vec::new()).await.unwrap();
            }
        });
        let state =
            QmpControl { pipe: PathBuf::new(), socket, order: Mutex::new(()) }.run_state().await.unwrap();
        served.abort();
        state
    }

    #[tokio::test]
    async fn a_machine_that_stands_still_tells_whether_the_disk_is_full() {
        let drives =
            |status: &str| serde_json::json!([{"device": "base"}, {"device": "work", "io-status": status}]);
        assert_eq!(run_state("running", drives("ok")).await, RunState::Running);
        assert_eq!(run_state("paused", drives("ok")).await, RunState::Paused);
        assert_eq!(
            run_state("io-error", drives("nospace")).await,
            RunState::WriteFailed(WriteFailure::NoSpace)
        );
        assert_eq!(run_state("io-error", drives("failed")).await, RunState::WriteFailed(WriteFailure::Other));
    }

    #[test]
    fn a_socket_that_was_removed_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let [socket, pipe] = ["control.sock", "pipe.sock"].map(|name| directory.path().join(name));
        let control = QmpControl { socket: socket.clone(), pipe: pipe.clone(), order: Mutex::new(()) };
        std::fs::write(&socket, "").unwrap();
        std::fs::write(&pipe, "").unwrap();
        assert_eq!(control.lost_socket(), None);
        std::fs::remove_file(&socket).unwrap();
        assert_eq!(control.lost_socket(), Some(LostSocket::Control));
        // Without the pipe nothing reaches the guest: that comes first.
        std::fs::remove_file(&pipe).unwrap();
        assert_eq!(control.lost_socket(), Some(LostSocket::Pipe));
    }

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
