//! Keeps a machine's logs from filling the disk: what the guest writes to its console, and what the VMM and the
//! processes beside it say.
//!
//! They append to the files by themselves, so that nothing is lost while no daemon runs. A log that has grown too long
//! is copied to `<name>.1` and emptied; its writers go on at its new end. What they write between the two steps is lost,
//! and so is the guard's hand while no daemon runs.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

const BYTES_MAX: u64 = 8 * 1024 * 1024;
const PERIOD: Duration = Duration::from_secs(10);

/// Guards one log, whose writers append.
pub(super) fn spawn(log: PathBuf) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let is_long = fs::metadata(&log).is_ok_and(|metadata| metadata.len() > BYTES_MAX);
            if is_long {
                let path = log.clone();
                let rotated = tokio::task::spawn_blocking(move || rotate(&path)).await;
                if let Ok(Err(error)) = rotated {
                    warn!(path = %log.display(), %error, "cannot shorten a log of the machine");
                }
            }
        }
    }))
}

/// Name of the older part of a log.
fn older_part(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

fn rotate(log: &Path) -> io::Result<()> {
    fs::copy(log, older_part(log))?;
    OpenOptions::new().write(true).open(log)?.set_len(0)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_writer_goes_on_at_the_new_end() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("console.log");
        let mut writer = crate::machine::create_log(&log).unwrap();
        writer.write_all(b"old\n").unwrap();
        rotate(&log).unwrap();
        writer.write_all(b"new\n").unwrap();
        assert_eq!(fs::read(&log).unwrap(), b"new\n");
        assert_eq!(fs::read(directory.path().join("console.log.1")).unwrap(), b"old\n");
    }
    #[tokio::test]
    async fn only_a_log_that_is_too_long_is_shortened() {
        let directory = tempfile::tempdir().unwrap();
        let (short, long) = (directory.path().join("console.log"), directory.path().join("vmm.log"));
        crate::machine::create_log(&short).unwrap().set_len(BYTES_MAX).unwrap();
        crate::machine::create_log(&long).unwrap().set_len(BYTES_MAX + 1).unwrap();
        // The first look is at once.
        let _guards = [spawn(short.clone()), spawn(long.clone())];
        while fs::metadata(&long).unwrap().len() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(fs::metadata(&short).unwrap().len(), BYTES_MAX);
        assert_eq!(fs::metadata(directory.path().join("vmm.log.1")).unwrap().len(), BYTES_MAX + 1);
    }
}
