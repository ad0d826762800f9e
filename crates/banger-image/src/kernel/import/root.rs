//! A distribution's own kernel and modules, below a root file system of it.
//!
//! | distribution | kernel | modules |
//! |---|---|---|
//! | Debian | `boot/vmlinuz-<release>` | `lib/modules/<release>` (from 13 on below `usr`): `.ko`, `.ko.xz` |
//! | Void | `boot/vmlinuz-<release>` | `usr/lib/modules/<release>`: `.ko.zst` |
//! | Alpine | `boot/vmlinuz-<flavour>` | `lib/modules/<release>`, and `<release>` ends in `-<flavour>`: `.ko.gz` |
//!
//! Sources: Debian's `linux-image-*` packages; `srcpkgs/linux*/template` of void-packages; `main/linux-lts/APKBUILD` of
//! Alpine's aports.

use std::fs;
use std::path::{Path, PathBuf};

use banger_model::Distro;

use super::ImportError;
use super::parts::{is_plain_directory, look_at};
use crate::kernel::stack::KernelImage;

/// Where modules may be; at most one of them is no link.
const MODULE_PLACES: [&str; 2] = ["lib/modules", "usr/lib/modules"];

/// A kernel of a distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RootKernel {
    pub(super) vmlinuz: PathBuf,
    pub(super) release: String,
    pub(super) modules: PathBuf,
    /// When the kernel was made, in Unix seconds.
    pub(super) built_at: i64,
}

/// Finds the kernel of this release, or the only one.
pub(super) fn find_kernel(
    root: &Path,
    distro: Distro,
    release: Option<&str>,
) -> Result<RootKernel, ImportError> {
    let mut found = kernels(root, distro)?;
    let releases = || ImportError::list(found.iter().map(|kernel| kernel.release.clone()));
    match (release, found.len()) {
        (Some(release), _) => match found.iter().position(|kernel| kernel.release == release) {
            Some(place) => Ok(found.swap_remove(place)),
            None => Err(ImportError::NoRelease {
                path: root.to_owned(),
                release: release.to_owned(),
                found: releases(),
            }),
        },
        (None, 0) => Err(ImportError::NoRootKernel { path: root.to_owned(), distro }),
        (None, 1) => Ok(found.swap_remove(0)),
        (None, _) => Err(ImportError::Several { path: root.to_owned(), found: releases() }),
    }
}

/// Returns the kernels with their modules, by release.
fn kernels(root: &Path, distro: Distro) -> Result<Vec<RootKernel>, ImportError> {
    let boot = root.join("boot");
    if !is_plain_directory(root, Path::new("boot")) {
        return Ok(Vec::new());
    }
    let read = |source| ImportError::Read { path: boot.clone(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(&boot).map_err(read)? {
        let entry = entry.map_err(read)?;
        let name = entry.file_name();
        let is_kernel = name.to_str().is_some_and(|name| name.starts_with("vmlinuz-"));
        if !is_kernel || !entry.file_type().map_err(read)?.is_file() {
            continue;
        }
        let vmlinuz = entry.path();
        let (release, built_at) = look_at(&KernelImage::Compressed(vmlinuz.clone()))?;
        // A copy under another name is not what the distribution boots.
        if name.to_str() != Some(&kernel_name(distro, &release)) {
            continue;
        }
        let places = MODULE_PLACES.iter().map(|place| Path::new(place).join(&release));
        let Some(modules) = places.into_iter().find(|place| is_plain_directory(root, place)) else {
            return Err(ImportError::NoModules { path: root.to_owned(), release });
        };
        found.push(RootKernel { vmlinuz, release, modules: root.join(modules), built_at });
    }
    found.sort_by(|one, other| one.release.cmp(&other.release));
    Ok(found)
}

/// Returns the name that a distribution gives the kernel of a release.
fn kernel_name(distro: Distro, release: &str) -> String {
    match distro {
        Distro::Debian | Distro::Void => format!("vmlinuz-{release}"),
        Distro::Alpine => format!("vmlinuz-{}", release.rsplit('-').next().unwrap_or(release)),
    }
}

#[cfg(test)]
#[path = "root_tests.rs"]
mod tests;
