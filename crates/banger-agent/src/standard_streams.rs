//! The standard streams, which every program takes for granted but a guest without a console lacks: the kernel starts its
//! first process without them if `/dev/console` does not work, as with a kernel that has no virtual terminals (`CONFIG_VT`)
//! and no serial port.
//!
//! Rust's runtime opens `/dev/null` in their place, and aborts the program if that does not exist, long before `main`. So
//! this is called before the runtime, and uses nothing of it.

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, makedev, mkdir, mknodat, open},
    io::{Errno, fcntl_getfd},
    stdio::{stderr, stdin, stdout},
};

const NULL: &str = "/dev/null";

/// Opens `/dev/null` for each standard stream that is closed. If the device does not exist, it is made; if that is not
/// allowed, an open directory takes its place: every read and write of it fails, as on a closed stream.
pub fn open_missing() {
    for stream in [stdin(), stdout(), stderr()] {
        if fcntl_getfd(stream) != Err(Errno::BADF) {
            continue;
        }
        // It gets the lowest free number, because those below this stream's are taken by now.
        if let Ok(opened) = null().or_else(|_| open("/", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())) {
            std::mem::forget(opened);
        }
    }
}

fn null() -> Result<rustix::fd::OwnedFd, Errno> {
    let open_null = || open(NULL, OFlags::RDWR, Mode::empty());
    open_null().or_else(|_| {
        // Both may exist already.
        let _ = mkdir("/dev", Mode::from_raw_mode(0o755));
        let _ = mknodat(CWD, NULL, FileType::CharacterDevice, Mode::from_raw_mode(0o666), makedev(1, 3));
        open_null()
    })
}
