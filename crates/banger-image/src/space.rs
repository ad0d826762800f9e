//! Room on the disk that ends during a pull: recognised whoever finds out.

use std::error::Error;
use std::io;

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
}
