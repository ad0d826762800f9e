//! Who in the guest talks to whom outside, without a connection: nothing comes in but from an address and port that the
//! guest has sent something to.
//!
//! passt binds the very port that a datagram comes from, on all addresses of the host, so the guest's ports are exchanged
//! for others that were free on the host a moment ago: a guest neither takes a port away from the host's programs nor hears
//! what they send to each other. How many it can hold is capped; the one that was used longest ago gives way.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

/// Ports of the host that one guest holds at most. passt gives one back after three minutes without use.
const PORTS_MAX: usize = 512;

/// Conversations at most. Of more, the half that was used longest ago is forgotten at once: to look for one each time would
/// be a way to keep a core busy.
const FLOWS_MAX: usize = 4096;

/// How long an answer may take: as long as passt listens for it.
const FLOW_AGE_MAX: Duration = Duration::from_secs(180);

/// Numbers of echoes at most: passt opens a socket for each, and closes it after [`ECHO_AGE_MAX`].
const ECHOES_MAX: usize = 64;
const ECHO_AGE_MAX: Duration = Duration::from_secs(60);

/// Ports that a guest is given: where programs without a wish have theirs.
const FIRST_PORT: u16 = 32768;

/// How many ports are tried before a datagram is lost.
const TRIES: u32 = 32;

/// Whether a port of the host is free.
type IsFree = fn(u16) -> bool;

/// Tells whether no program of the host has this port.
fn is_free(port: u16) -> bool {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}

/// The guest's datagrams.
pub(super) struct Flows {
    /// By the guest's port.
    ports: HashMap<u16, HostPort>,
    /// The guest's port by the host's.
    guests: HashMap<u16, u16>,
    live_count: usize,
    is_free: IsFree,
    random: RandomState,
    tries_count: u64,
}

/// A port of the host that stands for one of the guest's.
struct HostPort {
    port: u16,
    used: Instant,
    /// With whom the guest talks, and when something last went either way.
    remotes: HashMap<SocketAddrV4, Instant>,
}

impl Default for Flows {
    fn default() -> Self {
        Self::new(is_free)
    }
}

impl Flows {
    pub(super) fn new(is_free: IsFree) -> Self {
        Self {
            ports: HashMap::new(),
            guests: HashMap::new(),
            live_count: 0,
            is_free,
            random: RandomState::new(),
            tries_count: 0,
        }
    }

    /// Notes a datagram of the guest and returns the port that it goes out from. `None`: the host has no port left.
    pub(super) fn outward(&mut self, guest_port: u16, remote: SocketAddrV4, now: Instant) -> Option<u16> {
        if self.live_count >= FLOWS_MAX {
            self.forget_half();
        }
        if !self.ports.contains_key(&guest_port) {
            self.give_port(guest_port, now)?;
        }
        let host = self.ports.get_mut(&guest_port)?;
        host.used = now;
        if host.remotes.insert(remote, now).is_none() {
            self.live_count += 1;
        }
        Some(host.port)
    }

    /// Returns the guest's port that a datagram is for. `None`: the guest did not ask for it.
    pub(super) fn inward(&mut self, port: u16, remote: SocketAddrV4, now: Instant) -> Option<u16> {
        let guest_port = *self.guests.get(&port)?;
        let host = self.ports.get_mut(&guest_port)?;
        let used = host.remotes.get_mut(&remote)?;
        if now.saturating_duration_since(*used) > FLOW_AGE_MAX {
            return None;
        }
        *used = now;
        host.used = now;
        Some(guest_port)
    }

    fn forget_half(&mut self) {
        let mut uses: Vec<Instant> =
            self.ports.values().flat_map(|host| host.remotes.values().copied()).collect();
        uses.sort_unstable();
        let Some(&middle) = uses.get(uses.len() / 2) else { return };
        for host in self.ports.values_mut() {
            host.remotes.retain(|_, used| *used > middle);
        }
        self.live_count = self.ports.values().map(|host| host.remotes.len()).sum();
    }

