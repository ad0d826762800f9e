//! Begins a machine's network.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use banger_model::NetworkAttachment;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::confine::confine;
use super::steward::Steward;
use crate::control::Rules;
use crate::reach::{HostAddresses, Reach};
use crate::stack::{Attached, Parts, run};
use crate::user_network::sockets::make_room;

/// Descriptors that are no connections.
const OWN_DESCRIPTORS: u64 = 64;

/// Plays the network of the machine that is handed over by the socket on stdin, until the machine has gone.
///
/// # Errors
/// When the host's addresses cannot be read, or the machine's device fails.
#[expect(unsafe_code, reason = "an inherited descriptor is known by its number only")]
pub(crate) fn start(
    attachment: NetworkAttachment,
    control: RawFd,
    directory: &Path,
    rules: &Rules,
) -> io::Result<()> {
    // SAFETY: the launcher has handed the descriptor over under this number, and nobody else here uses it.
    let control = unsafe { OwnedFd::from_raw_fd(control) };
    let mut steward = Steward::split_off(directory)?;
    let giver = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let reach = Reach::new(HostAddresses::watch()?, rules);
    let descriptors_max = raise_descriptor_limit();
    let mut received = receive(&giver)?.into_iter();
    let (device, machine) = match (attachment, received.next(), received.next()) {
        (_, None, _) => return Ok(()),
        (NetworkAttachment::Stream, Some(machine), _) => {
            let machine = UnixStream::from(machine);
            make_room(&machine)?;
            (Attached::Stream(machine.into()), None)
        }
        (NetworkAttachment::Tap, Some(tap), Some(machine)) => (Attached::Tap(tap), Some(machine)),
        (NetworkAttachment::Tap, Some(_tap), None) => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a tap came without its machine's process",
            ));
        }
    };
    confine()?;
    let naming = Box::new(move || steward.naming());
    run(Parts { device, machine, reach, naming, control, descriptors_max })
}

/// Allows as many descriptors as there may be, and returns how many connections that is.
fn raise_descriptor_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    // A limit that cannot be raised stays.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let current = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(current.saturating_sub(OWN_DESCRIPTORS) / 4 * 3).unwrap_or(usize::MAX)
}

/// Waits for what the machine is attached by. Nothing comes when the machine never does.
fn receive(giver: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut message = RecvAncillaryBuffer::new(&mut space);
    recvmsg(giver, &mut [IoSliceMut::new(&mut byte)], &mut message, RecvFlags::CMSG_CLOEXEC)?;
    let mut received = Vec::new();
    for part in message.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = part {
            received.extend(descriptors);
        }
    }
    Ok(received)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Write as _};

    use banger_sys::socket::hand_over;

    use super::*;

    #[test]
    fn what_is_handed_over_is_received_and_a_machine_that_never_comes_is_nothing() {
        let (giver, network) = UnixStream::pair().unwrap();
        let (mut one, other) = UnixStream::pair().unwrap();
        let process = File::open("/dev/null").unwrap();
        hand_over(&giver, &[other.as_fd(), process.as_fd()]).unwrap();
        let mut received = receive(&network).unwrap();
        assert_eq!(received.len(), 2);
        (&UnixStream::from(received.remove(0))).write_all(b"frame").unwrap();
        let mut text = [0; 5];
        one.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"frame");
        drop(giver);
        assert!(receive(&network).unwrap().is_empty());
    }
}
