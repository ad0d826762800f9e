//! The process of a machine's network: it stands between what the machine is attached by and passt.

use std::io::{self, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Child;

use banger_model::NetworkAttachment;
use banger_sys::log_guard::keep_short;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::gate::{self, Inward, Outward};
use super::host_addresses::HostAddresses;
use super::one_at_a_time::OneAtATime;
use super::stream::{self, Frames};
use super::{handshake, tap};
use crate::user_network::passt;
use crate::user_network::sockets::make_room;

/// Plays the network of the machine that is handed over by the socket on stdin, until the machine or passt has gone.
///
/// # Errors
/// When the host's addresses cannot be read, passt cannot be started, or it ended before the machine.
pub(crate) fn run(attachment: NetworkAttachment, passt: &Path, directory: &Path) -> io::Result<()> {
    let giver = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (outward, inward) = gate::open(HostAddresses::watch()?);
    let (network, passt) = passt::spawn(passt, directory)?;
    std::thread::Builder::new().name("passt".to_owned()).spawn(move || end_with(passt))?;
    let directory = directory.to_owned();
    std::thread::Builder::new().name("logs".to_owned()).spawn(move || keep_short(&directory))?;
    let mut received = receive(&giver)?.into_iter();
    match (attachment, received.next(), received.next()) {
        (_, None, _) => Ok(()),
        (NetworkAttachment::Stream, Some(machine), _) => {
            let machine = UnixStream::from(machine);
            make_room(&machine)?;
            stand_between(&machine, &network, outward, &inward)
        }
        (NetworkAttachment::Tap, Some(tap), Some(machine)) => {
            tap::stand_between(&machine, tap, network, outward, inward)
        }
        (NetworkAttachment::Tap, Some(_tap), None) => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "a tap came without its machine's process"))
        }
    }
}

/// Ends this process when passt has ended: its socket alone would not tell while the machine is waited for.
fn end_with(mut passt: Child) {
    match passt.wait() {
        Ok(status) => eprintln!("passt has ended: {status}"),
        Err(error) => eprintln!("cannot wait for passt: {error}"),
    }
    std::process::exit(1);
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

fn stand_between(
    machine: &UnixStream,
    network: &UnixStream,
    outward: Outward,
    inward: &Inward,
) -> io::Result<()> {
    let passt = OneAtATime::new(network.try_clone()?)?;
    std::thread::scope(|threads| {
        let (watcher, ender) = handshake::watch();
        threads.spawn(|| ender.run(|answer| passt.put(answer)));
        let in_thread = threads.spawn(move || {
            let carried = carry_in(network, machine, inward, &watcher);
            end(machine, network);
            carried
        });
        let carried = carry_out(machine, &passt, outward);
        end(machine, network);
        carried.and(in_thread.join().unwrap_or_else(|_panic| Err(io::Error::other("the way in failed"))))
    })
}

/// Wakes the other way too. An end that is closed already is fine.
fn end(machine: &UnixStream, network: &UnixStream) {
    for socket in [machine, network] {
        let _ = socket.shutdown(Shutdown::Both);
    }
}

fn carry_out(machine: &UnixStream, passt: &OneAtATime, mut gate: Outward) -> io::Result<()> {
    let mut frames = Frames::new();
    while frames.fill(machine)? {
        while let Some(frame) = frames.next()? {
            if let Some(frame) = gate.pass(frame) {
                passt.put(frame)?;
            }
        }
    }
    Ok(())
}

fn carry_in(
    network: &UnixStream,
    mut machine: &UnixStream,
    gate: &Inward,
    handshakes: &handshake::Watcher,
) -> io::Result<()> {
    let mut frames = Frames::new();
    let mut allowed = Vec::new();
    while frames.fill(network)? {
        while let Some(frame) = frames.next()? {
            if let Some(frame) = gate.pass(frame) {
                stream::append(&mut allowed, frame)?;
                handshakes.see(frame);
            }
        }
        machine.write_all(&allowed)?;
        allowed.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;

    use banger_sys::socket::hand_over;

    use super::super::frame::tests::{GUEST, tcp};
    use super::*;

    const WORLD: [u8; 4] = [198, 51, 100, 1];

    fn with_length(frame: &[u8]) -> Vec<u8> {
        let mut stream = Vec::new();
        stream::append(&mut stream, frame).unwrap();
        stream
    }

    #[test]
    fn the_end_of_one_side_is_the_end_of_both() {
        let (machine, gate_machine) = UnixStream::pair().unwrap();
        let (network, gate_network) = UnixStream::pair().unwrap();
        let (outward, inward) = gate::open(HostAddresses::watch().unwrap());
        let gate = std::thread::spawn(move || stand_between(&gate_machine, &gate_network, outward, &inward));
        let (good, bad) = (tcp(GUEST, 4000, (WORLD, 80), 2), tcp(GUEST, 4000, ([127, 0, 0, 1], 80), 2));
        for frame in [&bad, &good, &bad] {
            (&machine).write_all(&with_length(frame)).unwrap();
        }
        let mut seen = vec![0; good.len() + 4];
        (&network).read_exact(&mut seen).unwrap();
        assert_eq!(seen, with_length(&good));
        let answer = tcp(WORLD.into(), 80, (GUEST.octets(), 4000), 0x12);
        (&network).write_all(&with_length(&answer)).unwrap();
        let mut back = vec![0; answer.len() + 4];
        (&machine).read_exact(&mut back).unwrap();
        assert_eq!(back, with_length(&answer));
        let mut acknowledged = [0; 4 + 54];
        (&network).read_exact(&mut acknowledged).unwrap();
        assert_eq!(acknowledged[4 + 47], 16, "the handshake is ended before the guest says so");
        drop(machine);
        let mut seen = Vec::new();
        (&network).read_to_end(&mut seen).unwrap();
        assert!(seen.is_empty(), "{seen:?}");
        gate.join().unwrap().unwrap();
    }

    #[test]
    fn what_is_handed_over_is_received_and_a_machine_that_never_comes_is_nothing() {
        let (giver, gate) = UnixStream::pair().unwrap();
        let (mut one, other) = UnixStream::pair().unwrap();
        let process = File::open("/dev/null").unwrap();
        hand_over(&giver, &[other.as_fd(), process.as_fd()]).unwrap();
        let mut received = receive(&gate).unwrap();
        assert_eq!(received.len(), 2);
        (&UnixStream::from(received.remove(0))).write_all(b"frame").unwrap();
        let mut text = [0; 5];
        one.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"frame");
        drop(giver);
        assert!(receive(&gate).unwrap().is_empty());
    }
}
