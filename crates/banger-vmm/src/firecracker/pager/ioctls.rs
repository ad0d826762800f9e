//! The three requests that fill a page.
//! Source: `<linux/userfaultfd.h>`, `ioctl_userfaultfd(2)`.
#![allow(unsafe_code, reason = "ioctl(2) takes an untyped argument; each call names its type")]

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

/// `_IOR(0xAA, 2, struct uffdio_range)`.
const UFFDIO_WAKE: libc::c_ulong = 0x8010_aa02;
/// `_IOWR(0xAA, 3, struct uffdio_copy)`.
const UFFDIO_COPY: libc::c_ulong = 0xc028_aa03;
/// `_IOWR(0xAA, 4, struct uffdio_zeropage)`.
const UFFDIO_ZEROPAGE: libc::c_ulong = 0xc020_aa04;

/// `struct uffdio_range`.
#[repr(C)]
struct Range {
    start: u64,
    bytes: u64,
}

/// `struct uffdio_copy`.
#[repr(C)]
struct Copy {
    to: u64,
    from: u64,
    bytes: u64,
    mode: u64,
    copied: i64,
}

/// `struct uffdio_zeropage`.
#[repr(C)]
struct Zero {
    range: Range,
    mode: u64,
    zeroed: i64,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// The first page, at least, is there, and whoever waited for it goes on.
    Done,
    /// The first page was there already.
    AlreadyThere,
    /// The process changes its memory: its events have to be read first.
    Later,
    /// The process has gone.
    Gone,
}

/// Fills pages from `content`, up to the first that is there already.
pub(super) fn copy(faults: impl AsFd, to: u64, content: &[u8]) -> io::Result<Filled> {
    let mut request =
        Copy { to, from: content.as_ptr() as u64, bytes: content.len() as u64, mode: 0, copied: 0 };
    // SAFETY: the kernel reads `content`, which outlives the call, and writes to the other process and to `request`.
    let result = unsafe { libc::ioctl(faults.as_fd().as_raw_fd(), UFFDIO_COPY, &raw mut request) };
    judge(result, request.copied)
}

/// Fills one page with zeros.
pub(super) fn zero(faults: impl AsFd, at: u64, page_bytes: u64) -> io::Result<Filled> {
    let mut request = Zero { range: Range { start: at, bytes: page_bytes }, mode: 0, zeroed: 0 };
    // SAFETY: the kernel writes to the other process and to `request`.
    let result = unsafe { libc::ioctl(faults.as_fd().as_raw_fd(), UFFDIO_ZEROPAGE, &raw mut request) };
    judge(result, request.zeroed)
}

/// Lets those go on that wait for a page.
pub(super) fn wake(faults: impl AsFd, at: u64, page_bytes: u64) -> io::Result<()> {
    let mut range = Range { start: at, bytes: page_bytes };
    // SAFETY: the kernel reads `range`.
    let result = unsafe { libc::ioctl(faults.as_fd().as_raw_fd(), UFFDIO_WAKE, &raw mut range) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn judge(result: libc::c_int, done_bytes: i64) -> io::Result<Filled> {
    // A part that was done is told as EAGAIN, with its length.
    if result == 0 || done_bytes > 0 {
        return Ok(Filled::Done);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EEXIST) => Ok(Filled::AlreadyThere),
        Some(libc::EAGAIN) => Ok(Filled::Later),
        Some(libc::ESRCH) => Ok(Filled::Gone),
        _ => Err(error),
    }
}
