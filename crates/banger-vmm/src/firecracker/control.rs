//! Orders to a running Firecracker.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use banger_model::LostSocket;
use tokio::sync::watch;
use tracing::debug;

use super::api::{Action, Api, ApiError, InstanceState, SnapshotCreate, SnapshotType, VmChange};
use super::places::Places;
use super::{cell, metrics};
use crate::contract::{ControlError, MachineHandle, SnapshotFiles, SnapshotKind, VmmKind};
use crate::machine::{Control, Listener, Traffic, is_missing};

/// Firecracker answers at once, unless the host is short of everything or it writes a snapshot.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// All of a large guest's memory goes to a slow disk.
const SNAPSHOT_DEADLINE: Duration = Duration::from_secs(600);

/// A place that is not there: see [`FirecrackerControl::arm_vsock`].
const NOWHERE: &str = "/machine/nowhere/snapshot";

const PAUSE: &str = "pause the machine";
const RESUME: &str = "resume the machine";
const SNAPSHOT: &str = "take a snapshot";
const STATS: &str = "tell figures";

pub(super) struct FirecrackerControl {
    api: Api,
    places: Places,
    has_network: bool,
    bell: watch::Sender<Listener>,
}

impl FirecrackerControl {
    pub(super) fn new(handle: &MachineHandle, bell: watch::Sender<Listener>) -> Self {
        Self {
            api: Api::new(&handle.control_socket, ANSWER_DEADLINE),
            places: Places::of_handle(handle),
            // A machine with a network has its processes beside it.
            has_network: !handle.companions.is_empty(),
            bell,
        }
    }

    /// Makes new streams to the guest possible after a pause (Firecracker #6100; drop with the last of 1.16).
    ///
    /// A resume blocks the guest's receiving side until the guest confirms a reset, which only a snapshot sends it. A
    /// snapshot saves the devices, and with that sends the reset, before it opens its first file; so one that has nowhere
    /// to go costs nothing and fails as it should. The guest's streams are reset, as by every snapshot.
    async fn arm_vsock(&self) -> Result<(), ControlError> {
        let request = SnapshotCreate {
            snapshot_type: SnapshotType::Full,
            snapshot_path: NOWHERE.to_owned(),
            mem_file_path: NOWHERE.to_owned(),
        };
        match self.api.put("/snapshot/create", &request).await {
            Ok(()) => Ok(()),
            Err(ApiError::Refused { reason, .. }) => {
                debug!(reason, "the guest was told to confirm a reset");
                Ok(())
            }
            Err(error) => Err(failure(RESUME, error)),
        }
    }

    /// Notes what a snapshot does to the guest's streams once it goes on. One that failed may have done it, too, unless it was
    /// refused to a running guest.
    async fn note_lost_streams(&self) -> Result<(), ControlError> {
        let failed = |error| failure(SNAPSHOT, error);
        if self.api.version().await.map_err(failed)?.loses_streams_after_a_snapshot()
            && self.api.instance().await.map_err(failed)?.state == InstanceState::Paused
        {
            self.bell.send_replace(Listener::LosesStreams);
        }
        Ok(())
    }

    /// A difference without noted writes holds what is in the host's memory: not what was swapped out.
    async fn check_difference(&self) -> Result<(), ControlError> {
        let failed = |error| failure(SNAPSHOT, error);
        if self.api.machine_config().await.map_err(failed)?.track_dirty_pages {
            return Ok(());
        }
        let why = if has_swap() {
            "this host swaps"
        } else if self.api.version().await.map_err(failed)?.takes_untracked_differences() {
            return Ok(());
        } else {
            "this version cannot do without"
        };
        let reason = format!("the guest's writes are not noted, and {why}; take a full snapshot");
        Err(ControlError::Refused { vmm: VmmKind::Firecracker, action: SNAPSHOT, reason })
    }
}

#[async_trait]
impl Control for FirecrackerControl {
    async fn pause(&self) -> Result<(), ControlError> {
        self.api.change(VmChange::Paused).await.map_err(|error| failure(PAUSE, error))
    }

    async fn resume(&self) -> Result<(), ControlError> {
        let failed = |error| failure(RESUME, error);
        if self.api.version().await.map_err(failed)?.loses_vsock_by_a_bare_resume() {
            // Even the resume of a running machine blocks the guest's receiving side.
            if self.api.instance().await.map_err(failed)?.state == InstanceState::Running {
                return Ok(());
            }
            self.arm_vsock().await?;
        }
        self.api.change(VmChange::Resumed).await.map_err(failed)
    }

    async fn snapshot(&self, files: &SnapshotFiles, kind: SnapshotKind) -> Result<(), ControlError> {
        let snapshot_type = match kind {
            SnapshotKind::Full => SnapshotType::Full,
            SnapshotKind::Difference => {
                self.check_difference().await?;
                SnapshotType::Diff
            }
        };
        let outbox = Outbox::empty(&self.places.outbox)?;
        let inside = |name: &str| format!("{}/{name}", cell::OUTBOX);
        let request = SnapshotCreate {
            snapshot_type,
            snapshot_path: inside(Outbox::STATE),
            mem_file_path: inside(Outbox::MEMORY),
        };
        let api = self.api.within(SNAPSHOT_DEADLINE);
        let created = api.put("/snapshot/create", &request).await;
        self.note_lost_streams().await?;
        created.map_err(|error| failure(SNAPSHOT, error))?;
        let files = files.clone();
        // Where it is no rename, all memory is copied.
        tokio::task::spawn_blocking(move || outbox.move_to(&files)).await.map_err(|error| {
            let path = self.places.outbox.clone();
            ControlError::File { action: SNAPSHOT, path, source: io::Error::other(error) }
        })?
    }

