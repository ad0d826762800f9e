//! A disk that has become full: recognised wherever it is found out.

use std::error::Error;
use std::io;

/// How tools and the database say it.
const OTHERS_WORDS: [&str; 2] = ["No space left on device", "database or disk is full"];

/// Tells whether an operation failed because the disk, the user's quota or the table of inodes is full.
#[must_use]
pub fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Tells whether something failed because the disk was full; also if it was a tool that found out.
#[must_use]
pub fn ran_out_of_space(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let is_full = error.downcast_ref::<io::Error>().is_some_and(is_disk_full);
        let text = error.to_string();
        if is_full || OTHERS_WORDS.iter().any(|words| text.contains(words)) {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot write `/x`")]
    struct Outer(#[source] io::Error);

    #[test]
    fn a_full_disk_is_recognised_through_the_chain_of_causes() {
        assert!(ran_out_of_space(&Outer(io::ErrorKind::StorageFull.into())));
        assert!(ran_out_of_space(&Outer(io::Error::other("tar: write error: No space left on device"))));
        assert!(!ran_out_of_space(&Outer(io::ErrorKind::PermissionDenied.into())));
    }
}
