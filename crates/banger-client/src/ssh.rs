//! What `ssh` needs as files: it takes keys from files only.

use std::path::{Path, PathBuf};

use banger_api::SshAccess;
use banger_model::VmId;
use banger_sys::files::{FileError, create_private_directory, write_atomic};
use banger_sys::paths::Paths;

/// The files that let `ssh` into a VM, in this user's runtime directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshFiles {
    /// The private key.
    pub identity: PathBuf,
    /// The VM's host key.
    pub known_hosts: PathBuf,
    /// The name under which the host key stands there.
    pub host_key_alias: String,
}

impl SshFiles {
    /// Writes the files where they are missing or say something else. The VM's own file goes with its runtime directory.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn write(paths: &Paths, vm: &VmId, access: SshAccess) -> Result<Self, FileError> {
        let identity = paths.runtime.join("ssh").join("id_ed25519");
        let known_hosts = paths.vm_runtime(vm.as_str()).join("known_hosts");
        keep(&identity, &access.private_key)?;
        keep(&known_hosts, &format!("{}\n", access.known_host))?;
        Ok(Self { identity, known_hosts, host_key_alias: access.host_key_alias })
    }
}

/// Entering a VM again writes nothing, so it needs no room on the disk.
fn keep(path: &Path, content: &str) -> Result<(), FileError> {
    if std::fs::read(path).is_ok_and(|found| found == content.as_bytes()) {
        return Ok(());
    }
    if let Some(directory) = path.parent() {
        create_private_directory(directory)?;
    }
    write_atomic(path, content.as_bytes(), 0o600)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    fn access(key: &str) -> SshAccess {
        SshAccess {
            private_key: key.to_owned(),
            known_host: "ab.banger ssh-ed25519 AAAA".to_owned(),
            host_key_alias: "ab.banger".to_owned(),
        }
    }

    #[test]
    fn the_files_are_private_and_written_when_they_change() {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::under(home.path()).unwrap();
        let vm: VmId = "ab".parse().unwrap();
        let write = |key: &str| SshFiles::write(&paths, &vm, access(key)).unwrap();
        let files = write("secret");
        assert_eq!(fs::read_to_string(&files.identity).unwrap(), "secret");
        assert_eq!(fs::read_to_string(&files.known_hosts).unwrap(), "ab.banger ssh-ed25519 AAAA\n");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&files.identity), mode(files.identity.parent().unwrap())), (0o600, 0o700));
        let inode = || fs::metadata(&files.identity).unwrap().ino();
        let first = inode();
        write("secret");
        assert_eq!(inode(), first);
        write("rotated");
        assert_eq!(fs::read_to_string(&files.identity).unwrap(), "rotated");
    }
}