    fn give_port(&mut self, guest_port: u16, now: Instant) -> Option<u16> {
        let port = if self.ports.len() < PORTS_MAX { self.find_port()? } else { self.take_oldest_port()? };
        self.ports.insert(guest_port, HostPort { port, used: now, remotes: HashMap::new() });
        self.guests.insert(port, guest_port);
        Some(port)
    }

    /// Takes the port back that was used longest ago. What is still on its way to it is lost.
    fn take_oldest_port(&mut self) -> Option<u16> {
        let (&guest_port, _) = self.ports.iter().min_by_key(|(_, host)| host.used)?;
        let host = self.ports.remove(&guest_port)?;
        self.guests.remove(&host.port);
        self.live_count -= host.remotes.len();
        Some(host.port)
    }

    fn find_port(&mut self) -> Option<u16> {
        (0..TRIES).find_map(|_| {
            self.tries_count = self.tries_count.wrapping_add(1);
            let [high, low, ..] = self.random.hash_one(self.tries_count).to_be_bytes();
            let port = u16::from_be_bytes([high, low]) | FIRST_PORT;
            (!self.guests.contains_key(&port) && (self.is_free)(port)).then_some(port)
        })
    }
}

/// The guest's echoes: which numbers it uses, and whom it asks.
#[derive(Default)]
pub(super) struct Echoes(HashMap<(u16, Ipv4Addr), Instant>);

impl Echoes {
    /// Notes a question. `false`: too many numbers are in use.
    pub(super) fn outward(&mut self, id: u16, remote: Ipv4Addr, now: Instant) -> bool {
        let echo = (id, remote);
        if self.0.len() >= ECHOES_MAX && !self.0.contains_key(&echo) {
            self.0.retain(|_, used| now.saturating_duration_since(*used) <= ECHO_AGE_MAX);
        }
        let has_room = self.0.len() < ECHOES_MAX || self.0.contains_key(&echo);
        if has_room {
            self.0.insert(echo, now);
        }
        has_room
    }

    /// Tells whether the guest waits for this answer.
    pub(super) fn inward(&self, id: u16, remote: Ipv4Addr, now: Instant) -> bool {
        let asked = self.0.get(&(id, remote));
        asked.is_some_and(|asked| now.saturating_duration_since(*asked) <= ECHO_AGE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn flows() -> Flows {
        Flows::new(|_port| true)
    }

    fn remote(host: u8, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, host), port)
    }

    #[test]
    fn only_whom_the_guest_has_asked_may_answer() {
        let (mut flows, now) = (flows(), Instant::now());
        let port = flows.outward(8126, remote(1, 53), now).unwrap();
        assert_eq!(flows.inward(port, remote(1, 53), now), Some(8126));
        assert_eq!(flows.inward(port, remote(1, 54), now), None, "another port");
        assert_eq!(flows.inward(port, remote(2, 53), now), None, "another host");
        assert_eq!(flows.inward(8126, remote(1, 53), now), None, "the guest's own port");
        assert_eq!(flows.inward(port ^ 1, remote(1, 53), now), None, "a port that nobody has");
    }

    #[test]
    fn a_guests_port_keeps_its_port_of_the_host() {
        let (mut flows, now) = (flows(), Instant::now());
        let port = flows.outward(8126, remote(1, 53), now).unwrap();
        assert_eq!(flows.outward(8126, remote(2, 99), now), Some(port));
        assert_ne!(flows.outward(8127, remote(1, 53), now), Some(port));
        assert_eq!(flows.inward(port, remote(2, 99), now), Some(8126));
    }

