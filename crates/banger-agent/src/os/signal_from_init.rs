//! Signals by which a first process tells the agent that the guest shuts down.
//!
//! An init that is not ours sends `SIGTERM` to every process at once, including this one. Ours has no services to stop: it
//! forwards what `poweroff`, `reboot` and `halt` send to a first process, and the agent does the rest. From any other sender
//! the signals are ignored, because the host's only way into the guest must not be closed by mistake.
//! Sources: `init/halt.c` of busybox, `systemd(1)`.
#![allow(unsafe_code, reason = "only a handler with `SA_SIGINFO` sees who sent a signal")]

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
    sync::atomic::{AtomicI32, Ordering},
};

use rustix::pipe::PipeFlags;
use tokio::io::{Interest, unix::AsyncFd};

use super::{async_fd, signal};

const INIT: libc::pid_t = 1;

/// What the agent hears.
pub(crate) const REBOOT: i32 = libc::SIGTERM;
pub(crate) const HALT: i32 = libc::SIGUSR1;
pub(crate) const POWER_OFF: i32 = libc::SIGUSR2;

/// The end of a pipe to which the agent's handler writes; -1 before it exists.
static WAKER: AtomicI32 = AtomicI32::new(-1);

/// The agent's pid, to which the first process forwards signals; 0 before it is known.
static AGENT: AtomicI32 = AtomicI32::new(0);

type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);

/// Receives signals from the first process. There can be only one per process.
#[derive(Debug)]
pub(crate) struct SignalFromInit {
    numbers: AsyncFd<OwnedFd>,
    _waker: OwnedFd,
}

impl SignalFromInit {
    /// Installs the handlers.
    pub(crate) fn listen() -> io::Result<Self> {
        let (numbers, waker) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let numbers = async_fd::register(numbers, Interest::READABLE)?;
        WAKER.store(waker.as_raw_fd(), Ordering::Relaxed);
        [REBOOT, HALT, POWER_OFF].into_iter().try_for_each(|number| install(number, hear))?;
        Ok(Self { numbers, _waker: waker })
    }

    /// Waits for the next signal from the first process; returns its number.
    pub(crate) async fn heard(&self) -> io::Result<i32> {
        let mut number = [0];
        loop {
            let mut guard = self.numbers.readable().await?;
            match rustix::io::read(guard.get_inner(), &mut number) {
                Ok(_) => return Ok(number[0].into()),
                Err(rustix::io::Errno::AGAIN) => guard.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Makes the first process forward to the agent what ends the system. Called again for each new agent.
pub(crate) fn forward_to(agent: u32) -> io::Result<()> {
    AGENT.store(agent.try_into().unwrap_or(0), Ordering::Relaxed);
    let of_systemd = [3, 4, 5].map(signal::real_time);
    let all = [libc::SIGTERM, libc::SIGINT, libc::SIGUSR1, libc::SIGUSR2, libc::SIGPWR]
        .into_iter()
        .chain(of_systemd);
    all.into_iter().try_for_each(|number| install(number, forward))
}

fn install(number: i32, handler: Handler) -> io::Result<()> {
    // SAFETY: all zeros is a valid `sigaction`; the handlers call nothing but write(2) and kill(2), which
    // signal-safety(7) allows.
    let installed = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        libc::sigaction(number, &raw const action, std::ptr::null_mut())
    };
    if installed < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

extern "C" fn hear(number: libc::c_int, information: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid structure, in which a signal of kill(2) has its sender.
    let sender = unsafe { (*information).si_pid() };
    if sender != INIT {
        return;
    }
    let byte = number.to_le_bytes();
    // SAFETY: writes one byte of a local array; a full pipe has woken the reader already.
    unsafe {
        libc::write(WAKER.load(Ordering::Relaxed), byte.as_ptr().cast(), 1);
    }
}

extern "C" fn forward(number: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let agent = AGENT.load(Ordering::Relaxed);
    if agent > 0 {
        // SAFETY: no memory is involved.
        unsafe {
            libc::kill(agent, forwarded(number));
        }
    }
}

/// Returns what the agent is sent for a signal to the first process.
fn forwarded(number: i32) -> i32 {
    match number {
        libc::SIGUSR1 => HALT,
        libc::SIGUSR2 | libc::SIGPWR => POWER_OFF,
        number if number == signal::real_time(3) => HALT,
        number if number == signal::real_time(4) => POWER_OFF,
        _ => REBOOT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_the_system_is_forwarded_as_what_it_means() {
        for (number, meant) in [
            (libc::SIGTERM, REBOOT),
            (libc::SIGINT, REBOOT),
            (libc::SIGUSR1, HALT),
            (libc::SIGUSR2, POWER_OFF),
            (libc::SIGPWR, POWER_OFF),
            (signal::real_time(3), HALT),
            (signal::real_time(4), POWER_OFF),
            (signal::real_time(5), REBOOT),
        ] {
            assert_eq!(forwarded(number), meant, "{number}");
        }
    }
}
