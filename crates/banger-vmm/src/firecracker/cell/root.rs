//! The cell's root: an empty file system in memory with the bound files and nothing else.
//! Source: `mount_namespaces(7)`, `pivot_root(2)`.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, StatVfsMountFlags};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_change,
    mount_remount, move_mount, open_tree, unmount,
};

use super::plan::{Access, Bind};

/// Names and directories only.
const ROOT_OPTIONS: &std::ffi::CStr = c"size=64k,mode=0755";

/// Why there is no root.
#[derive(Debug, thiserror::Error)]
pub(super) enum RootError {
    #[error("cannot detach from the host's mounts")]
    Leave(#[source] io::Error),
    #[error("cannot bind `{}` into the cell", path.display())]
    Bind { path: PathBuf, source: io::Error },
    #[error("cannot mount an empty root on `{}`", path.display())]
    Empty { path: PathBuf, source: io::Error },
    #[error("cannot change the root")]
    Change(#[source] io::Error),
}

/// Makes the root on top of `cover` and moves into it.
pub(super) fn enter(cover: &Path, binds: &[Bind]) -> Result<(), RootError> {
    leave_the_hosts_mounts()?;
    // All are taken before anything is covered.
    let told = |bind: &Bind| {
        let path = bind.from.clone();
        |source| RootError::Bind { path, source }
    };
    let trees: Vec<_> = binds.iter().map(|bind| take(bind).map_err(told(bind))).collect::<Result<_, _>>()?;
    let empty = |errno: Errno| RootError::Empty { path: cover.to_owned(), source: errno.into() };
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("cell", cover, "tmpfs", flags, ROOT_OPTIONS).map_err(empty)?;
    for (bind, tree) in binds.iter().zip(trees) {
        put(cover, bind, &tree).map_err(told(bind))?;
    }
    change(cover).map_err(RootError::Change)
}

/// Sees to it that the host sees nothing of what is mounted from here on.
pub(super) fn leave_the_hosts_mounts() -> Result<(), RootError> {
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .map_err(|errno| RootError::Leave(errno.into()))
}

/// Binds a file or directory into a root.
pub(super) fn bind(root: &Path, bind: &Bind) -> io::Result<()> {
    put(root, bind, &take(bind)?)
}

/// Makes a directory that everybody may enter, with its parents.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)
}

fn take(bind: &Bind) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    open_tree(CWD, &bind.from, flags).map_err(io::Error::from)
}

fn put(root: &Path, bind: &Bind, tree: &OwnedFd) -> io::Result<()> {
    let place = root.join(bind.to.strip_prefix("/").map_err(io::Error::other)?);
    make_place(&place, rustix::fs::fstat(tree)?.st_mode)?;
    move_mount(tree, c"", CWD, &place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    match bind.access {
        Access::Read => make_read_only(&place),
        Access::Write => Ok(()),
    }
}

/// Makes what a file or directory can be mounted on.
fn make_place(place: &Path, mode: u32) -> io::Result<()> {
    if rustix::fs::FileType::from_raw_mode(mode).is_dir() {
        return make_directory(place);
    }
    place.parent().map_or(Ok(()), make_directory)?;
    File::create_new(place).map(drop)
}

/// A mount from outside keeps the restrictions that it has there: the kernel refuses to lift them.
fn make_read_only(place: &Path) -> io::Result<()> {
    let has = rustix::fs::statvfs(place)?.f_flag;
    let mut flags = MountFlags::BIND | MountFlags::RDONLY;
    for (restriction, flag) in [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ] {
        if has.contains(restriction) {
            flags |= flag;
        }
    }
    mount_remount(place, flags, c"").map_err(io::Error::from)
}

fn change(root: &Path) -> io::Result<()> {
    rustix::process::chdir(root)?;
    // Old and new root are stacked on one place; the old one lies on top and is taken off.
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    fs::metadata("/")?;
    rustix::process::chdir("/")?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    mount_remount("/", MountFlags::BIND | flags, c"").map_err(io::Error::from)
}
