//! Hands frames to passt so that it never has two of them in one read.
//!
//! The socket is a stream, and passt 2023-03-09 takes what one read gives for whole frames: a read that ends behind a
//! frame's length makes it lose step, and it then takes what a guest wrote for a length; two segments of one connection in
//! a read make it turn in a circle. Two things together keep one frame in each read:
//!
//! - The next frame is not written before the last one was read. passt hears of a frame when it is written, not of those
//!   that wait already, so they must not wait.
//! - A descriptor goes with every frame, for nothing but this: a read ends behind the bytes that a descriptor came with
//!   (`unix(7)`). Without it passt's read, still under way as the next frame is written, would take both.
//!
//! The kernel keeps a write in one piece up to [`FRAME_BYTES_MAX`].

use std::fs::File;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::user_network::subnet::FRAME_BYTES_MAX;

/// What the kernel counts of a socket's queue in the moment in which it tells that the queue is empty.
const EMPTY_BYTES: libc::c_int = 1;

/// passt's end of the socket, as the gate holds it.
pub(super) struct OneAtATime {
    socket: UnixStream,
    /// Tells of every read.
    reads: OwnedFd,
    /// Goes with every frame; whoever gets it can do nothing with it.
    marker: File,
    /// Held by whoever puts a frame, until it is written: both ways of the gate do.
    turn: Mutex<()>,
}

impl OneAtATime {
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        let reads = epoll::create(CreateFlags::CLOEXEC)?;
        // An event for each time that room is made, not for as long as there is room.
        epoll::add(&reads, &socket, EventData::new_u64(0), EventFlags::OUT | EventFlags::ET)?;
        Ok(Self { socket, reads, marker: File::open("/dev/null")?, turn: Mutex::default() })
    }

    /// Writes a frame when the last one was read.
    pub(super) fn put(&self, frame: &[u8]) -> io::Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.wait_until_read()?;
        self.send(frame)
    }

    fn wait_until_read(&self) -> io::Result<()> {
        let mut events = [MaybeUninit::uninit()];
        while unread_bytes(&self.socket)? > EMPTY_BYTES {
            match epoll::wait(&self.reads, &mut events, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn send(&self, frame: &[u8]) -> io::Result<()> {
        debug_assert!(frame.len() <= FRAME_BYTES_MAX, "the gate has refused what is longer");
        let length = u32::try_from(frame.len()).map_err(io::Error::other)?.to_be_bytes();
        let parts = [IoSlice::new(&length), IoSlice::new(frame)];
        let marker = [self.marker.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut message = SendAncillaryBuffer::new(&mut space);
        if !message.push(SendAncillaryMessage::ScmRights(&marker)) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        match sendmsg(&self.socket, &parts, &mut message, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == length.len() + frame.len() => Ok(()),
            Ok(_cut) => Err(io::ErrorKind::WriteZero.into()),
            // This user's programs have too many descriptors under way: a lost frame, as on any network.
            Err(Errno::TOOMANYREFS) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Returns the memory that the socket's unread bytes take.
#[expect(unsafe_code, reason = "ioctl(2) takes an untyped argument")]
fn unread_bytes(socket: &UnixStream) -> io::Result<libc::c_int> {
    let mut count: libc::c_int = 0;
    // SAFETY: `SIOCOUTQ`, which has the number of `TIOCOUTQ`, writes an `int`.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) } {
        0 => Ok(count),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn with_length(frame: &[u8]) -> Vec<u8> {
        [&u32::try_from(frame.len()).unwrap().to_be_bytes(), frame].concat()
    }

    fn pair() -> (OneAtATime, UnixStream) {
        let (ours, passts) = UnixStream::pair().unwrap();
        (OneAtATime::new(ours).unwrap(), passts)
    }

    #[test]
    fn a_read_ends_behind_a_frame_though_more_wait() {
        let (writer, mut passt) = pair();
        let mut buffer = vec![0; 1 << 20];
        for frame in [&b"one"[..], b"two", b"three"] {
            writer.send(frame).unwrap();
        }
        for frame in [&b"one"[..], b"two", b"three"] {
            let count = passt.read(&mut buffer).unwrap();
            assert_eq!(buffer[..count], with_length(frame));
        }
    }

    #[test]
    fn a_frame_waits_until_the_last_one_was_read() {
        let (writer, mut passt) = pair();
        writer.put(b"one").unwrap();
        assert!(unread_bytes(&writer.socket).unwrap() > EMPTY_BYTES);
        let mut buffer = [0; 100];
        let second = std::thread::spawn(move || writer.put(b"two").map(|()| writer));
        assert_eq!(passt.read(&mut buffer).unwrap(), 7);
        let writer = second.join().unwrap().unwrap();
        assert!(unread_bytes(&writer.socket).unwrap() > EMPTY_BYTES);
        assert_eq!(passt.read(&mut buffer).unwrap(), 7);
        assert_eq!(unread_bytes(&writer.socket).unwrap(), 0);
    }

    #[test]
    fn every_read_is_one_frame_from_the_shortest_to_the_longest() {
        let (writer, mut passt) = pair();
        let lengths: Vec<usize> = (0..2000)
            .map(|number| (number * 7919) % (FRAME_BYTES_MAX - 13) + 14)
            .chain([FRAME_BYTES_MAX; 50])
            .collect();
        let expected = lengths.clone();
        let writing = std::thread::spawn(move || {
            let frame = vec![0xaa; FRAME_BYTES_MAX];
            for length in lengths {
                writer.put(&frame[..length]).unwrap();
            }
        });
        let mut buffer = vec![0; 1 << 20];
        for length in expected {
            assert_eq!(passt.read(&mut buffer).unwrap(), length + 4);
        }
        writing.join().unwrap();
    }

    #[test]
    fn nobody_waits_for_a_reader_that_has_gone() {
        let (writer, passt) = pair();
        writer.put(b"one").unwrap();
        drop(passt);
        assert!(writer.put(b"two").is_err());
    }
}
