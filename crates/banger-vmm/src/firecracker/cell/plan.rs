//! What a cell is made of.

use std::os::fd::RawFd;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What the daemon writes to a cell that may go on.
pub(in crate::firecracker) const GO: u8 = b'g';

/// What a cell is made of: read from its standard input.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::firecracker) struct CellPlan {
    /// Firecracker, a static program.
    pub(in crate::firecracker) program: PathBuf,
    pub(in crate::firecracker) arguments: Vec<String>,
    /// What is seen inside.
    pub(in crate::firecracker) binds: Vec<Bind>,
    /// A directory that the new root may cover.
    pub(in crate::firecracker) cover: PathBuf,
    /// Socket to the daemon.
    pub(in crate::firecracker) talk: RawFd,
    /// Socket to the network's process, which gets its tap through it.
    pub(in crate::firecracker) network: Option<RawFd>,
    /// Largest packet of the network, in bytes.
    pub(in crate::firecracker) mtu: u32,
    /// Socket to the pager; it stays open as long as Firecracker lives. Never in a jail.
    pub(in crate::firecracker) pager: Option<RawFd>,
    /// How Firecracker is jailed; `None`: its root is made of the bound files alone.
    #[serde(default)]
    pub(in crate::firecracker) jail: Option<JailPlan>,
}

/// How Firecracker's jailer is to be called.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::firecracker) struct JailPlan {
    /// The jailer.
    pub(in crate::firecracker) program: PathBuf,
    pub(in crate::firecracker) arguments: Vec<String>,
    /// The empty directory that it makes the root.
    pub(in crate::firecracker) root: PathBuf,
    /// Who Firecracker is.
    pub(in crate::firecracker) user: u32,
    pub(in crate::firecracker) group: u32,
}

/// A file or directory of the host that is seen inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::firecracker) struct Bind {
    pub(in crate::firecracker) from: PathBuf,
    /// Path inside.
    pub(in crate::firecracker) to: PathBuf,
    pub(in crate::firecracker) access: Access,
}

/// What may be done with a [`Bind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::firecracker) enum Access {
    Read,
    Write,
}
