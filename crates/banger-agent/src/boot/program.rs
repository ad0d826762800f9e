//! Keeps the agent's program accessible: its file is in the initramfs, which is out of reach after the switch of the root.

use std::{fs, io, os::fd::OwnedFd, path::Path};

use rustix::{
    fs::CWD,
    mount::{MoveMountFlags, OpenTreeFlags},
};

use crate::{console, respawn};

/// Opens the running program's file. This costs no memory, because the initramfs stays in memory anyway.
pub(super) fn keep() -> io::Result<OwnedFd> {
    let program = fs::read_link("/proc/self/exe")?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    Ok(rustix::mount::open_tree(CWD, program, flags)?)
}

/// Makes the program available at the path where the kernel starts the agent again. Without it the guest still works.
pub(super) fn put_in_reach(program: io::Result<OwnedFd>) {
    let put = || {
        let place = Path::new(respawn::PROGRAM);
        fs::create_dir_all(place.parent().unwrap_or(Path::new("/")))?;
        fs::write(place, "")?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        Ok(rustix::mount::move_mount(program?, "", CWD, place, flags)?)
    };
    if let Err(error) = put() {
        let error: io::Error = error;
        console::error(&error);
    }
}
