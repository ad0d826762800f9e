//! What a copy does: from where, to where, and what is kept.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use bytes::Bytes;

/// Where something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A path of this host.
    Host(PathBuf),
    /// A path in a VM.
    Guest(GuestPath),
    /// A tar on a stream.
    Stream,
}

/// A path in a VM; a relative one begins at root's home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestPath {
    /// The VM, as typed.
    pub vm: String,
    /// The path.
    pub path: Bytes,
}

/// What comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sources {
    /// Paths of this host.
    Host(Vec<PathBuf>),
    /// Paths in VMs.
    Guest(Vec<GuestPath>),
    /// A tar on a stream.
    Stream,
}

/// What is copied, where, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyPlan {
    /// What comes.
    pub sources: Sources,
    /// Where it goes.
    pub destination: Place,
    /// Several things need a directory.
    pub into_directory: bool,
    /// Keeps numeric owners, and in VMs and tars the special bits.
    pub keeps_owners: bool,
    /// Copies the target of a source that is a link.
    pub follows_links: bool,
}

impl GuestPath {
    /// Returns it as it is typed, for messages.
    #[must_use]
    pub fn text(&self) -> String {
        let path = OsString::from_vec(self.path.to_vec());
        format!("{}:{}", self.vm, path.to_string_lossy())
    }
}
