//! The gate of a machine with a tap: every read of the tap is a frame, every write makes one.

use std::fs::File;
use std::io::{self, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::{BUFFER_BYTES, FRAME_BYTES_MAX, HostAddresses, LENGTH_BYTES, may_pass};

/// Stands between until either socket closes. The threads end with the process: a read of a tap cannot be woken.
pub(super) fn stand_between(machine: &UnixStream, network: UnixStream) -> io::Result<()> {
    let Some(tap) = receive_tap(machine)? else { return Ok(()) };
    let tap = File::from(tap);
    start("out", machine, carry_out(tap.try_clone()?, network.try_clone()?, HostAddresses::default()))?;
    start("in", machine, carry_in(network, tap))?;
    wait_for_the_end(machine)
}

/// Starts one way. Its end is the end of the gate.
fn start(
    name: &str,
    machine: &UnixStream,
    carry: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    let machine = machine.try_clone()?;
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            if let Err(error) = carry() {
                eprintln!("network gate: {error}");
            }
            let _ = machine.shutdown(Shutdown::Both);
        })
        .map(drop)
}

fn wait_for_the_end(mut machine: &UnixStream) -> io::Result<()> {
    let mut nothing = [0; 64];
    // Whoever holds the other end has nothing to say.
    while machine.read(&mut nothing)? > 0 {}
    Ok(())
}

/// Waits for the tap. `None`: the machine never came.
fn receive_tap(machine: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut message = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    recvmsg(machine, &mut [IoSliceMut::new(&mut byte)], &mut message, flags)?;
    let tap = message.drain().find_map(|part| match part {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok(tap)
}

fn carry_out(
    mut tap: File,
    mut network: UnixStream,
    mut addresses: HostAddresses,
) -> impl FnOnce() -> io::Result<()> {
    move || {
        let mut buffer = vec![0; LENGTH_BYTES + FRAME_BYTES_MAX];
        loop {
            let frame_place = buffer.get_mut(LENGTH_BYTES..).unwrap_or_default();
            let count = tap.read(frame_place)?;
            if count == 0 {
                return Ok(());
            }
            let frame = frame_place.get(..count).unwrap_or_default();
            if !may_pass(frame, addresses.current()) {
                continue;
            }
            let length = u32::try_from(count).map_err(io::Error::other)?.to_be_bytes();
            if let Some(length_place) = buffer.first_chunk_mut() {
                *length_place = length;
            }
            network.write_all(buffer.get(..LENGTH_BYTES + count).unwrap_or_default())?;
        }
    }
}

fn carry_in(mut network: UnixStream, mut tap: File) -> impl FnOnce() -> io::Result<()> {
    move || {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut waiting = Vec::new();
        loop {
            let count = network.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            waiting.extend_from_slice(buffer.get(..count).unwrap_or_default());
            let taken = each_frame(&waiting, |frame| match tap.write(frame) {
                // A frame that the kernel does not take is a lost frame, as on any network.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => Ok(()),
                written => written.map(drop),
            })?;
            waiting.drain(..taken);
        }
    }
}

/// Calls for each whole frame and returns how many bytes they took.
fn each_frame(bytes: &[u8], mut put: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<usize> {
    let mut rest = bytes;
    while let Some((length, behind)) = rest.split_first_chunk::<LENGTH_BYTES>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is too long"));
        }
        let Some((frame, next)) = behind.split_at_checked(length) else { break };
        put(frame)?;
        rest = next;
    }
    Ok(bytes.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_machine_that_never_comes_ends_the_gate() {
        let (machine, gate) = UnixStream::pair().unwrap();
        let (_passt, network) = UnixStream::pair().unwrap();
        drop(machine);
        stand_between(&gate, network).unwrap();
    }

    proptest! {
        #[test]
        fn frames_come_out_whole_however_the_bytes_are_cut(
            frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..8),
            cut in 0_usize..400,
        ) {
            let stream: Vec<u8> = frames
                .iter()
                .flat_map(|frame| [u32::try_from(frame.len()).unwrap().to_be_bytes().to_vec(), frame.clone()].concat())
                .collect();
            let cut = cut.min(stream.len());
            let mut seen = Vec::new();
            let taken = each_frame(&stream[..cut], |frame| { seen.push(frame.to_vec()); Ok(()) }).unwrap();
            let rest = each_frame(&stream[taken..], |frame| { seen.push(frame.to_vec()); Ok(()) }).unwrap();
            prop_assert_eq!(taken + rest, stream.len());
            prop_assert_eq!(seen, frames);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = each_frame(&bytes, |_frame| Ok(()));
        }
    }
}
