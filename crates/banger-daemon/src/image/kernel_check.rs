//! Is a kernel's content what was recorded? A damaged kernel would only be a guest that says nothing.
//!
//! What a boot reads on the host (kernel, `initramfs`) is hashed once per file: one that has the same inode, size and
//! time of change as when it was hashed is not read again. The drives are the guest's to check: too large to read here.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use banger_image::{FileRecord, Kernel, StoreError};
use banger_model::ArtifactKind;

use crate::file_identity::FileIdentity;

/// What was found good, by file. The mutex is held for a look-up only.
#[derive(Debug, Default)]
pub(super) struct KernelCheck(Mutex<HashMap<PathBuf, FileIdentity>>);

impl KernelCheck {
    /// Compares the content with the manifest. Blocks while it reads a file that it has not seen.
    ///
    /// # Errors
    /// [`StoreError::WrongContent`], [`StoreError::ReadFile`].
    pub(super) fn check(&self, kernel: &Kernel) -> Result<(), StoreError> {
        let compressed = kernel.vmlinuz().filter(|_| !kernel.manifest.has_pvh_entry);
        for path in [kernel.vmlinux(), kernel.initramfs()].into_iter().chain(compressed) {
            let name = || kernel.manifest.name.to_string();
            let unreadable = |source| StoreError::ReadFile {
                kind: ArtifactKind::Kernel,
                name: name(),
                path: path.clone(),
                source,
            };
            let file = File::open(&path).map_err(unreadable)?;
            let identity = FileIdentity::of(&file.metadata().map_err(unreadable)?);
            if self.seen().get(&path) == Some(&identity) {
                continue;
            }
            if Some(&FileRecord::of_content(file).map_err(unreadable)?) != recorded(kernel, &path) {
                return Err(StoreError::WrongContent { kind: ArtifactKind::Kernel, name: name(), path });
            }
            self.seen().insert(path, identity);
        }
        Ok(())
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, FileIdentity>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn recorded<'a>(kernel: &'a Kernel, path: &Path) -> Option<&'a FileRecord> {
    kernel.manifest.files.get(path.file_name()?.to_str()?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use banger_model::Hint;

    use super::*;

    fn kernel(directory: &Path) -> Kernel {
        let record = |path: PathBuf| FileRecord::of_content(File::open(path).unwrap()).unwrap();
        fs::write(directory.join("vmlinux"), "kernel").unwrap();
        fs::write(directory.join("initramfs"), "initramfs").unwrap();
        let manifest = serde_json::json!({
            "format_version": 1, "name": "debian-12", "distro": "debian", "arch": "amd64", "version": "6.1",
            "files": {
                "vmlinux": record(directory.join("vmlinux")), "initramfs": record(directory.join("initramfs")),
            },
            "source": "a test", "created_at": "2026-01-01T00:00:00Z", "agent_sha256": "",
        });
        Kernel { directory: directory.to_owned(), manifest: serde_json::from_value(manifest).unwrap() }
    }

    #[test]
    fn other_bytes_of_the_same_size_are_noticed_and_named() {
        let directory = tempfile::tempdir().unwrap();
        let kernel = kernel(directory.path());
        let check = KernelCheck::default();
        check.check(&kernel).unwrap();
        fs::remove_file(kernel.initramfs()).unwrap();
        fs::write(kernel.initramfs(), "inXtramfs").unwrap();
        let error = check.check(&kernel).unwrap_err();
        assert!(matches!(&error, StoreError::WrongContent { path, .. } if *path == kernel.initramfs()));
        assert_eq!(
            error.hint(),
            Some(Hint::PullAgain { kind: ArtifactKind::Kernel, name: "debian-12".to_owned() })
        );
    }

    #[test]
    fn a_file_that_is_the_same_is_read_once() {
        let directory = tempfile::tempdir().unwrap();
        let mut kernel = kernel(directory.path());
        let check = KernelCheck::default();
        check.check(&kernel).unwrap();
        // Only a second reading would see that the manifest now says something else.
        kernel.manifest.files.clear();
        check.check(&kernel).unwrap();
        assert!(KernelCheck::default().check(&kernel).is_err());
    }
}
