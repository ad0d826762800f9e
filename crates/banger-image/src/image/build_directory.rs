//! Where a bootstrap unpacks its packages: in memory where there is plenty, because installing packages waits for the
//! disk more than for anything else (52 s against 134 s, measured on a slow disk).

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use banger_sys::files::remove_any;
use banger_sys::host::free_bytes;
use banger_sys::id::random_hex;

use crate::artifact::digest::sha256_hex;

const MEMORY: &str = "/dev/shm";
/// Where images are built by those who are not root.
pub const BUILD_DIRECTORY: &str = "/var/tmp";
/// What a bootstrap of a few hundred packages takes, with slack.
const FREE_BYTES_MIN: u64 = 1 << 30;
const MEMORY_KIB_MIN: u64 = 3 << 20;

/// How the packages' scripts get to be root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Privilege {
    /// This process is root.
    Root,
    /// In a user namespace with this user's subordinate ids.
    UserNamespace,
}

/// A directory that is removed on drop, also what in it belongs to subordinate users.
#[derive(Debug)]
pub(crate) struct BuildDirectory {
    path: PathBuf,
}

impl BuildDirectory {
    /// Makes the directory for a build whose result goes to `staged`. Without root it is never below the user's own
    /// directories: the users of the namespace must be able to enter it.
    pub(crate) fn create(staged: &Path, privilege: Privilege) -> io::Result<Self> {
        let name = format!("{}{}", prefix(staged.parent().unwrap_or(staged)), random_hex::<6>());
        let path = match privilege {
            Privilege::Root if has_memory_to_spare() => Path::new(MEMORY).join(name),
            Privilege::Root => staged.join("build"),
            // In memory, mmdebstrap 1.3 cannot mount the namespace's own `/dev/shm` over the one it works in.
            Privilege::UserNamespace => Path::new(BUILD_DIRECTORY).join(name),
        };
        fs::create_dir(&path)?;
        // Whatever our own umask is: inside a user namespace another user has to come in.
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for BuildDirectory {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Removes what builds for this images directory left behind when their process died.
pub(crate) fn sweep_build_directories(images: &Path) {
    let prefix = prefix(images);
    for place in [MEMORY, BUILD_DIRECTORY] {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                remove(&entry.path());
            }
        }
    }
}

/// Names of build directories start with whose they are: another daemon's builds are not ours to remove.
fn prefix(images: &Path) -> String {
    let owner = sha256_hex(images.as_os_str().as_encoded_bytes());
    format!("banger-build-{}-", owner.get(..12).unwrap_or_default())
}

fn remove(path: &Path) {
    if remove_any(path).is_ok() || rustix::process::geteuid().is_root() {
        return;
    }
    let helper = Command::new("mmdebstrap")
        .args(["--unshare-helper", "rm", "-rf"])
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if let Err(error) = helper.and_then(|_| remove_any(path)) {
        tracing::warn!(path = %path.display(), %error, "a build directory stays");
    }
}

fn has_memory_to_spare() -> bool {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    available_kib(&meminfo) >= MEMORY_KIB_MIN
        && free_bytes(Path::new(MEMORY)).is_ok_and(|free| free >= FREE_BYTES_MIN)
}

fn available_kib(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_removes_the_builds_of_its_own_images_only() {
        let home = tempfile::tempdir().unwrap();
        let (ours, theirs) = (home.path().join("ours"), home.path().join("theirs"));
        let made = |images: &Path| {
            let path = Path::new(BUILD_DIRECTORY).join(format!("{}{}", prefix(images), random_hex::<6>()));
            fs::create_dir(&path).unwrap();
            path
        };
        let (ours_left, theirs_left) = (made(&ours), BuildDirectory { path: made(&theirs) });
        sweep_build_directories(&ours);
        assert!(!ours_left.exists());
        assert!(theirs_left.path().exists());
    }

    #[test]
    fn available_memory_is_read_in_kib() {
        assert_eq!(available_kib("MemTotal: 9 kB\nMemAvailable:   123 kB\n"), 123);
        assert_eq!(available_kib(""), 0);
    }
}
