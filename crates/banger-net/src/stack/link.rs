//! The guest's device: frames that come from it, and frames that go to it.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, ioctl_fionbio, read, writev};

use super::frames::Frames;

const LENGTH_BYTES: usize = 4;

/// Longest frame that a tap gives.
const TAP_BYTES_MAX: usize = 128 * 1024;

/// Answers that wait until the device takes frames again. More are lost, as on any network.
const WAITING_BYTES_MAX: usize = 128 * 1024;

/// What the machine is attached by.
pub(crate) enum Attached {
    /// Frames in a stream, each behind its length.
    Stream(OwnedFd),
    /// Every read is a frame, every write makes one.
    Tap(OwnedFd),
}

impl AsFd for Attached {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Stream(socket) => socket.as_fd(),
            Self::Tap(tap) => tap.as_fd(),
        }
    }
}

/// What is there to take.
pub(crate) enum Next<'frame> {
    Frame(&'frame [u8]),
    /// Nothing now.
    Empty,
    /// The machine has gone.
    Ended,
}

/// Frames of the guest.
pub(crate) enum Inlet {
    Stream { socket: OwnedFd, frames: Frames },
    Tap { tap: OwnedFd, buffer: Vec<u8> },
}

impl Inlet {
    pub(crate) fn next(&mut self) -> io::Result<Next<'_>> {
        match self {
            Self::Stream { socket, frames } => {
                while !frames.has_next()? {
                    match frames.fill(&*socket) {
                        Ok(0) => return Ok(Next::Ended),
                        Ok(_some) => {}
                        Err(Errno::AGAIN) => return Ok(Next::Empty),
                        Err(Errno::INTR) => {}
                        Err(Errno::CONNRESET) => return Ok(Next::Ended),
                        Err(errno) => return Err(errno.into()),
                    }
                }
                Ok(frames.next()?.map_or(Next::Empty, Next::Frame))
            }
            Self::Tap { tap, buffer } => loop {
                match read(&*tap, &mut *buffer) {
                    Ok(0) => return Ok(Next::Ended),
                    Ok(count) => return Ok(Next::Frame(buffer.get(..count).unwrap_or_default())),
                    Err(Errno::AGAIN) => return Ok(Next::Empty),
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(errno.into()),
                }
            },
        }
    }
}

/// Frames to the guest.
pub(crate) struct Outlet {
    device: Attached,
    /// Of a stream: what it has not taken yet. It begins in the middle of a frame.
    waiting: Vec<u8>,
    is_full: bool,
}

/// Whether a frame that is not sent now is lost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// The sender keeps it and tries again.
    Keeps,
    /// It has to go now.
    None,
}

/// Opens both ways of a device.
pub(crate) fn open(device: Attached) -> io::Result<(Inlet, Outlet)> {
    ioctl_fionbio(&device, true)?;
    let copy = device.as_fd().try_clone_to_owned()?;
    let inlet = match &device {
        Attached::Stream(_) => Inlet::Stream { socket: copy, frames: Frames::new() },
        Attached::Tap(_) => Inlet::Tap { tap: copy, buffer: vec![0; TAP_BYTES_MAX] },
    };
    Ok((inlet, Outlet { device, waiting: Vec::new(), is_full: false }))
}

impl Outlet {
    /// Sends a frame. `false`: the device is full.
    pub(crate) fn send(
        &mut self,
        header: &[u8],
        payload: [&[u8]; 2],
        patience: Patience,
    ) -> io::Result<bool> {
        match &self.device {
            Attached::Tap(tap) => {
                let [first, second] = payload;
                match writev(tap, &[IoSlice::new(header), IoSlice::new(first), IoSlice::new(second)]) {
                    Err(Errno::AGAIN) => {
                        self.is_full = true;
                        Ok(false)
                    }
                    // A frame that the kernel does not take is a lost frame, as on any network.
                    Ok(_) | Err(Errno::INTR | Errno::INVAL | Errno::NOBUFS | Errno::IO) => Ok(true),
                    Err(errno) => Err(errno.into()),
                }
            }
            Attached::Stream(_) => self.send_in_stream(header, payload, patience),
        }
    }

    fn send_in_stream(&mut self, header: &[u8], payload: [&[u8]; 2], patience: Patience) -> io::Result<bool> {
        let Attached::Stream(socket) = &self.device else { return Ok(true) };
        let [first, second] = payload;
        let length = u32::try_from(header.len() + first.len() + second.len()).map_err(io::Error::other)?;
        let length = length.to_be_bytes();
        let parts = [&length[..], header, first, second];
        let mut written = 0;
        if self.waiting.is_empty() {
            written = match writev(socket, &parts.map(IoSlice::new)) {
                Ok(written) => written,
                Err(Errno::AGAIN | Errno::INTR) => 0,
                Err(errno) => return Err(errno.into()),
            };
            if written == LENGTH_BYTES + header.len() + first.len() + second.len() {
                return Ok(true);
            }
        }
        self.is_full = true;
        if written == 0 && (patience == Patience::Keeps || self.waiting.len() > WAITING_BYTES_MAX) {
            return Ok(false);
        }
        for part in parts {
            let begin = written.min(part.len());
            self.waiting.extend(part.get(begin..).unwrap_or_default());
            written -= begin;
        }
        Ok(true)
    }

    /// Tells whether frames have to wait.
    pub(crate) const fn is_full(&self) -> bool {
        self.is_full
    }

    /// The device may take frames again. `false`: not yet.
    pub(crate) fn go_on(&mut self) -> io::Result<bool> {
        if let Attached::Stream(socket) = &self.device {
            while !self.waiting.is_empty() {
                match rustix::io::write(socket, &self.waiting) {
                    Ok(count) => drop(self.waiting.drain(..count)),
                    Err(Errno::AGAIN) => return Ok(false),
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
        }
        self.is_full = false;
        Ok(true)
    }
}

impl AsFd for Outlet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}
