//! A door for the fuzz target `guest_frames` to what takes the frames of a guest. Only there under `cfg(fuzzing)`, where every
//! checksum is right.

use std::os::unix::net::UnixStream;

use super::link::{self, Attached};
use super::shared::Shared;
use super::switch::Switch;
use crate::reach::Reach;
use crate::wire::ethernet::{self, EtherType};

const GUEST_MAC: [u8; 6] = [0x52, 0x54, 0, 1, 2, 3];
const DESCRIPTORS_MAX: usize = 8;

/// Takes frames as a guest sends them: each is preceded by its kind and its length. There is one connection into the guest,
/// and everything outside is closed.
pub fn take_frames(bytes: &[u8]) {
    let (Ok((device, guest)), Ok((socket, peer)), Some(reach)) =
        (UnixStream::pair(), UnixStream::pair(), Reach::of_nothing())
    else {
        return;
    };
    let _ = (guest.set_nonblocking(true), socket.set_nonblocking(true), peer.set_nonblocking(true));
    let Ok((_inlet, outlet)) = link::open(Attached::Stream(device.into())) else { return };
    let Ok(shared) = Shared::new(outlet) else { return };
    let mut switch = Switch::new(shared, reach, Box::new(|| None), DESCRIPTORS_MAX);
    switch.call_for_a_test(socket.into());
    let mut rest = bytes;
    while let Some(([kind, length], behind)) = rest.split_first_chunk::<2>() {
        let (payload, behind) = behind.split_at(behind.len().min((*length).into()));
        rest = behind;
        let ether_type = match kind % 4 {
            0 => EtherType::Arp,
            1 | 2 => EtherType::Ipv4,
            _ => EtherType::Ipv6,
        };
        let header = ethernet::header(GUEST_MAC, GUEST_MAC, ether_type);
        switch.take(&[&header[..], payload].concat());
        let _ = std::io::Write::write(&mut &peer, &[7; 100]);
        let _ = std::io::Read::read(&mut &peer, &mut [0; 4096]);
        let _ = std::io::Read::read(&mut &guest, &mut [0; 4096]);
        switch.change_for_a_test();
        let _ = switch.finish();
    }
}
