//! Asks a program which Firecracker it is.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use banger_sys::inheritance::{Heir, limit};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::version::{NotAVersion, Version};

/// It prints and ends.
const DEADLINE: Duration = Duration::from_secs(5);

/// Longest output that is read.
const OUTPUT_BYTES_MAX: u64 = 64 * 1024;

/// Why a program's version is not known.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// It could not be run.
    #[error("cannot run `{}`", program.display())]
    Run {
        /// Which.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It did not end.
    #[error("`{} --version` did not end within {} s", program.display(), DEADLINE.as_secs())]
    TooSlow {
        /// Which.
        program: PathBuf,
    },
    /// It printed something else.
    #[error("`{}` is not Firecracker", program.display())]
    NotFirecracker {
        /// Which.
        program: PathBuf,
        /// What it printed.
        source: NotAVersion,
    },
}

/// Returns the version of a program, which is asked once for as long as its file is the same.
///
/// # Errors
/// [`ProbeError`].
pub fn version_of(program: &Path) -> Result<Version, ProbeError> {
    static KNOWN: Mutex<Option<HashMap<FileKey, Version>>> = Mutex::new(None);
    let failed = |source| ProbeError::Run { program: program.to_owned(), source };
    let key = FileKey::of(&std::fs::metadata(program).map_err(failed)?);
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(version) = known().as_ref().and_then(|known| known.get(&key)) {
        return Ok(*version);
    }
    let version = ask(program)?;
    known().get_or_insert_default().insert(key, version);
    Ok(version)
}

/// A file that is written anew, or replaced, has another one.
#[derive(PartialEq, Eq, Hash)]
struct FileKey {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl FileKey {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

fn ask(program: &Path) -> Result<Version, ProbeError> {
    let failed = |source| ProbeError::Run { program: program.to_owned(), source };
    let mut command = Command::new(program);
    limit(&mut command, Heir::Machine);
    let mut child = command
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let ended = wait(child.id());
    if !matches!(ended, Ok(true)) {
        // One that has just ended is fine.
        let _ = child.kill();
    }
    let reaped = child.wait();
    if !ended.map_err(failed)? {
        return Err(ProbeError::TooSlow { program: program.to_owned() });
    }
    reaped.map_err(failed)?;
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(OUTPUT_BYTES_MAX).read_to_end(&mut output).map_err(failed)?;
    }
    Version::of_output(&String::from_utf8_lossy(&output))
        .map_err(|source| ProbeError::NotFirecracker { program: program.to_owned(), source })
}

/// Waits for the end of a child that is not reaped yet; false when it takes too long.
fn wait(pid: u32) -> io::Result<bool> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let deadline = Timespec::try_from(DEADLINE).map_err(io::Error::other)?;
    Ok(poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&deadline))? > 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn script(directory: &Path, text: &str) -> PathBuf {
        let path = directory.join("firecracker");
        banger_sys::files::write_atomic(&path, format!("#!/bin/sh\n{text}\n").as_bytes(), 0o755).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o755);
        path
    }

    #[test]
    fn a_program_is_asked_again_when_its_file_is_another() {
        let directory = tempfile::tempdir().unwrap();
        let asked = directory.path().join("asked");
        let text = |version: &str| format!("echo >> {}; echo 'Firecracker v{version}'", asked.display());
        let program = script(directory.path(), &text("1.14.0"));
        assert_eq!(version_of(&program).unwrap().to_string(), "1.14.0");
        assert_eq!(version_of(&program).unwrap().to_string(), "1.14.0");
        assert_eq!(std::fs::read(&asked).unwrap().len(), 1);
        script(directory.path(), &text("1.15.0"));
        assert_eq!(version_of(&program).unwrap().to_string(), "1.15.0");
    }

    #[test]
    fn another_program_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let program = script(directory.path(), "echo hello");
        assert!(matches!(version_of(&program), Err(ProbeError::NotFirecracker { .. })));
        assert!(matches!(version_of(Path::new("/no/such")), Err(ProbeError::Run { .. })));
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let directory = tempfile::tempdir().unwrap();
        let program = script(directory.path(), "exec sleep 1000");
        assert!(matches!(version_of(&program), Err(ProbeError::TooSlow { .. })));
    }
}
