//! The pager: hands a restored guest the pages of its memory as it touches them (userfaultfd), in a process of its own
//! that lives as long as the machine.
//!
//! Firecracker connects to the pager's socket and sends where it has put the guest's memory, with the descriptor that
//! tells of touched pages. A guest that gives memory back (balloon) gets zeros there from then on. Without its pager a
//! guest stands still for ever at the first page that it lacks: whoever holds the machine ends it then.
//! Source: `userfaultfd(2)`, `ioctl_userfaultfd(2)`, and `docs/snapshotting/handling-page-faults-on-snapshot-resume.md` of
//! Firecracker 1.16.1.

mod events;
mod handshake;
mod ioctls;
mod memory;

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, FromRawFd as _, RawFd};
use std::os::unix::net::UnixListener;

use rustix::event::{PollFd, PollFlags, poll};

use events::Event;
use memory::GuestMemory;

/// What this program's command line begins with when it plays the pager. The number of the inherited socket that
/// Firecracker connects to follows.
pub(crate) const ARGUMENT: &str = "pager";

/// Plays the pager. Its standard input is a socket that closes with the machine, its standard output the memory file.
pub(crate) fn run(listener: &OsStr) -> io::Result<()> {
    let lifeline = io::stdin();
    let memory = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let number =
        listener.to_str().and_then(|number| number.parse().ok()).ok_or(io::ErrorKind::InvalidInput)?;
    let listener = inherited_listener(number);
    let Some(stream) = or_end(&lifeline, &listener, || listener.accept())? else { return Ok(()) };
    let stream = stream.0;
    let Some((regions, faults)) = or_end(&lifeline, &stream, || handshake::receive(&stream))? else {
        return Ok(());
    };
    let mut guest = GuestMemory::new(memory, regions, faults.as_fd().try_clone_to_owned()?);
    while let Some(events) = or_end(&lifeline, &faults, || events::read(&faults))? {
        for event in events {
            match event {
                Event::Touched(address) => guest.hand_over(address)?,
                Event::Removed { begin, end } => guest.forget(begin, end),
            }
        }
    }
    Ok(())
}

#[expect(unsafe_code, reason = "an inherited descriptor is known by its number only")]
fn inherited_listener(number: RawFd) -> UnixListener {
    // SAFETY: the driver hands the listener over under this number, and nobody else here uses it.
    unsafe { UnixListener::from_raw_fd(number) }
}

/// Waits until the descriptor has something, then does `act`. `None`: the machine has ended.
fn or_end<T>(
    lifeline: &io::Stdin,
    descriptor: &impl AsFd,
    act: impl FnOnce() -> io::Result<T>,
) -> io::Result<Option<T>> {
    let mut watched = [PollFd::new(lifeline, PollFlags::IN), PollFd::new(descriptor, PollFlags::IN)];
    loop {
        match poll(&mut watched, None) {
            Err(rustix::io::Errno::INTR) => continue,
            polled => polled?,
        };
        let [lifeline, descriptor] = &watched;
        if !lifeline.revents().is_empty() {
            return Ok(None);
        }
        if !descriptor.revents().is_empty() {
            return act().map(Some);
        }
    }
}
