//! What helps against an error of a pull, or against a damaged kernel or image: the next command, where that is known. It
//! stands above the store because it depends on the catalog: what nobody can pull must be brought again.

use banger_model::BelowFloor;

use super::error::PullError;
use crate::artifact::Kind;
use crate::artifact::store::StoreError;
use crate::kernel::kernel_catalog;
use crate::oci::is_of_registry;

impl PullError {
    /// What to type or do next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotInCatalog { kind, .. } => Some(format!("banger {kind} list --all")),
            Self::NotHere { kind, .. } => Some(format!("banger {kind} list")),
            Self::NameTaken { kind, name } => Some(format!("banger {kind} show {name}")),
            Self::InUse { kind, name, .. } => {
                Some(format!("banger {kind} show {name}; it can be replaced or deleted when no VM uses it"))
            }
            Self::Import { source, .. } => source.hint(),
            Self::AlreadyPulled { kind, name } => Some(format!("banger {kind} pull --force {name}")),
            Self::Local { source, .. } => source.hint(),
            Self::Kernel { source, .. } => source.hint(),
            Self::Image { source, .. } => source.hint(),
            Self::Oci { source, .. } | Self::Input { source } => source.hint(),
            Self::Unnamed { source_text } => Some(format!("banger image pull {source_text} --name <name>")),
            Self::Bundle { source, .. } => source.hint(),
            Self::OtherSource { name, origin, .. } if !is_of_registry(origin) => {
                Some(format!("to use the local image: banger run {name}"))
            }
            Self::OtherSource { source_text, .. } => {
                Some(format!("banger image pull {source_text} --name <name>, then use that name"))
            }
            Self::KernelOfImage { kernel, source, .. } => Some(match **source {
                Self::NotInCatalog { .. } => format!("banger kernel import --name {kernel} <file>"),
                _ => format!("banger kernel pull {kernel}; the image need not be pulled again"),
            }),
            Self::NameOfCatalog { command, .. } => Some(format!("banger image {command} --name <name>")),
            Self::TooLittleSpace { .. } | Self::DiskFull { .. } => Some(BelowFloor::HINT.to_owned()),
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
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::DamagedManifest { kind, name, .. }
            | Self::OtherName { kind, name, .. }
            | Self::ReadFile { kind, name, .. }
            | Self::WrongSize { kind, name, .. }
            | Self::WrongContent { kind, name, .. } => Some(cure(*kind, name)),
            Self::LinkedFileChanged { kind, name, .. } | Self::LinkedFileMissing { kind, name, .. } => {
                Some(format!("banger {kind} delete {name}"))
            }
            Self::List { .. } | Self::ReadManifest { .. } | Self::NewerManifest { .. } => None,
        }
    }
}

/// What makes a damaged one good again: what nobody can pull must be brought again.
fn cure(kind: Kind, name: &str) -> String {
    let is_brought = match kind {
        Kind::Kernel => kernel_catalog().iter().all(|entry| entry.name.as_str() != name),
        Kind::Image => false,
    };
    if is_brought {
        format!("banger {kind} import --force --name {name} --from <path>")
    } else {
        format!("banger {kind} pull --force {name}")
    }
}
