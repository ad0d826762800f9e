//! Room on the disk: checked before a pull, recognised when it ends during one.

use std::error::Error;
use std::io;
use std::path::Path;

use banger_sys::host::free_bytes;

/// Free and needed bytes of a place that is too small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shortage {
    pub(crate) needed: u64,
    pub(crate) free: u64,
}

/// Returns what is missing at `path`, or nothing when there is room, or when the file system does not tell.
pub(crate) fn shortage(path: &Path, needed: u64) -> Option<Shortage> {
    let free = free_bytes(path).ok()?;
    (free < needed).then_some(Shortage { needed, free })
}

/// Tells whether something failed because the disk was full; also when it was a tool that found out.
pub(crate) fn ran_out_of_space(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let is_full = error.downcast_ref::<io::Error>().is_some_and(|error| {
            matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        });
        if is_full || error.to_string().contains("No space left on device") {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use banger_ext4::FormatError;

    use super::*;

    #[test]
    fn a_full_disk_is_recognised_through_the_chain_of_causes() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(ran_out_of_space(&FormatError::WriteFile { path: "/x".into(), source: full }));
        let other = io::Error::from(io::ErrorKind::PermissionDenied);
        assert!(!ran_out_of_space(&FormatError::WriteFile { path: "/x".into(), source: other }));
    }

    #[test]
    fn only_too_little_room_is_a_shortage() {
        assert_eq!(shortage(Path::new("/"), 0), None);
        assert_eq!(shortage(Path::new("/"), u64::MAX).unwrap().needed, u64::MAX);
    }
}
