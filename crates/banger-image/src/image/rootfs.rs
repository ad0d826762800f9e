//! Writes the root of an image: the packages' tar as it comes, then the product's own files over it.

use std::io::Read;
use std::path::Path;

use banger_ext4::{EntryKind, Ext4Writer, FormatError, FormatOptions, Journal, Metadata, TarAction};
use banger_sys::blocking::Cancelled;
use banger_sys::id::random_bytes;

use crate::image::contents::{Addition, additions, is_left_out};
use crate::image::recipe::Recipe;
use crate::progress::{CountingReader, Progress};

const STAGE: &str = "write rootfs";
/// Upper bound while it is written; the finished one is as large as its content.
const SIZE_BYTES_MAX: u64 = 32 << 30;

/// Writes the file system from a tar. Never written again, so it has no journal and no free space.
pub(crate) fn write_rootfs(
    tar: impl Read,
    rootfs: &Path,
    recipe: &Recipe,
    progress: &Progress,
    cancelled: &Cancelled,
) -> Result<(), FormatError> {
    let options = FormatOptions {
        size_bytes: SIZE_BYTES_MAX,
        label: "banger-root".to_owned(),
        uuid: random_bytes(),
        hash_seed: random_bytes(),
        created_at: jiff::Timestamp::now().as_second(),
        inodes_min: 0,
        journal: Journal::None,
    };
    let mut writer = Ext4Writer::create(rootfs, options)?;
    let tar = CountingReader::new(cancelled.reader(tar), STAGE, None, progress);
    let keep = |path: &[u8]| if is_left_out(path, recipe) { TarAction::Skip } else { TarAction::Keep };
    writer.add_tar(tar, keep)?;
    // Now, and not before the tar came: some files must be newer than all of it.
    let now = jiff::Timestamp::now().as_second();
    let metadata = |mode| Metadata { mode, mtime: now, ..Metadata::default() };
    for addition in additions(recipe) {
        match addition {
            Addition::File { path, content } => {
                let kind = EntryKind::File { size: content.len() as u64, content: &mut content.as_bytes() };
                writer.add(path.as_bytes(), &metadata(0o644), kind)?;
            }
            Addition::Link { path, target } => {
                writer.add(path.as_bytes(), &metadata(0o777), EntryKind::Symlink(target.as_bytes()))?;
            }
        }
    }
    writer.finish_shrunk(0).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::debian_recipe;

    fn tar(files: &[(&str, &str)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o600);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn write(tar: &[u8], rootfs: &Path) -> Result<(), FormatError> {
        let recipe = debian_recipe();
        write_rootfs(tar, rootfs, &recipe, &Progress::silent(), &Cancelled::default())
    }

    #[test]
    fn the_root_has_the_packages_without_secrets_and_with_the_drop_in() {
        let home = tempfile::tempdir().unwrap();
        let rootfs = home.path().join("rootfs.ext4");
        let files =
            [("etc/ssh/ssh_host_ed25519_key", "secret"), ("etc/motd", "Welcome"), ("usr/bin/git", "git")];
        write(&tar(&files), &rootfs).unwrap();
        let root = ext4_view::Ext4::load_from_path(&rootfs).unwrap();
        assert_eq!(root.read_to_string("/usr/bin/git").unwrap(), "git");
        assert_eq!(root.read_to_string("/etc/motd").unwrap(), "");
        assert!(!root.exists("/etc/ssh/ssh_host_ed25519_key").unwrap());
        let drop_in = root.read_to_string("/etc/ssh/sshd_config.d/99-banger.conf").unwrap();
        assert!(drop_in.starts_with("PermitRootLogin prohibit-password\n"));
        let mask = root.read_link("/etc/systemd/system/apt-daily.timer").unwrap();
        assert_eq!(mask.display().to_string(), "/dev/null");
    }

    #[test]
    fn a_cut_tar_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        let tar = tar(&[("a", &"x".repeat(4096))]);
        for length in [100, 512, 2048] {
            assert!(write(&tar[..length], &home.path().join("rootfs.ext4")).is_err(), "{length}");
        }
    }
}
