//! Ends the handshake of a guest's connection in the guest's name.
//!
//! passt 2023-03-09 turns in a circle when the far end closes a connection whose guest has not acknowledged the SYN-ACK yet, for
//! the ten seconds that it waits for that: a guest that never does so would keep a core busy. So the gate
//! acknowledges at once. The guest's own acknowledgement follows and brings its window; a guest that wants the connection
//! no more resets it, as it would have.
//! Source: RFC 9293, sections 3.1 and 3.5; RFC 1071.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::frame::{ETHERNET_BYTES, IPV4_BYTES, TCP_ACK, TCP_BYTES, TCP_RST, TCP_SYN, number};

/// Length of a bare acknowledgement.
const ACKNOWLEDGEMENT_BYTES: usize = ETHERNET_BYTES + IPV4_BYTES + TCP_BYTES;

/// What the far end may send before the guest has said how much it takes, in the unit that the guest chose.
const WINDOW: u16 = 512;

const TTL: u8 = 64;
const TCP: u8 = 6;

/// Handshakes under way at most. What is beyond it, the guest ends itself.
const WAITING_MAX: usize = 64;

type Frame = [u8; ACKNOWLEDGEMENT_BYTES];

/// Notices handshakes on the way in.
pub(super) struct Watcher(SyncSender<Frame>);

/// Ends them on the way out. A thread of its own: the way in must not wait for passt, which may be waiting for it.
pub(super) struct Ender(Receiver<Frame>);

/// Makes the two.
pub(super) fn watch() -> (Watcher, Ender) {
    let (sender, receiver) = sync_channel(WAITING_MAX);
    (Watcher(sender), Ender(receiver))
}

impl Watcher {
    /// Looks at a frame that goes to the guest.
    pub(super) fn see(&self, frame: &[u8]) {
        if let Some(answer) = acknowledge(frame) {
            // Full, or the way out is closed.
            let _ = self.0.try_send(answer);
        }
    }
}

impl Ender {
    /// Ends handshakes until their watcher has gone or one cannot be ended.
    pub(super) fn run(self, put: impl Fn(&[u8]) -> io::Result<()>) -> io::Result<()> {
        self.0.iter().try_for_each(|answer| put(&answer))
    }
}

/// Returns the acknowledgement of a frame that is a SYN-ACK for the guest. The frame is one that the gate has let in.
fn acknowledge(frame: &[u8]) -> Option<Frame> {
    let (ethernet, packet) = frame.split_at_checked(ETHERNET_BYTES)?;
    let (header, segment) = packet.split_at_checked(IPV4_BYTES)?;
    let flags = *segment.get(13)?;
    let is_syn_ack = flags & (TCP_SYN | TCP_ACK | TCP_RST) == TCP_SYN | TCP_ACK;
    if header.get(9) != Some(&TCP) || ethernet.get(12..) != Some(&[8, 0]) || !is_syn_ack {
        return None;
    }
    let (far_end, guest) = (header.get(12..16)?, header.get(16..20)?);
    let sequence = u32::from_be_bytes(*segment.get(4..)?.first_chunk()?);
    let ports = [segment.get(2..4)?, segment.get(0..2)?].concat();
    let numbers = [segment.get(8..12)?, &sequence.wrapping_add(1).to_be_bytes()].concat();
    let mut segment = [&ports[..], &numbers, &[0x50, TCP_ACK], &WINDOW.to_be_bytes(), &[0; 4]].concat();
    let length = u16::try_from(TCP_BYTES).unwrap_or_default().to_be_bytes();
    let pseudo_header = [guest, far_end, &[0, TCP], &length].concat();
    let sum = checksum(&[&pseudo_header, &segment]);
    segment.get_mut(16..18)?.copy_from_slice(&sum);
    let length = u16::try_from(IPV4_BYTES + TCP_BYTES).unwrap_or_default().to_be_bytes();
    let mut header = [&[0x45, 0], &length[..], &[0, 0, 0x40, 0, TTL, TCP, 0, 0], guest, far_end].concat();
    let sum = checksum(&[&header]);
    header.get_mut(10..12)?.copy_from_slice(&sum);
    let ethernet = [ethernet.get(6..12)?, ethernet.get(..6)?, &[8, 0]].concat();
    [ethernet, header, segment].concat().try_into().ok()
}

/// The Internet checksum of parts of even length.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| (0..part.len()).step_by(2).filter_map(|at| number(part, at)));
    let mut sum: u32 = words.map(u32::from).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(!sum & 0xffff).unwrap_or_default().to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::{GUEST, tcp, udp};
    use super::super::frame::{self, Acknowledgement, Content, Packet, Transport};
    use super::*;

    const WORLD: [u8; 4] = [198, 51, 100, 1];

    #[test]
    fn a_syn_ack_is_acknowledged_in_the_guests_name() {
        let mut syn_ack = tcp(WORLD.into(), 80, (GUEST.octets(), 4000), TCP_SYN | TCP_ACK);
        syn_ack[38..46].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 7]);
        let answer = acknowledge(&syn_ack).unwrap();
        let said = Acknowledgement { sequence: 7, number: 0, window: WINDOW };
        let transport = Transport::Tcp { source: 4000, destination: 80, acknowledgement: Some(said) };
        let packet = Packet { source: GUEST, destination: WORLD.into(), transport };
        let read = frame::read(&answer).unwrap();
        assert_eq!((read.content, read.length), (Content::Packet(packet), answer.len()));
        assert_eq!((&answer[..6], &answer[6..12]), (&syn_ack[6..12], &syn_ack[..6]));
        // What a checksum covers sums up to nothing when the checksum is in it.
        assert_eq!(checksum(&[&answer[14..34]]), [0, 0]);
        assert_eq!(checksum(&[&answer[26..34], &[0, TCP, 0, 20], &answer[34..]]), [0, 0]);
    }

    #[test]
    fn nothing_else_is() {
        for flags in [TCP_SYN, TCP_ACK, TCP_RST | TCP_ACK, TCP_ACK | 1] {
            assert_eq!(acknowledge(&tcp(WORLD.into(), 80, (GUEST.octets(), 4000), flags)), None, "{flags}");
        }
        assert_eq!(acknowledge(&udp(WORLD.into(), 80, (GUEST.octets(), 4000), &[0x12; 20])), None);
        assert_eq!(acknowledge(&[]), None);
    }
}
