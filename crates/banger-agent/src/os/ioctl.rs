//! Three ioctls of the kernel: grow a mounted ext4, add entropy, reseed the random generator.
#![allow(
    unsafe_code,
    reason = "ioctl(2) takes an untyped argument; each call stands alone and names its type"
)]

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

/// `_IOW('f', 16, __u64)`.
const EXT4_IOC_RESIZE_FS: libc::c_ulong = 0x4008_6610;
/// `_IOW('R', 3, int[2])`.
const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;
/// `_IO('R', 7)`.
const RNDRESEEDCRNG: libc::c_ulong = 0x5207;

const SEED_BYTES_MAX: usize = 256;

/// Grows the mounted ext4 file system of `directory` to `blocks` blocks.
pub(crate) fn resize_ext4(directory: impl AsFd, blocks: u64) -> io::Result<()> {
    // SAFETY: the descriptor is open for the whole call; the kernel reads one u64 behind the pointer.
    check(unsafe {
        libc::ioctl(directory.as_fd().as_raw_fd(), EXT4_IOC_RESIZE_FS, std::ptr::from_ref(&blocks))
    })
}

/// Mixes `seed` into the kernel's random generator, credits it, and makes the generator use it at once.
pub(crate) fn add_entropy(random: impl AsFd, seed: &[u8]) -> io::Result<()> {
    #[repr(C)]
    struct PoolInfo {
        entropy_bits: libc::c_int,
        bytes: libc::c_int,
        buffer: [u8; SEED_BYTES_MAX],
    }
    let mut info = PoolInfo { entropy_bits: 0, bytes: 0, buffer: [0; SEED_BYTES_MAX] };
    for (to, from) in info.buffer.iter_mut().zip(seed) {
        *to = *from;
        info.bytes += 1;
        info.entropy_bits += 8;
    }
    let raw = random.as_fd().as_raw_fd();
    // SAFETY: `info` is laid out as `struct rand_pool_info`, and `bytes` is at most the length of its buffer.
    check(unsafe { libc::ioctl(raw, RNDADDENTROPY, std::ptr::from_ref(&info)) })?;
    // SAFETY: this request takes no argument.
    check(unsafe { libc::ioctl(raw, RNDRESEEDCRNG) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
