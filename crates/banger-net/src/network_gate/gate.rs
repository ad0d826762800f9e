//! The two ways through the gate: what is judged, and by which rules. No bytes are read or written here.

use std::net::SocketAddrV4;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::acks::Acknowledgements;
use super::closed::may_reach;
use super::flows::{Echoes, Flows};
use super::frame::{self, Content, Frame, Packet, Port, Transport, set_udp_port};
use super::host_addresses::HostAddresses;
use super::prefix::Prefix;
use crate::user_network::subnet::{ADDRESS, FRAME_BYTES_MAX, GATEWAY, NAME_SERVER};

/// What is known of the guest's conversations. Held for one frame.
#[derive(Default)]
struct Conversations {
    acknowledgements: Acknowledgements,
    flows: Flows,
    echoes: Echoes,
}

/// The way out of the guest.
pub(super) struct Outward {
    host: HostAddresses,
    shared: Arc<Mutex<Conversations>>,
}

/// The way into the guest.
pub(super) struct Inward {
    shared: Arc<Mutex<Conversations>>,
}

/// Opens a gate.
pub(super) fn open(host: HostAddresses) -> (Outward, Inward) {
    let shared = Arc::new(Mutex::new(Conversations::default()));
    (Outward { host, shared: shared.clone() }, Inward { shared })
}

impl Outward {
    /// Returns what leaves the guest of a frame.
    pub(super) fn pass<'frame>(&mut self, frame: &'frame mut [u8]) -> Option<&'frame [u8]> {
        let host = self.host.current()?;
        out(frame, host, &mut lock(&self.shared), Instant::now())
    }
}

impl Inward {
    /// Returns what reaches the guest of a frame.
    pub(super) fn pass<'frame>(&self, frame: &'frame mut [u8]) -> Option<&'frame [u8]> {
        to_guest(frame, &mut lock(&self.shared), Instant::now())
    }
}

fn lock(shared: &Mutex<Conversations>) -> MutexGuard<'_, Conversations> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn out<'frame>(
    frame: &'frame mut [u8],
    host: &[Prefix],
    conversations: &mut Conversations,
    now: Instant,
) -> Option<&'frame [u8]> {
    let Frame { length, content } = frame::read(frame).filter(|frame| frame.length <= FRAME_BYTES_MAX)?;
    let frame = frame.get_mut(..length)?;
    match content {
        Content::Arp { is_request, sender, target } => {
            let is_known = target == GATEWAY || target == NAME_SERVER;
            // A guest that looks whether its address is free has none yet.
            let is_guests = sender == ADDRESS || sender.is_unspecified();
            (is_request && is_guests && is_known).then_some(frame)
        }
        Content::Packet(Packet { source, destination, transport }) => {
            if source != ADDRESS || !may_reach(destination, transport, host) {
                return None;
            }
            match transport {
                Transport::Tcp { source, destination: port, acknowledgement: Some(acknowledgement) } => {
                    let remote = SocketAddrV4::new(destination, port);
                    conversations
                        .acknowledgements
                        .is_news(source, remote, acknowledgement, now)
                        .then_some(frame)
                }
                Transport::Tcp { acknowledgement: None, .. } => Some(frame),
                Transport::Udp { source, destination: port } => {
                    let remote = SocketAddrV4::new(destination, port);
                    set_udp_port(frame, Port::Source, conversations.flows.outward(source, remote, now)?);
                    Some(frame)
                }
                Transport::Echo { is_request, id } => {
                    (is_request && conversations.echoes.outward(id, destination, now)).then_some(frame)
                }
            }
        }
    }
}

