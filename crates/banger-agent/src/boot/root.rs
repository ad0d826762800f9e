//! Makes the root of the guest out of its drives.
//!
//! ```text
//! base (read-only) ─┐
//!                   ├─ overlayfs ─▶ /              work ─▶ /root        modules ─▶ /lib/modules/<release>
//! overlay/upper ────┘             overlay/data/… ─▶ /var/lib/docker …
//! ```

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::CWD,
    mount::{MountFlags, MoveMountFlags, OpenTreeFlags},
};

use super::{
    cmdline::Role,
    drives::Drive,
    ext4::{self, Access},
    kernel_mounts::{self, MountError, PLACES, make_directory},
};
use crate::console;

const BASE: &str = "/mnt/base";
const OVERLAY: &str = "/mnt/overlay";
const ROOT: &str = "/mnt/root";

/// Data of container engines: they stack overlayfs themselves, which cannot stand on another one.
const ENGINES: [(&str, &str); 3] = [
    ("docker", "/var/lib/docker"),
    ("containerd", "/var/lib/containerd"),
    ("containers", "/var/lib/containers"),
];

/// The root cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum RootError {
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error("cannot make the root: there is no drive `base`")]
    NoBase,
    #[error("cannot make the directory `{}`", path.display())]
    MakeDirectory { path: PathBuf, source: io::Error },
    #[error("cannot enter the new root")]
    Switch { source: rustix::io::Errno },
    #[error("cannot bind `{place}`")]
    Bind { place: &'static str, source: rustix::io::Errno },
}

/// Data directories of the overlay drive, held open across the switch.
#[derive(Debug)]
pub(super) struct EngineData(Vec<(&'static str, OwnedFd)>);

/// Stacks the overlay on the base.
pub(super) fn assemble(drives: &[Drive]) -> Result<EngineData, RootError> {
    let base = device(drives, &Role::Base).ok_or(RootError::NoBase)?;
    ext4::mount(base, Path::new(BASE), Access::ReadOnly)?;
    match device(drives, &Role::Overlay) {
        Some(overlay) => ext4::mount(overlay, Path::new(OVERLAY), Access::ReadWrite)?,
        None => kernel_mounts::place("tmpfs", OVERLAY, "tmpfs", MountFlags::NOATIME, Some(c"mode=0755"))?,
    }
    for directory in ["upper", "work"] {
        make(&Path::new(OVERLAY).join(directory))?;
    }
    // redirect_dir: directories of the image can be renamed, as on any other file system.
    let options = c"lowerdir=/mnt/base,upperdir=/mnt/overlay/upper,workdir=/mnt/overlay/work,redirect_dir=on";
    kernel_mounts::place("overlay", ROOT, "overlay", MountFlags::NOATIME, Some(options))?;
    for place in PLACES {
        make(&Path::new(ROOT).join(place.trim_start_matches('/')))?;
    }
    engine_data()
}

/// Makes the new root `/`. The drives below it are out of sight from here on: no program of the guest can unmount
/// them by mistake.
pub(super) fn switch() -> Result<(), RootError> {
    let switch = || {
        for place in PLACES {
            rustix::mount::mount_move(place, format!("{ROOT}{place}"))?;
        }
        rustix::process::chdir(ROOT)?;
        rustix::mount::mount_move(".", "/")?;
        rustix::process::chroot(".")?;
        rustix::process::chdir("/")
    };
    switch().map_err(|source| RootError::Switch { source })
}

/// Mounts what lies inside the root. Paths are resolved inside it, whatever links the image has.
pub(super) fn mount_inside(drives: &[Drive], engines: EngineData) -> Result<(), RootError> {
    if let Some(work) = device(drives, &Role::Work) {
        ext4::mount(work, Path::new("/root"), Access::ReadWrite)?;
    }
    if let Some(modules) = device(drives, &Role::Modules) {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        // Without its modules the guest works, only poorer.
        if let Err(error) = ext4::mount(modules, &Path::new("/lib/modules").join(release), Access::ReadOnly) {
            console::error(&error);
        }
    }
    for (place, data) in engines.0 {
        make(Path::new(place))?;
        rustix::mount::move_mount(&data, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .map_err(|source| RootError::Bind { place, source })?;
    }
    Ok(())
}

fn engine_data() -> Result<EngineData, RootError> {
    let mut engines = Vec::new();
    for (name, place) in ENGINES {
        let path = Path::new(OVERLAY).join("data").join(name);
        make(&path)?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let data = rustix::mount::open_tree(CWD, &path, flags)
            .map_err(|source| RootError::Bind { place, source })?;
        engines.push((place, data));
    }
    Ok(EngineData(engines))
}

fn device<'a>(drives: &'a [Drive], role: &Role) -> Option<&'a Path> {
    drives.iter().find(|drive| drive.role == *role).map(|drive| drive.device.as_path())
}

fn make(path: &Path) -> Result<(), RootError> {
    make_directory(path).map_err(|source| RootError::MakeDirectory { path: path.to_owned(), source })
}