    #[test]
    fn a_flow_ends_with_its_time_and_not_before() {
        let (mut flows, begin) = (flows(), Instant::now());
        let port = flows.outward(8126, remote(1, 53), begin).unwrap();
        let later = begin + FLOW_AGE_MAX;
        assert_eq!(flows.inward(port, remote(1, 53), later), Some(8126));
        assert_eq!(flows.inward(port, remote(1, 53), later + FLOW_AGE_MAX), Some(8126), "an answer is a use");
        let too_late = later + 2 * FLOW_AGE_MAX + Duration::from_secs(1);
        assert_eq!(flows.inward(port, remote(1, 53), too_late), None);
    }

    #[test]
    fn a_guest_that_sends_from_every_port_holds_a_few_and_the_last_ones_work() {
        let (mut flows, begin) = (flows(), Instant::now());
        let mut held = HashSet::new();
        for guest_port in 1..=u16::MAX {
            let now = begin + Duration::from_millis(guest_port.into());
            let port = flows.outward(guest_port, remote(1, 53), now).unwrap();
            held.insert(port);
            assert_eq!(flows.inward(port, remote(1, 53), now), Some(guest_port));
        }
        assert_eq!(held.len(), PORTS_MAX);
        assert_eq!(
            (flows.ports.len(), flows.guests.len(), flows.live_count),
            (PORTS_MAX, PORTS_MAX, PORTS_MAX)
        );
        assert!(held.iter().all(|port| *port >= FIRST_PORT));
    }

    #[test]
    fn a_guest_that_sends_to_everybody_is_remembered_in_part() {
        let (mut flows, begin) = (flows(), Instant::now());
        let mut port = 0;
        for to in 1..=u16::MAX {
            let now = begin + Duration::from_millis(to.into());
            port = flows.outward(8126, remote(1, to), now).unwrap();
        }
        let now = begin + Duration::from_secs(66);
        assert!((FLOWS_MAX / 2..=FLOWS_MAX).contains(&flows.live_count), "{}", flows.live_count);
        assert_eq!(flows.inward(port, remote(1, u16::MAX), now), Some(8126));
        assert_eq!(flows.inward(port, remote(1, 1), now), None);
    }

    #[test]
    fn a_port_that_a_program_of_the_host_has_is_not_taken() {
        let mut flows = Flows::new(|port| port % 2 == 0);
        let now = Instant::now();
        for guest_port in 1..200 {
            assert_eq!(flows.outward(guest_port, remote(1, 53), now).unwrap() % 2, 0);
        }
        assert_eq!(Flows::new(|_| false).outward(1, remote(1, 53), now), None);
        let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!is_free(taken.local_addr().unwrap().port()));
    }

    #[test]
    fn echoes_are_few_and_answered_by_whom_was_asked() {
        let (mut echoes, begin) = (Echoes::default(), Instant::now());
        let host = Ipv4Addr::new(198, 51, 100, 1);
        let taken = (0..u16::MAX).filter(|id| echoes.outward(*id, host, begin)).count();
        assert_eq!(taken, ECHOES_MAX);
        assert!(echoes.outward(0, host, begin), "one that is known");
        assert!(echoes.inward(0, host, begin));
        assert!(!echoes.inward(0, Ipv4Addr::new(198, 51, 100, 2), begin));
        assert!(!echoes.inward(u16::MAX, host, begin));
        let later = begin + ECHO_AGE_MAX + Duration::from_secs(1);
        assert!(!echoes.inward(0, host, later));
        assert!(echoes.outward(u16::MAX, host, later), "the others have aged");
    }

    proptest! {
        #[test]
        fn no_two_ports_of_the_guest_share_one(guest_ports in proptest::collection::vec(1_u16..=u16::MAX, 0..600)) {
            let (mut flows, now) = (flows(), Instant::now());
            for guest_port in guest_ports {
                let port = flows.outward(guest_port, remote(1, 53), now).unwrap();
                prop_assert_eq!(flows.guests.get(&port), Some(&guest_port));
                prop_assert_eq!(flows.guests.len(), flows.ports.len());
                prop_assert_eq!(flows.live_count, flows.ports.values().map(|host| host.remotes.len()).sum::<usize>());
            }
        }
    }
}
