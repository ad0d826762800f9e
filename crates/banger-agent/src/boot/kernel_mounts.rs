//! The file systems that the kernel itself provides.

use std::{ffi::CStr, fs, io, os::unix::fs::symlink, path::Path};

use rustix::{
    io::Errno,
    mount::{MountFlags, MountPropagationFlags},
};

/// A mount failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot mount `{what}` at `{place}`")]
pub(super) struct MountError {
    pub(super) what: String,
    pub(super) place: String,
    pub(super) source: io::Error,
}

/// Mount points that move to the new root.
pub(super) const PLACES: [&str; 4] = ["/dev", "/proc", "/sys", "/run"];

/// Mounts them in the initramfs, `/dev` first, because failures are reported there.
pub(super) fn mount() -> Result<(), MountError> {
    let secure = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    place("devtmpfs", "/dev", "devtmpfs", MountFlags::NOSUID, Some(c"mode=0755"))?;
    place("proc", "/proc", "proc", secure, None)?;
    place("sysfs", "/sys", "sysfs", secure, None)?;
    place("tmpfs", "/run", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=0755"))?;
    if let Err(error) =
        place("cgroup2", "/sys/fs/cgroup", "cgroup2", secure, Some(c"nsdelegate,memory_recursiveprot"))
    {
        crate::console::error(&error);
    }
    Ok(())
}

/// Disables sleep in the guest, because nothing would wake a machine without buttons, clock or network wake-up. Programs
/// find no sleep state (`/sys/power/state`, kernel document `admin-guide/pm/sleep-states.rst`), and report that.
pub(super) fn forbid_sleep() -> io::Result<()> {
    const STATES: &str = "/sys/power/state";
    const NONE: &str = "/no-sleep-states";
    if !Path::new(STATES).exists() {
        return Ok(());
    }
    fs::write(NONE, "")?;
    rustix::mount::mount_bind(NONE, STATES)?;
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NOEXEC;
    rustix::mount::mount_remount(STATES, flags, "")?;
    Ok(())
}

/// Makes the entries that programs expect in `/dev` and that no init has made yet.
pub(super) fn prepare_devices() {
    let secure = MountFlags::NOSUID | MountFlags::NOEXEC;
    let outcomes = [
        place("devpts", "/dev/pts", "devpts", secure, Some(c"gid=5,mode=620,ptmxmode=666")),
        place("tmpfs", "/dev/shm", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=1777")),
    ];
    for error in outcomes.into_iter().filter_map(Result::err) {
        crate::console::error(&error);
    }
    let links = [
        ("/proc/self/fd", "/dev/fd"),
        ("/proc/self/fd/0", "/dev/stdin"),
        ("/proc/self/fd/1", "/dev/stdout"),
        ("/proc/self/fd/2", "/dev/stderr"),
    ];
    for (target, link) in links {
        let _ = symlink(target, link);
    }
}

/// Lets mounts propagate between us and commands with a `/proc` of their own, as systemd does for everything that it starts.
pub(super) fn share() {
    let flags = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
    if let Err(source) = rustix::mount::mount_change("/", flags) {
        crate::console::error(&MountError {
            what: "shared".into(),
            place: "/".into(),
            source: source.into(),
        });
    }
}

/// Mounts a file system and makes the mount point. It is not an error if it is mounted already.
pub(super) fn place(
    what: &str,
    place: &str,
    kind: &str,
    flags: MountFlags,
    options: Option<&CStr>,
) -> Result<(), MountError> {
    let failed = |source| MountError { what: what.to_owned(), place: place.to_owned(), source };
    make_directory(Path::new(place)).map_err(failed)?;
    match rustix::mount::mount(what, place, kind, flags, options) {
        Ok(()) | Err(Errno::BUSY) => Ok(()),
        Err(error) => Err(failed(error.into())),
    }
}

/// Makes a directory with its parents.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() { Ok(()) } else { fs::create_dir_all(path) }
}
