//! What a client is told of a failure around kernels and images.

use banger_image::PackError;
use banger_model::{ArtifactKind, ErrorCode, Hint};

use super::{ImageOperationError, KernelOperationError};
use crate::fault::Fault;

impl Fault for KernelOperationError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Name(_) | Self::Refused(_) => ErrorCode::BadRequest,
            Self::NotFound { .. } => ErrorCode::NotFound,
            Self::NeededByImages { .. } => ErrorCode::Conflict,
            Self::Pull(source) => source.code(),
            Self::Store(_) | Self::Rows(_) | Self::Worker(_) => ErrorCode::OperationFailed,
            Self::Cancelled(_) => ErrorCode::Cancelled,
        }
    }

    fn hint(&self) -> Option<Hint> {
        match self {
            Self::NotFound { .. } => Some(Hint::ListKnown { kind: ArtifactKind::Kernel }),
            Self::NeededByImages { name, .. } => Some(Hint::DeleteNeededKernel { kernel: name.to_string() }),
            Self::Refused(source) => source.hint(),
            Self::Pull(source) => source.hint(),
            Self::Store(source) => source.hint(),
            Self::Cancelled(why) => why.hint(),
            Self::Name(_) | Self::Rows(_) | Self::Worker(_) => None,
        }
    }
}

impl Fault for ImageOperationError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Source(_)
            | Self::Location(_)
            | Self::MinisignKey(_)
            | Self::NoName { .. }
            | Self::NoInput { .. }
            | Self::NeedlessInput { .. }
            | Self::TwoImages
            | Self::TwoKernels
            | Self::NoKernel
            | Self::NoKernelFile
            | Self::KernelName(_)
            | Self::KernelFiles(_)
            | Self::Register(_)
            | Self::Pack(PackError::NoDirectory { .. })
            | Self::OfCatalog { .. } => ErrorCode::BadRequest,
            Self::NotHere { .. } | Self::NotFound { .. } => ErrorCode::NotFound,
            Self::Pull(source) => source.code(),
            Self::Pack(PackError::Exists { .. }) => ErrorCode::AlreadyExists,
            Self::Store(_) | Self::Cache(_) | Self::Pack(_) | Self::Worker(_) | Self::Rows(_) => {
                ErrorCode::OperationFailed
            }
            Self::Cancelled(_) => ErrorCode::Cancelled,
        }
    }

    fn hint(&self) -> Option<Hint> {
        match self {
            Self::Pull(source) => source.hint(),
            Self::Store(source) => source.hint(),
            Self::NoName { source_text, .. } => Some(Hint::NameImage { source: source_text.clone() }),
            Self::OfCatalog { name } => {
                Some(Hint::Pull { kind: ArtifactKind::Image, name: name.to_string() })
            }
            Self::NotHere { .. } | Self::NotFound { .. } => {
                Some(Hint::ListKnown { kind: ArtifactKind::Image })
            }
            Self::NoKernel => Some(Hint::ListKnown { kind: ArtifactKind::Kernel }),
            Self::Register(source) => source.hint(),
            Self::KernelFiles(source) => source.hint(),
            Self::Pack(source) => source.hint(),
            Self::Source(_)
            | Self::Location(_)
            | Self::MinisignKey(_)
            | Self::NoInput { .. }
            | Self::NeedlessInput { .. }
            | Self::TwoImages
            | Self::TwoKernels
            | Self::NoKernelFile
            | Self::KernelName(_)
            | Self::Worker(_)
            | Self::Rows(_)
            | Self::Cache(_) => None,
            Self::Cancelled(why) => why.hint(),
        }
    }
}
