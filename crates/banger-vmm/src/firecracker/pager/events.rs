//! What the kernel tells of the guest's memory.
//! Source: `struct uffd_msg` of `<linux/userfaultfd.h>`: 32 bytes, the event first, its data from byte 8 on.

use std::io;
use std::os::fd::AsFd;

use rustix::io::Errno;

const MESSAGE_BYTES: usize = 32;
const MESSAGES_MAX: usize = 64;

const PAGEFAULT: u8 = 0x12;
const REMOVE: u8 = 0x15;
const UNMAP: u8 = 0x16;

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Somebody waits for the page of this address.
    Touched(u64),
    /// These addresses were given back: they read as zeros from now on.
    Removed { begin: u64, end: u64 },
}

/// Reads what there is; nothing when somebody else was faster.
pub(super) fn read(faults: impl AsFd) -> io::Result<Vec<Event>> {
    let mut buffer = [0; MESSAGE_BYTES * MESSAGES_MAX];
    let count = match rustix::io::read(faults, &mut buffer) {
        Ok(count) => count,
        Err(Errno::AGAIN | Errno::INTR) => return Ok(Vec::new()),
        Err(errno) => return Err(errno.into()),
    };
    Ok(buffer.get(..count).unwrap_or_default().chunks_exact(MESSAGE_BYTES).filter_map(parse).collect())
}

fn parse(message: &[u8]) -> Option<Event> {
    let word = |at: usize| {
        let bytes = message.get(at..at + 8)?.try_into().ok()?;
        Some(u64::from_ne_bytes(bytes))
    };
    match *message.first()? {
        PAGEFAULT => word(16).map(Event::Touched),
        REMOVE | UNMAP => Some(Event::Removed { begin: word(8)?, end: word(16)? }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(event: u8, words: [u64; 2]) -> [u8; MESSAGE_BYTES] {
        let mut message = [0; MESSAGE_BYTES];
        message[0] = event;
        message[8..16].copy_from_slice(&words[0].to_ne_bytes());
        message[16..24].copy_from_slice(&words[1].to_ne_bytes());
        message
    }

    #[test]
    fn the_kernels_messages_are_read() {
        assert_eq!(parse(&message(PAGEFAULT, [1, 0x7000])), Some(Event::Touched(0x7000)));
        let removed = Some(Event::Removed { begin: 0x1000, end: 0x3000 });
        assert_eq!(parse(&message(REMOVE, [0x1000, 0x3000])), removed);
        assert_eq!(parse(&message(0x99, [1, 2])), None);
        assert_eq!(parse(&[]), None);
    }
}
