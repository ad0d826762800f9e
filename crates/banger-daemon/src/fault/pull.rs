//! Kernels and images that could not be pulled, imported, published or removed.

use banger_image::{BundlePullError, PromoteError, PullError};
use banger_model::{ErrorCode, Hint};

use super::Fault;

impl Fault for PullError {
    fn code(&self) -> ErrorCode {
        match self {
            PullError::NotInCatalog { .. } | PullError::NotHere { .. } => ErrorCode::NotFound,
            PullError::NameTaken { .. } => ErrorCode::AlreadyExists,
            PullError::InUse { .. } => ErrorCode::Conflict,
            PullError::NameOfCatalog { .. }
            | PullError::Unnamed { .. }
            | PullError::OtherSource { .. }
            | PullError::Promote { source: PromoteError::Managed { .. }, .. } => ErrorCode::BadRequest,
            PullError::Bundle { source, .. } if matches!(**source, BundlePullError::Unchecked) => {
                ErrorCode::BadRequest
            }
            PullError::Import { source, .. } if !source.is_failure() => ErrorCode::BadRequest,
            PullError::Import { .. }
            | PullError::Remove { .. }
            | PullError::Users { .. }
            | PullError::Register { .. }
            | PullError::Promote { .. }
            | PullError::Local { .. }
            | PullError::TooLittleSpace { .. }
            | PullError::DiskFull { .. }
            | PullError::Kernel { .. }
            | PullError::Image { .. }
            | PullError::Oci { .. }
            | PullError::Input { .. }
            | PullError::KernelOfImage { .. }
            | PullError::Bundle { .. }
            | PullError::Refresh { .. }
            | PullError::Publish { .. } => ErrorCode::OperationFailed,
        }
    }

    fn hint(&self) -> Option<Hint> {
        Self::hint(self)
    }
}
