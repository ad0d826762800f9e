//! `SIGTERM` with its sender. An init that shuts down sends it to every process at once, including this one. From any other
//! sender it is ignored, because the host's only way into the guest must not be closed by mistake.
#![allow(unsafe_code, reason = "only a handler with `SA_SIGINFO` sees who sent a signal")]

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
    sync::atomic::{AtomicI32, Ordering},
};

use rustix::pipe::PipeFlags;
use tokio::io::{Interest, unix::AsyncFd};

use super::async_fd;

const INIT: libc::pid_t = 1;

/// The end of a pipe to which the handler writes; -1 before it exists.
static WAKER: AtomicI32 = AtomicI32::new(-1);

/// Receives `SIGTERM` from the first process. There can be only one per process.
#[derive(Debug)]
pub(crate) struct SignalFromInit {
    woken: AsyncFd<OwnedFd>,
    _waker: OwnedFd,
}

impl SignalFromInit {
    /// Installs the handler of `SIGTERM`.
    pub(crate) fn listen() -> io::Result<Self> {
        let (woken, waker) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let woken = async_fd::register(woken, Interest::READABLE)?;
        WAKER.store(waker.as_raw_fd(), Ordering::Relaxed);
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_signal;
        // SAFETY: all zeros is a valid `sigaction`; the handler calls nothing but write(2), which signal-safety(7) allows.
        let installed = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as libc::sighandler_t;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            libc::sigaction(libc::SIGTERM, &raw const action, std::ptr::null_mut())
        };
        if installed < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { woken, _waker: waker })
    }

    /// Waits until the first process has sent the signal.
    pub(crate) async fn heard(&self) -> io::Result<()> {
        self.woken.readable().await.map(drop)
    }
}

extern "C" fn on_signal(_: libc::c_int, information: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel hands over a valid structure, in which a signal of kill(2) has its sender.
    let sender = unsafe { (*information).si_pid() };
    if sender != INIT {
        return;
    }
    // SAFETY: writes one byte of a constant; a full pipe has woken the reader already.
    unsafe {
        libc::write(WAKER.load(Ordering::Relaxed), c"x".as_ptr().cast(), 1);
    }
}
