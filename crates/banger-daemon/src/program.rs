//! The running program: since when, from which file, with how much memory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::file_identity::FileIdentity;

/// This process and its file.
#[derive(Debug)]
pub struct RunningProgram {
    started_at: Timestamp,
    file: PathBuf,
    identity: Option<FileIdentity>,
}

impl RunningProgram {
    /// Remembers which file this process was started from.
    ///
    /// # Errors
    /// When the process does not know its own file.
    pub fn current() -> io::Result<Self> {
        let file = std::env::current_exe()?;
        Ok(Self { started_at: Timestamp::now(), identity: identity(&file), file })
    }

    /// When it started (RFC 3339).
    #[must_use]
    pub fn started_at(&self) -> String {
        self.started_at.to_string()
    }

    /// Tells whether another file is in its place now: the program was upgraded.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        identity(&self.file).is_some_and(|now| Some(now) != self.identity)
    }

    /// Bytes of memory that are resident (`statm`, second field, `proc(5)`); 0 when unknown.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let pages = fs::read_to_string("/proc/self/statm")
            .ok()
            .and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
        pages.unwrap_or(0) * rustix::param::page_size() as u64
    }

    /// Its file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The directory of its file, where its companions are.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.file.parent().map(PathBuf::from).unwrap_or_default()
    }
}

fn identity(file: &Path) -> Option<FileIdentity> {
    fs::metadata(file).ok().as_ref().map(FileIdentity::of)
}
