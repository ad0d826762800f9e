//! A cell's inside where Firecracker's jailer makes the root: what the jailer finds in the chroot, whose it is, and the
//! step into the jailer. This process is root, in a mount namespace of its own.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::plan::{Access, Bind, JailPlan};
use super::root::{RootError, bind, leave_the_hosts_mounts, make_directory};

/// What a directory that Firecracker writes to lets its group do: make and open, not list.
const WRITABLE_DIRECTORY: u32 = 0o730;
const GROUP_READS: u32 = 0o040;
const OTHERS_READ: u32 = 0o004;

/// Puts everything into the chroot, and lets the jail's user do with it what it may.
pub(super) fn furnish(jail: &JailPlan, binds: &[Bind], program: &Path) -> Result<(), RootError> {
    leave_the_hosts_mounts()?;
    // Directories are entered by another user; what comes after this makes no file of ours.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    for bind in binds {
        let put = put(jail, bind).and_then(|()| allow(jail, bind));
        put.map_err(|source| RootError::Bind { path: bind.from.clone(), source })?;
    }
    // The jailer fills it: without it the copy would have what our umask leaves of the program's permissions.
    let copy = jail.root.join(program.file_name().unwrap_or_default());
    let made = File::create_new(&copy).and_then(|file| file.set_permissions(Permissions::from_mode(0o700)));
    made.map_err(|source| RootError::Bind { path: copy, source })
}

fn put(jail: &JailPlan, what: &Bind) -> io::Result<()> {
    let from = what.from.canonicalize()?;
    if from.is_dir() {
        return bind(&jail.root, what);
    }
    let place = jail.root.join(what.to.strip_prefix("/").map_err(io::Error::other)?);
    place.parent().map_or(Ok(()), make_directory)?;
    match fs::hard_link(&from, &place) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => bind(&jail.root, what),
        linked => linked,
    }
}

/// Whoever is root stays owner of what VMs share and of directories; the VM's own files are its user's.
fn allow(jail: &JailPlan, bind: &Bind) -> io::Result<()> {
    let metadata = fs::metadata(&bind.from)?;
    match (metadata.is_dir(), bind.access) {
        (true, Access::Write) => {
            chown(&bind.from, None, Some(jail.group))?;
            fs::set_permissions(&bind.from, Permissions::from_mode(WRITABLE_DIRECTORY))
        }
        (false, Access::Write) => chown(&bind.from, Some(jail.user), Some(jail.group)),
        (_, Access::Read) if metadata.mode() & OTHERS_READ != 0 => Ok(()),
        (_, Access::Read) => {
            chown(&bind.from, None, Some(jail.group))?;
            fs::set_permissions(&bind.from, Permissions::from_mode(metadata.mode() & 0o7777 | GROUP_READS))
        }
    }
}

/// Becomes the jailer, which becomes Firecracker. The jailer closes what it inherits but for the standard streams.
pub(super) fn become_jailer(jail: &JailPlan) -> io::Error {
    Command::new(&jail.program).args(&jail.arguments).env_clear().stdin(Stdio::null()).exec()
}
