//! Assembles the guest's root from its drives.
//!
//! ```text
//! base (read-only) ─┐
//!                   ├─ overlayfs ─▶ /              work ─▶ /root        modules ─▶ /lib/modules/<release>
//! overlay/upper ────┘             overlay/data/… ─▶ /var/lib/docker …
//! ```

use std::{
    fs, io,
    os::{fd::OwnedFd, unix::fs::PermissionsExt as _},
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
    run_content,
};
use crate::{console, rooted};

const BASE: &str = "/mnt/base";
const OVERLAY: &str = "/mnt/overlay";
const ROOT: &str = "/mnt/root";
const RUN: &str = "/run";
const HOME: &str = "/root";

/// Data directories of container engines: they stack overlayfs themselves, which is impossible on top of another overlayfs.
const ENGINES: [(&str, &str); 3] = [
    ("docker", "/var/lib/docker"),
    ("containerd", "/var/lib/containerd"),
    ("containers", "/var/lib/containers"),
];

/// Directories that every program takes for granted.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];
/// Directories that may be links to targets that the first boot of a system makes, as in images of ostree.
const MADE_LATER: [&str; 6] = ["/home", "/srv", "/opt", "/mnt", "/media", "/usr/local"];

/// The root cannot be assembled.
#[derive(Debug, thiserror::Error)]
pub(super) enum RootError {
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error("cannot make the root: there is no drive `base`")]
    NoBase,
    #[error("cannot create the directory `{}`", path.display())]
    MakeDirectory { path: PathBuf, source: io::Error },
    #[error("cannot enter the new root")]
    Switch { source: rustix::io::Errno },
    #[error("cannot bind `{place}`")]
    Bind { place: &'static str, source: rustix::io::Errno },
}

/// Data directories on the overlay drive, held open across the switch.
#[derive(Debug)]
pub(super) struct EngineData(Vec<Engine>);

#[derive(Debug)]
struct Engine {
    place: &'static str,
    data: OwnedFd,
    is_used: bool,
}

/// Mounts the overlay over the base.
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
    engine_data()
}

/// Makes the new root `/`. The drives below it are hidden from here on, so no program of the guest can unmount them by
/// mistake.
pub(super) fn switch() -> Result<(), RootError> {
    for place in PLACES {
        let inside = make_inside(Path::new(ROOT), place)?;
        if place == RUN {
            bring_along(&inside);
        }
        rustix::mount::mount_move(place, &inside).map_err(|source| RootError::Switch { source })?;
    }
    let switch = || {
        rustix::process::chdir(ROOT)?;
        rustix::mount::mount_move(".", "/")?;
        rustix::process::chroot(".")?;
        rustix::process::chdir("/")
    };
    switch().map_err(|source| RootError::Switch { source })
}

/// The image's `/run` would be hidden by the new one, including directories that services expect with certain owners.
fn bring_along(images: &Path) {
    if let Err(error) = run_content::copy(images, Path::new(RUN)) {
        console::error(&error);
    }
}

/// Mounts the file systems inside the root. Paths are resolved inside it, whatever links the image has.
pub(super) fn mount_inside(drives: &[Drive], engines: EngineData) -> Result<(), RootError> {
    if let Some(work) = device(drives, &Role::Work) {
        ext4::mount(work, &home()?, Access::ReadWrite)?;
    }
    if let Some(modules) = device(drives, &Role::Modules) {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        // Without its modules the guest still works, with fewer features.
        if let Err(error) = mount_modules(modules, &Path::new("/lib/modules").join(release)) {
            console::error(&error);
        }
    }
    for engine in engines.0 {
        if let Err(error) = bind(&engine) {
            console::error(&error);
        }
    }
    make_what_is_missing();
    Ok(())
}

/// Returns the path of root's home. If it leads to a mount point of the kernel's file systems, which the mount would hide, a
/// directory takes the link's place.
fn home() -> Result<PathBuf, RootError> {
    let place = make_inside(Path::new("/"), HOME)?;
    if !PLACES.iter().any(|kernels| place == Path::new(kernels)) {
        return Ok(place);
    }
    let failed = |source| RootError::MakeDirectory { path: HOME.into(), source };
    fs::remove_file(HOME).map_err(failed)?;
    make_inside(Path::new("/"), HOME)
}

fn make_what_is_missing() {
    let temporary = TEMPORARY.into_iter().map(|place| (place, 0o1777));
    let later =
        MADE_LATER.into_iter().filter(|place| Path::new(place).is_symlink()).map(|place| (place, 0o755));
    for (place, mode) in temporary.chain(later) {
        if let Err(error) = make_missing(Path::new(place), mode) {
            console::error(&error);
        }
    }
}

/// An existing directory keeps its mode.
fn make_missing(place: &Path, mode: u32) -> Result<(), RootError> {
    if place.exists() {
        return Ok(());
    }
    let make = || {
        let directory = rooted::make_directory(Path::new("/"), place)?;
        fs::set_permissions(directory, fs::Permissions::from_mode(mode))
    };
    make().map_err(|source| RootError::MakeDirectory { path: place.to_owned(), source })
}

fn mount_modules(device: &Path, place: &Path) -> Result<(), RootError> {
    let failed = |source| RootError::MakeDirectory { path: place.to_owned(), source };
    let place = rooted::make_directory(Path::new("/"), place).map_err(failed)?;
    Ok(ext4::mount(device, &place, Access::ReadOnly)?)
}

/// Gives an engine a usable data directory, unless the image has content there that it would hide.
fn bind(engine: &Engine) -> Result<(), RootError> {
    let failed = |source| RootError::MakeDirectory { path: engine.place.into(), source };
    let place = rooted::make_directory(Path::new("/"), Path::new(engine.place)).map_err(failed)?;
    if !engine.is_used && has_files(&place).map_err(failed)? {
        console::info(&format!("`{}` stays as the image has it: there are files in it", engine.place));
        return Ok(());
    }
    rustix::mount::move_mount(&engine.data, "", CWD, &place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(|source| RootError::Bind { place: engine.place, source })
}

/// Tells whether there is anything except directories.
fn has_files(directory: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() || has_files(&entry.path())? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn engine_data() -> Result<EngineData, RootError> {
    let mut engines = Vec::new();
    for (name, place) in ENGINES {
        let path = Path::new(OVERLAY).join("data").join(name);
        make(&path)?;
        let is_used = fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some());
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let data = rustix::mount::open_tree(CWD, &path, flags)
            .map_err(|source| RootError::Bind { place, source })?;
        engines.push(Engine { place, data, is_used });
    }
    Ok(EngineData(engines))
}

/// Makes a directory in the root, replacing a file, or a link to the root itself.
fn make_inside(root: &Path, place: &str) -> Result<PathBuf, RootError> {
    let make = || {
        let made = rooted::make_directory_instead(root, Path::new(place))?;
        if made != root {
            return Ok(made);
        }
        fs::remove_file(root.join(place.trim_start_matches('/')))?;
        rooted::make_directory(root, Path::new(place))
    };
    make().map_err(|source| RootError::MakeDirectory { path: place.into(), source })
}

fn device<'a>(drives: &'a [Drive], role: &Role) -> Option<&'a Path> {
    drives.iter().find(|drive| drive.role == *role).map(|drive| drive.device.as_path())
}

fn make(path: &Path) -> Result<(), RootError> {
    make_directory(path).map_err(|source| RootError::MakeDirectory { path: path.to_owned(), source })
}
