//! The work-seed: what is in an image's `/root`, as a tar, so that a work disk of any size starts with it.
//!
//! `/root` itself is 0755 root:root and `.ssh` 0700, whatever the packages made of them: sshd's `StrictModes` looks.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use ext4_view::{Ext4, Ext4Error, FileType};

/// Why there is no work-seed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum WorkSeedError {
    #[error("cannot read `{}` of the rootfs", path.display())]
    ReadRootfs { path: PathBuf, source: Ext4Error },
    #[error("cannot write the work-seed `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Files that every work disk starts with where the image has none of that name.
const ADDED: &[(&str, &str)] = &[(".hushlogin", "")];
const ROOT_HOME: &str = "/root";

/// Writes the seed from a finished rootfs.
pub(crate) fn write_work_seed(rootfs: &Path, seed: &Path) -> Result<(), WorkSeedError> {
    let write = |source| WorkSeedError::Write { path: seed.to_owned(), source };
    let read = |source| WorkSeedError::ReadRootfs { path: ROOT_HOME.into(), source };
    let root = Ext4::load_from_path(rootfs).map_err(read)?;
    let mut tar = tar::Builder::new(BufWriter::new(File::create(seed).map_err(write)?));
    let root_header = header(tar::EntryType::Directory, 0o755, (0, 0), 0);
    append(&mut tar, root_header, "./", &[]).map_err(write)?;
    if root.exists(ROOT_HOME).map_err(read)? {
        add_directory(&root, "", &mut tar, seed)?;
    }
    for (name, content) in ADDED {
        if !root.exists(format!("{ROOT_HOME}/{name}").as_str()).map_err(read)? {
            let header = header(tar::EntryType::Regular, 0o644, (0, 0), content.len() as u64);
            append(&mut tar, header, name, content.as_bytes()).map_err(write)?;
        }
    }
    let mut file = tar.into_inner().map_err(write)?;
    file.flush().map_err(write)
}

/// Adds what is below `/root/<directory>`, sorted by name.
fn add_directory(
    root: &Ext4,
    directory: &str,
    tar: &mut tar::Builder<impl Write>,
    seed: &Path,
) -> Result<(), WorkSeedError> {
    let home = format!("{ROOT_HOME}/{directory}");
    let read = |source| WorkSeedError::ReadRootfs { path: PathBuf::from(&home), source };
    let write = |source| WorkSeedError::Write { path: seed.to_owned(), source };
    let mut names = Vec::new();
    for entry in root.read_dir(home.as_str()).map_err(read)? {
        let name = entry.map_err(read)?.file_name().as_str().map(str::to_owned);
        // A seed holds an image's dot files; a name that is no text is not one of them.
        names.extend(name.ok().filter(|name| name != "." && name != ".."));
    }
    names.sort();
    for name in names {
        let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
        let place = format!("{ROOT_HOME}/{path}");
        let read = |source| WorkSeedError::ReadRootfs { path: PathBuf::from(&place), source };
        let metadata = root.symlink_metadata(place.as_str()).map_err(read)?;
        let owner = (metadata.uid(), metadata.gid());
        let mode = if path == ".ssh" { 0o700 } else { u32::from(metadata.mode()) & 0o7777 };
        match metadata.file_type() {
            FileType::Directory => {
                let header = header(tar::EntryType::Directory, mode, owner, 0);
                append(tar, header, &path, &[]).map_err(write)?;
                add_directory(root, &path, tar, seed)?;
            }
            FileType::Regular => {
                let content = root.read(place.as_str()).map_err(read)?;
                let header = header(tar::EntryType::Regular, mode, owner, content.len() as u64);
                append(tar, header, &path, &content).map_err(write)?;
            }
            FileType::Symlink => {
                let target = root.read_link(place.as_str()).map_err(read)?;
                let mut header = header(tar::EntryType::Symlink, mode, owner, 0);
                let target = std::path::PathBuf::from(target);
                tar.append_link(&mut header, &path, target).map_err(write)?;
            }
            FileType::BlockDevice | FileType::CharacterDevice | FileType::Fifo | FileType::Socket => {}
        }
    }
    Ok(())
}

fn header(kind: tar::EntryType, mode: u32, owner: (u32, u32), size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(owner.0.into());
    header.set_gid(owner.1.into());
    header.set_mtime(0);
    header.set_size(size);
    header
}

fn append(
    tar: &mut tar::Builder<impl Write>,
    mut header: tar::Header,
    path: &str,
    content: &[u8],
) -> io::Result<()> {
    tar.append_data(&mut header, path, content)
}