fn to_guest<'frame>(
    frame: &'frame mut [u8],
    conversations: &mut Conversations,
    now: Instant,
) -> Option<&'frame [u8]> {
    let Frame { length, content } = frame::read(frame)?;
    let frame = frame.get_mut(..length)?;
    match content {
        Content::Arp { is_request, .. } => (!is_request).then_some(frame),
        Content::Packet(Packet { source, destination, transport }) => {
            if destination != ADDRESS {
                return None;
            }
            match transport {
                Transport::Tcp { .. } => Some(frame),
                Transport::Udp { source: port, destination } => {
                    let remote = SocketAddrV4::new(source, port);
                    set_udp_port(
                        frame,
                        Port::Destination,
                        conversations.flows.inward(destination, remote, now)?,
                    );
                    Some(frame)
                }
                Transport::Echo { is_request, id } => {
                    (!is_request && conversations.echoes.inward(id, source, now)).then_some(frame)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::super::frame::tests::{GUEST, arp, echo, packet, tcp, udp};
    use super::*;

    const WORLD: [u8; 4] = [198, 51, 100, 1];
    const SYN: u8 = 2;

    struct Gate {
        conversations: Conversations,
        now: Instant,
    }

    fn gate() -> Gate {
        let conversations = Conversations { flows: Flows::new(|_| true), ..Conversations::default() };
        Gate { conversations, now: Instant::now() }
    }

    impl Gate {
        fn out(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
            let host = [Prefix::new([192, 0, 2, 2], 32)];
            out(&mut frame.to_vec(), &host, &mut self.conversations, self.now).map(<[u8]>::to_vec)
        }

        fn carry_to_guest(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
            to_guest(&mut frame.to_vec(), &mut self.conversations, self.now).map(<[u8]>::to_vec)
        }
    }

    fn source_port(frame: &[u8]) -> u16 {
        u16::from_be_bytes([frame[34], frame[35]])
    }

    #[test]
    fn connections_to_the_world_pass_unchanged_and_those_to_the_host_do_not() {
        let mut gate = gate();
        let good = tcp(GUEST, 4000, (WORLD, 80), SYN);
        assert_eq!(gate.out(&good).as_ref(), Some(&good));
        for host in [[127, 0, 0, 1], [192, 0, 2, 2], [10, 0, 2, 2], [169, 254, 169, 254]] {
            assert_eq!(gate.out(&tcp(GUEST, 4000, (host, 80), SYN)), None, "{host:?}");
            assert_eq!(gate.out(&udp(GUEST, 4000, (host, 80), b"x")), None, "{host:?}");
            assert_eq!(gate.out(&echo(GUEST, host, 8, 1)), None, "{host:?}");
        }
    }

    #[test]
    fn repeated_acknowledgements_are_no_storm() {
        let mut gate = gate();
        let repeated = tcp(GUEST, 4000, (WORLD, 80), 16);
        let passed = (0..100).filter(|_| gate.out(&repeated).is_some()).count();
        assert_eq!(passed, 2, "the first, and the one that means a loss");
    }

    #[test]
    fn padding_stays_behind() {
        let good = tcp(GUEST, 4000, (WORLD, 80), SYN);
        assert_eq!(gate().out(&[&good[..], &[0; 6]].concat()), Some(good));
    }

    #[test]
    fn a_guest_speaks_for_itself_only() {
        for source in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST, GATEWAY, Ipv4Addr::new(10, 0, 2, 16)] {
            assert_eq!(gate().out(&tcp(source, 4000, (WORLD, 80), SYN)), None, "{source}");
        }
        assert_eq!(gate().carry_to_guest(&tcp(WORLD.into(), 80, ([10, 0, 2, 16], 4000), 16)), None);
    }

    #[test]
    fn a_datagram_goes_out_from_a_port_of_the_gates_choice_and_its_answer_finds_back() {
        let mut gate = gate();
        let sent = gate.out(&udp(GUEST, 8126, (WORLD, 53), b"question")).unwrap();
        let port = source_port(&sent);
        assert_ne!(port, 8126);
        let answer = gate.carry_to_guest(&udp(WORLD.into(), 53, (GUEST.octets(), port), b"answer")).unwrap();
        assert_eq!(&answer[36..38], &8126_u16.to_be_bytes());
        assert_eq!(&answer[40..42], &[0, 0], "no checksum of the old port");
        assert!(answer.ends_with(b"answer"));
    }

    #[test]
    fn what_programs_of_the_host_send_never_reaches_the_guest() {
        let mut gate = gate();
        let port = source_port(&gate.out(&udp(GUEST, 8126, (WORLD, 9), b"x")).unwrap());
        // passt tells of a program of the host by the gateway's address, and of others by their own.
        for from in
            [GATEWAY, Ipv4Addr::LOCALHOST, Ipv4Addr::new(192, 0, 2, 2), Ipv4Addr::new(198, 51, 100, 2)]
        {
            for to in [port, 8126, 9] {
                assert_eq!(
                    gate.carry_to_guest(&udp(from, 9, (GUEST.octets(), to), b"secret")),
                    None,
                    "{from} {to}"
                );
            }
        }
    }

    #[test]
    fn only_answers_come_in() {
        let mut gate = gate();
        assert_eq!(gate.carry_to_guest(&echo(WORLD.into(), GUEST.octets(), 8, 1)), None, "a question");
        assert_eq!(gate.carry_to_guest(&echo(WORLD.into(), GUEST.octets(), 0, 1)), None, "nobody asked");
        assert!(gate.out(&echo(GUEST, WORLD, 0, 1)).is_none(), "an answer to nobody");
        assert!(gate.out(&echo(GUEST, WORLD, 8, 1)).is_some());
        assert!(gate.carry_to_guest(&echo(WORLD.into(), GUEST.octets(), 0, 1)).is_some());
        assert!(gate.carry_to_guest(&arp(2, GATEWAY, GUEST.octets())).is_some());
        assert!(gate.carry_to_guest(&arp(1, GATEWAY, GUEST.octets())).is_none());
    }

    #[test]
    fn only_the_networks_two_neighbours_are_asked_for() {
        let mut gate = gate();
        for neighbour in [GATEWAY, NAME_SERVER] {
            assert!(gate.out(&arp(1, GUEST, neighbour.octets())).is_some());
            assert!(gate.out(&arp(1, Ipv4Addr::UNSPECIFIED, neighbour.octets())).is_some());
            assert!(gate.out(&arp(2, GUEST, neighbour.octets())).is_none(), "an answer");
            assert!(gate.out(&arp(1, neighbour, GUEST.octets())).is_none(), "in another's name");
        }
        assert!(gate.out(&arp(1, GUEST, [10, 0, 2, 4])).is_none());
        assert!(gate.out(&arp(1, GUEST, [127, 0, 0, 1])).is_none());
    }

    /// The frame whose first bytes passt 2023-03-09 takes for a length when it has lost step: the hardware address is the
    /// length of the rest, and behind it lies a frame to the host's loopback.
    fn smuggler(bytes: usize) -> Vec<u8> {
        let inner = u32::try_from(bytes - 4).unwrap().to_be_bytes();
        let length = u16::try_from(bytes - 18).unwrap().to_be_bytes();
        let datagram = packet(WORLD.into(), [127, 0, 0, 1], 17, &[]);
        let mut frame =
            [&inner[..], &[2, 2, 0x52, 0x54, 0, 0x4d, 8, 0x1c], &[8, 0], &[0x45, 0, 8, 0]].concat();
        frame.extend(&datagram[14..]);
        frame.resize(bytes, 0);
        frame[20..22].copy_from_slice(&length);
        frame
    }

    #[test]
    fn a_frame_in_a_frame_is_refused() {
        for bytes in [100, 1514, 18266, 36536] {
            assert_eq!(gate().out(&smuggler(bytes)), None, "{bytes}");
        }
    }

    #[test]
    fn a_frame_that_the_socket_would_cut_in_two_is_refused() {
        let payload = vec![0; FRAME_BYTES_MAX - 42];
        assert!(gate().out(&udp(GUEST, 1, (WORLD, 2), &payload)).is_some());
        assert!(gate().out(&udp(GUEST, 1, (WORLD, 2), &[&payload[..], b"x"].concat())).is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut gate = gate();
            let _ = gate.out(&bytes);
            let _ = gate.carry_to_guest(&bytes);
        }

        #[test]
        fn what_leaves_is_read_by_passt_as_by_the_gate(
            to: [u8; 4], protocol in prop::sample::select(vec![1_u8, 6, 17, 2, 47]),
            payload in proptest::collection::vec(any::<u8>(), 0..100), change in proptest::option::of((0_usize..60, any::<u8>())),
        ) {
            let mut bytes = packet(GUEST, to, protocol, &payload);
            if let Some((at, byte)) = change && at < bytes.len() {
                bytes[at] = byte;
            }
            if let Some(sent) = gate().out(&bytes) {
                let read = frame::read(&sent).unwrap();
                prop_assert_eq!(read.length, sent.len());
                if let Content::Packet(Packet { source, destination, transport }) = read.content {
                    prop_assert_eq!(source, ADDRESS);
                    prop_assert!(may_reach(destination, transport, &[Prefix::new([192, 0, 2, 2], 32)]));
                }
            }
        }
    }
}