    fn lost_socket(&self) -> Option<LostSocket> {
        is_missing(&self.places.control).then_some(LostSocket::Control)
    }

    async fn traffic(&self) -> Result<Traffic, ControlError> {
        self.api.put("/actions", &Action::FlushMetrics).await.map_err(|error| failure(STATS, error))?;
        let path = &self.places.metrics;
        metrics::read(path, self.has_network).map_err(|source| ControlError::File {
            action: STATS,
            path: path.clone(),
            source,
        })
    }
}

/// Where Firecracker writes, which is all of the host's disk that it may write to besides drives.
struct Outbox {
    directory: std::path::PathBuf,
}

impl Outbox {
    const STATE: &str = "state";
    const MEMORY: &str = "memory";

    /// Removes what an interrupted snapshot left.
    fn empty(directory: &Path) -> Result<Self, ControlError> {
        let outbox = Self { directory: directory.to_owned() };
        for name in [Self::STATE, Self::MEMORY] {
            let path = directory.join(name);
            banger_sys::files::remove_any(&path).map_err(|source| ControlError::File {
                action: SNAPSHOT,
                path,
                source,
            })?;
        }
        Ok(outbox)
    }

    fn move_to(self, files: &SnapshotFiles) -> Result<(), ControlError> {
        // The state last: where it is, the memory is.
        for (name, to) in [(Self::MEMORY, &files.memory), (Self::STATE, &files.state)] {
            let from = self.directory.join(name);
            own(&from).map_err(|source| ControlError::File {
                action: SNAPSHOT,
                path: from.clone(),
                source,
            })?;
            let moved = move_file(&from, to).and_then(|()| check_file(to));
            moved.map_err(|source| ControlError::File { action: SNAPSHOT, path: to.clone(), source })?;
        }
        Ok(())
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        for name in [Self::STATE, Self::MEMORY] {
            let _ = banger_sys::files::remove_any(&self.directory.join(name));
        }
    }
}

/// What a jailed Firecracker writes is its user's. Its links are not followed.
fn own(path: &Path) -> io::Result<()> {
    let us = rustix::process::geteuid();
    if us.is_root() { std::os::unix::fs::lchown(path, Some(us.as_raw()), None) } else { Ok(()) }
}

/// Refuses what is no file, once it is where Firecracker cannot change it: a link would lead whoever reads the snapshot to
/// files that Firecracker does not see itself.
fn check_file(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_file() {
        return Ok(());
    }
    let _ = banger_sys::files::remove_any(path);
    Err(io::Error::new(io::ErrorKind::InvalidData, "Firecracker wrote something that is no file"))
}

fn move_file(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let staged = banger_sys::files::sibling(to);
            // A difference is sparse: a plain copy would be as long as all memory, and mean something else.
            let copied = crate::memory_file::copy_sparse(from, &staged);
            copied
                .and_then(|()| banger_sys::files::publish(&staged, to).map_err(io::Error::other))
                .inspect_err(|_error| {
                    let _ = banger_sys::files::remove_any(&staged);
                })
        }
        renamed => renamed.and_then(|()| banger_sys::files::sync_parent(to)),
    }
}

/// `/proc/swaps` has a head line, and one for each swap.
fn has_swap() -> bool {
    fs::read_to_string("/proc/swaps").is_ok_and(|swaps| swaps.lines().count() > 1)
}

fn failure(action: &'static str, error: ApiError) -> ControlError {
    let vmm = VmmKind::Firecracker;
    match error {
        ApiError::Silent { deadline, .. } => ControlError::Silent { vmm, action, deadline },
        ApiError::Refused { reason, .. } => ControlError::Refused { vmm, action, reason },
        error @ (ApiError::Connect(_)
        | ApiError::TooLong { .. }
        | ApiError::Encode { .. }
        | ApiError::Broken { .. }
        | ApiError::BadAnswer { .. }) => ControlError::Broken { vmm, action, source: Box::new(error) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_place_of_a_snapshot_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir(path("outbox")).unwrap();
        fs::write(path("secret"), "secret").unwrap();
        fs::write(path("outbox/memory"), "memory").unwrap();
        std::os::unix::fs::symlink(path("secret"), path("outbox/state")).unwrap();
        let files = SnapshotFiles { state: path("state"), memory: path("memory") };
        let outbox = Outbox { directory: path("outbox") };
        let refused = outbox.move_to(&files);
        assert!(matches!(refused, Err(ControlError::File { path, .. }) if path == files.state));
        assert!(fs::symlink_metadata(path("state")).is_err());
        assert_eq!(fs::read_to_string(path("secret")).unwrap(), "secret");
    }
}
