//! What helps against an error of a pull, or against a damaged kernel or image, where that is known. It
//! stands above the store because it depends on the catalog: what nobody can pull must be brought again.

use banger_model::{ArtifactKind, Hint};

use super::error::PullError;
use crate::artifact::store::StoreError;
use crate::kernel::kernel_catalog;
use crate::oci::is_of_registry;

impl PullError {
    /// What to type or do next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::NotInCatalog { kind, .. } => Some(Hint::ListKnown { kind: *kind }),
            Self::NotHere { kind, .. } => Some(Hint::ListLocal { kind: *kind }),
            Self::NameTaken { kind, name } => Some(Hint::Show { kind: *kind, name: name.clone() }),
            Self::InUse { kind, name, .. } => Some(Hint::ShowUsers { kind: *kind, name: name.clone() }),
            Self::Import { source, .. } => source.hint(),
            Self::Local { source, .. } => source.hint(),
            Self::Kernel { source, .. } => source.hint(),
            Self::Image { source, .. } => source.hint(),
            Self::Oci { source, .. } | Self::Input { source } => source.hint(),
            Self::Unnamed { source_text } => Some(Hint::NameImage { source: source_text.clone() }),
            Self::Bundle { source, .. } => source.hint(),
            Self::OtherSource { name, origin, .. } if !is_of_registry(origin) => {
                Some(Hint::RunLocalImage { name: name.clone() })
            }
            Self::OtherSource { source_text, .. } => {
                Some(Hint::PullUnderOtherName { source: source_text.clone() })
            }
            Self::KernelOfImage { kernel, source, .. } => Some(match **source {
                Self::NotInCatalog { .. } => Hint::ImportKernel { kernel: kernel.clone() },
                _ => Hint::PullKernelOfImage { kernel: kernel.clone() },
            }),
            Self::NameOfCatalog { .. } => Some(Hint::ChooseOtherName),
            Self::TooLittleSpace { .. } | Self::DiskFull { .. } => Some(Hint::FreeSpace),
            Self::Refresh { .. }
            | Self::Users { .. }
            | Self::Register { .. }
            | Self::Promote { .. }
            | Self::Remove { .. }
            | Self::Publish { .. } => None,
        }
    }
}

impl StoreError {
    /// The command that makes it good again, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::DamagedManifest { kind, name, .. }
            | Self::OtherName { kind, name, .. }
            | Self::ReadFile { kind, name, .. }
            | Self::WrongSize { kind, name, .. }
            | Self::WrongContent { kind, name, .. } => Some(cure(*kind, name)),
            Self::LinkedFileChanged { kind, name, .. } | Self::LinkedFileMissing { kind, name, .. } => {
                Some(Hint::Delete { kind: *kind, name: name.clone() })
            }
            Self::List { .. } | Self::ReadManifest { .. } | Self::NewerManifest { .. } => None,
        }
    }
}

/// What makes a damaged one good again: what nobody can pull must be brought again.
fn cure(kind: ArtifactKind, name: &str) -> Hint {
    let is_brought = match kind {
        ArtifactKind::Kernel => kernel_catalog().iter().all(|entry| entry.name.as_str() != name),
        ArtifactKind::Image => false,
    };
    let name = name.to_owned();
    if is_brought { Hint::ImportAgain { kind, name } } else { Hint::PullAgain { kind, name } }
}
