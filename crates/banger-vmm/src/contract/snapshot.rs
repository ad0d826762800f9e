//! A machine's state on disk.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The files of a snapshot. Drives are not in it: whoever keeps a snapshot keeps them as they were when it was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFiles {
    /// Registers and devices.
    pub state: PathBuf,
    /// The guest's memory. Machines made from it read it for as long as they live: it must not change.
    pub memory: PathBuf,
}

/// How much of the guest's memory a snapshot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotKind {
    /// All of it.
    Full,
    /// What has changed since the machine's last snapshot or its start from one. The file is sparse; laid over the
    /// memory of the earlier snapshot ([`crate::memory_file::lay_over`]) it becomes a full one.
    Difference,
}

/// How a machine is made from a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestorePlan {
    /// The snapshot.
    pub snapshot: SnapshotFiles,
    /// How the guest gets its memory.
    pub memory: MemorySource,
    /// Whether later snapshots of it may be differences that are exact: every write of the guest is then noted.
    pub notes_writes: bool,
}

/// How a restored guest gets its memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemorySource {
    /// The VMM maps the file: the host's page cache is shared by all machines of a snapshot.
    #[default]
    File,
    /// A process of ours hands over each page when it is touched (userfaultfd). Needs `/dev/userfaultfd`.
    Pager,
}
