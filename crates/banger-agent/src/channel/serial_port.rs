//! The virtio-serial port of the channel as an async stream.
//!
//! The port reads as ended while no host is connected, and becomes readable again with the next host. The runtime never
//! clears a hang-up from its own readiness, so the port is registered with an edge-triggered epoll of its own, and the
//! runtime watches that one.

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustix::{
    event::{Timespec, epoll},
    fs::{Mode, OFlags},
    io::Errno,
};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, unix::AsyncFd};

use crate::os::async_fd;

/// Finds the device of the port with this name.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let ports = fs::read_dir("/sys/class/virtio-ports").ok()?;
    ports
        .flatten()
        .find(|port| fs::read_to_string(port.path().join("name")).is_ok_and(|found| found.trim_end() == name))
        .map(|port| Path::new("/dev").join(port.file_name()))
}

/// An open port, or any descriptor that behaves like one.
#[derive(Debug)]
pub struct SerialPort {
    port: OwnedFd,
    events: AsyncFd<OwnedFd>,
    may_read: bool,
    may_write: bool,
}

impl SerialPort {
    /// Opens the device.
    pub fn open(device: &Path) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Self::new(rustix::fs::open(device, flags, Mode::empty())?)
    }

    /// Takes a non-blocking descriptor.
    pub fn new(port: OwnedFd) -> io::Result<Self> {
        let events = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wanted = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        epoll::add(&events, &port, epoll::EventData::new_u64(0), wanted)?;
        let events = async_fd::register(events, Interest::READABLE)?;
        Ok(Self { port, events, may_read: true, may_write: true })
    }

    /// Waits for the next event of the port: bytes, space, or a host that connected or left.
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut guard = ready!(self.events.poll_read_ready(context))?;
        let mut events = Vec::with_capacity(1);
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(guard.get_inner().as_fd(), rustix::buffer::spare_capacity(&mut events), Some(&now))
        {
            Ok(0) => {
                guard.clear_ready();
                Poll::Ready(Ok(()))
            }
            Ok(_) => {
                self.may_read = true;
                self.may_write = true;
                // Reader and writer share one event: whoever consumes it wakes the other to check again.
                context.waker().wake_by_ref();
                Poll::Ready(Ok(()))
            }
            Err(Errno::INTR) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

impl AsyncRead for SerialPort {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            while !this.may_read {
                ready!(this.poll_event(context))?;
            }
            match rustix::io::read(&this.port, buffer.initialize_unfilled()) {
                Ok(count) => {
                    // A port at its end stays there until the next event.
                    this.may_read = count > 0;
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(Errno::AGAIN) => this.may_read = false,
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}

impl AsyncWrite for SerialPort {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            while !this.may_write {
                ready!(this.poll_event(context))?;
            }
            match rustix::io::write(&this.port, bytes) {
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(Errno::AGAIN) => this.may_write = false,
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
