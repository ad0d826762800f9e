//! The read-only drive with a kernel's modules: `lib/modules/<release>` as the root of an ext4. The same tree and time
//! give the same bytes.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use banger_ext4::{EntryKind, Ext4Writer, FormatError, FormatOptions, Journal, Metadata};
use banger_sys::blocking::Cancelled;

use crate::artifact::digest::stable_id;

const SIZE_BYTES_MAX: u64 = 2 << 30;

/// Why the drive cannot be made.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum ModulesDriveError {
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write the modules drive")]
    Write(#[source] FormatError),
}

/// Writes the tree below `modules` to `drive`. Every time in it is `created_at` (Unix seconds).
pub(crate) fn write_modules_drive(
    modules: &Path,
    drive: &Path,
    created_at: i64,
    cancelled: &Cancelled,
) -> Result<(), ModulesDriveError> {
    let release = modules.file_name().unwrap_or_default().to_string_lossy();
    let options = FormatOptions {
        size_bytes: SIZE_BYTES_MAX,
        label: "banger-modules".to_owned(),
        uuid: stable_id(&format!("modules drive {release}")),
        hash_seed: stable_id(&format!("modules drive hash {release}")),
        created_at,
        inodes_min: 0,
        journal: Journal::None,
    };
    let mut writer = Ext4Writer::create(drive, options).map_err(ModulesDriveError::Write)?;
    let metadata = |mode| Metadata { mode, mtime: created_at, ..Metadata::default() };
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        for name in names(&modules.join(&directory))? {
            let path = directory.join(name);
            let source_path = modules.join(&path);
            let read = |source| ModulesDriveError::Read { path: source_path.clone(), source };
            cancelled.check().map_err(read)?;
            let found = fs::symlink_metadata(&source_path).map_err(read)?;
            if found.is_dir() {
                writer
                    .add(path.as_os_str().as_bytes(), &metadata(0o755), EntryKind::Directory)
                    .map_err(ModulesDriveError::Write)?;
                directories.push(path);
            } else if found.is_file() {
                let mut content = File::open(&source_path).map_err(read)?;
                let kind = EntryKind::File { size: found.len(), content: &mut content };
                writer
                    .add(path.as_os_str().as_bytes(), &metadata(0o644), kind)
                    .map_err(ModulesDriveError::Write)?;
            }
        }
    }
    writer.finish_shrunk(0).map_err(ModulesDriveError::Write)?;
    Ok(())
}

/// Returns the names in a directory, sorted: the host's order must not show in the drive.
fn names(directory: &Path) -> Result<Vec<std::ffi::OsString>, ModulesDriveError> {
    let read = |source| ModulesDriveError::Read { path: directory.to_owned(), source };
    let entries = fs::read_dir(directory).map_err(read)?;
    let mut names = entries
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(read)?;
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_tree_gives_the_same_drive() {
        let home = tempfile::tempdir().unwrap();
        let write = |number: u32| {
            let modules = home.path().join(number.to_string()).join("6.1.0");
            fs::create_dir_all(modules.join("kernel/fs")).unwrap();
            for name in ["modules.dep", "kernel/b.ko", "kernel/a.ko", "kernel/fs/overlay.ko"] {
                fs::write(modules.join(name), name).unwrap();
            }
            let drive = home.path().join(format!("{number}.ext4"));
            write_modules_drive(&modules, &drive, 1_700_000_000, &Cancelled::default()).unwrap();
            fs::read(drive).unwrap()
        };
        let first = write(1);
        assert!(first == write(2));
        let drive = ext4_view::Ext4::load(Box::new(first)).unwrap();
        assert_eq!(drive.read_to_string("/kernel/fs/overlay.ko").unwrap(), "kernel/fs/overlay.ko");
        assert_eq!(drive.label().display().to_string(), "banger-modules");
    }
}
