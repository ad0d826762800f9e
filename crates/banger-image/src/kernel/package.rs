//! Takes the kernel, its configuration and its modules out of a Debian kernel package.

use std::fs;
use std::path::{Path, PathBuf};

use banger_sys::blocking::run_blocking;
use banger_sys::files::StagedDirectory;

use crate::bounded::read_text;
use crate::kernel::config::CONFIG_BYTES_MAX;
use crate::kernel::deb::{DebError, unpack_deb};
use crate::kernel::module_tree::{ModuleTree, Place, place_in_tree};
use crate::kernel::stack::{KernelImage, Parts, WORK};
use crate::progress::Progress;

/// The unpacked package, in the working directory.
const TREE: &str = "tree";

/// Why there is no kernel in a package.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum PackageError {
    #[error("cannot unpack it")]
    Unpack(#[source] DebError),
    #[error("`{}` has no `boot/vmlinuz-…`; it may be a package that only depends on the kernel's package", path.display())]
    NoKernel { path: PathBuf },
    #[error("`{}` has no modules for `{release}`; they may be in another package", path.display())]
    NoModules { path: PathBuf, release: String },
}

/// Unpacks a package inside the staging directory, and gives that back with what it has for a boot stack.
pub(crate) async fn unpack_package(
    staged: StagedDirectory,
    package: PathBuf,
    progress: &Progress,
) -> Result<(StagedDirectory, Parts), PackageError> {
    let name = package.file_name().unwrap_or_default().to_string_lossy().into_owned();
    progress.stage("unpack kernel package", name);
    run_blocking(move |cancelled| {
        let base = staged.path().join(WORK).join(TREE);
        let unpacked = unpack_deb(&package, &base, place, cancelled).map_err(PackageError::Unpack)?;
        let Some(release) = find_release(&base) else {
            return Err(PackageError::NoKernel { path: package });
        };
        let image = KernelImage::Compressed(base.join("boot").join(format!("vmlinuz-{release}")));
        let config = read_text(&base.join("boot").join(format!("config-{release}")), CONFIG_BYTES_MAX).ok();
        let modules = ModuleTree { base, release };
        if !modules.path().is_dir() {
            return Err(PackageError::NoModules { path: package, release: modules.release });
        }
        Ok((staged, Parts { image, modules: Some(modules), built_at: unpacked.built_at, config }))
    })
    .await
}

/// Tells where a package's file goes. Newer releases have their modules below `usr`; the tools look in `lib/modules`.
fn place(path: &Path) -> Option<Place> {
    let path = path.strip_prefix("usr").unwrap_or(path);
    let is_of_boot = |path: &str| path.starts_with("boot/vmlinuz-") || path.starts_with("boot/config-");
    if path.to_str().is_some_and(is_of_boot) {
        return Some(Place::plain(path.to_owned()));
    }
    let release = path.strip_prefix("lib/modules").ok()?.components().next()?;
    let tree = Path::new("lib/modules").join(release);
    let place = place_in_tree(path.strip_prefix(&tree).ok()?)?;
    Some(Place { path: tree.join(place.path), compression: place.compression })
}

fn find_release(base: &Path) -> Option<String> {
    let entries = fs::read_dir(base.join("boot")).ok()?;
    entries
        .flatten()
        .find_map(|entry| entry.file_name().to_str()?.strip_prefix("vmlinuz-").map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::compression::Compression;

    #[test]
    fn only_the_kernel_and_its_modules_are_taken_wherever_the_release_has_them() {
        let taken = |path: &str| {
            let place = place(Path::new(path))?;
            Some((place.path.to_str().unwrap().to_owned(), place.compression))
        };
        let old = taken("lib/modules/6.1/kernel/a.ko").unwrap();
        assert_eq!(old, ("lib/modules/6.1/kernel/a.ko".to_owned(), Compression::None));
        let new = taken("usr/lib/modules/6.12/kernel/a.ko.xz").unwrap();
        assert_eq!(new, ("lib/modules/6.12/kernel/a.ko".to_owned(), Compression::Xz));
        assert!(taken("boot/vmlinuz-6.1").is_some() && taken("boot/config-6.1").is_some());
        for other in
            ["boot/System.map-6.1", "usr/share/doc/x", "lib/modules/6.1", "lib/modules/6.1/build/a.c"]
        {
            assert_eq!(taken(other), None, "{other}");
        }
    }
}
