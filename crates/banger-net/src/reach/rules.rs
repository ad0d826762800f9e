//! What a guest may connect to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use banger_model::egress::{self, Attempt, EgressPolicy, HostFacts, Protocol};

use super::host_addresses::HostAddresses;
use crate::control::Rules;
use crate::names::Moment;
use crate::user_network::subnet::{GATEWAY, GATEWAY_V6, NAME_SERVER, NAME_SERVER_V6};

pub(crate) const DNS_PORT: u16 = 53;

/// What becomes of a guest's wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Connect(SocketAddr),
    /// It is a query for a name.
    NameServer,
    Refuse,
}

/// Decides with the host's addresses as they are now.
pub(crate) struct Reach {
    host: HostAddresses,
    policy: EgressPolicy,
}

impl Reach {
    pub(crate) fn new(host: HostAddresses, rules: &Rules) -> Self {
        Self { host, policy: policy_of(rules) }
    }

    /// Refuses everything.
    #[cfg(fuzzing)]
    pub(crate) fn of_nothing() -> Option<Self> {
        Some(Self { host: HostAddresses::watch().ok()?, policy: EgressPolicy::closed() })
    }

    pub(crate) fn set_rules(&mut self, rules: &Rules) {
        self.policy = policy_of(rules);
    }

    pub(crate) fn host(&self) -> &HostAddresses {
        &self.host
    }

    /// Tells whether the host reaches the world by IPv6.
    pub(crate) fn has_way_out_v6(&mut self) -> bool {
        self.host.has_default_route_v6()
    }

    /// Decides about a new connection. Nothing is allowed while the host's addresses are unknown.
    pub(crate) fn decide(&mut self, protocol: Protocol, destination: SocketAddr) -> Verdict {
        match self.host.current() {
            Some(host) => decide(&self.policy, &host.facts, protocol, destination),
            None => Verdict::Refuse,
        }
    }

    /// Returns what decisions about names follow from; `None` while the host's addresses are unknown.
    pub(crate) fn moment(&mut self, now: Instant) -> Option<Moment<'_>> {
        let host = self.host.current()?;
        Some(Moment { now, policy: &self.policy, facts: &host.facts })
    }
}

/// The world is open, and what the user has opened besides.
fn policy_of(rules: &Rules) -> EgressPolicy {
    let mut policy = EgressPolicy::open();
    // Two rules always have room.
    policy.allow_host_ports(rules.host_ports.iter().copied());
    if rules.allow_lan {
        policy.allow_lan();
    }
    policy
}

fn decide(policy: &EgressPolicy, facts: &HostFacts, protocol: Protocol, destination: SocketAddr) -> Verdict {
    let (address, port) = (destination.ip(), destination.port());
    if address == NAME_SERVER || address == NAME_SERVER_V6 {
        let is_query = port == DNS_PORT && protocol != Protocol::Icmp;
        return if is_query { Verdict::NameServer } else { Verdict::Refuse };
    }
    match policy.decide(&Attempt { protocol, address, port, names: &[] }, facts) {
        egress::Verdict::Allow => Verdict::Connect(SocketAddr::new(behind(address), port)),
        // Names in what a guest sends are not read yet, so what depends on them is closed.
        egress::Verdict::ReadName | egress::Verdict::ReadRequests | egress::Verdict::Refuse(_) => {
            Verdict::Refuse
        }
    }
}

/// The gateway stands for the host's loopback.
fn behind(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(GATEWAY) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(GATEWAY_V6) => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::super::host_addresses::HostNetworks;
    use super::*;

    fn facts() -> HostFacts {
        let ranges = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        HostFacts {
            own: ranges(&["192.0.2.2/32", "203.0.113.0/24", "2001:db8::2/128"]),
            on_link: ranges(&["192.0.2.0/24", "2001:db8::/64"]),
            ..HostNetworks::default().facts
        }
    }

    fn reaches(rules: &Rules, address: &str) -> bool {
        let destination = SocketAddr::new(address.parse().unwrap(), 80);
        let policy = policy_of(rules);
        let verdicts = Protocol::ALL.map(|protocol| decide(&policy, &facts(), protocol, destination));
        assert!(verdicts.iter().all(|verdict| *verdict == verdicts[0]), "{address}");
        verdicts[0] == Verdict::Connect(destination)
    }

    #[test]
    fn the_world_is_open_and_the_host_and_its_networks_are_not() {
        for world in ["198.51.100.1", "192.0.3.1", "1.1.1.1", "2001:db8:1::1", "64:ff9b::101:101"] {
            assert!(reaches(&Rules::default(), world), "{world}");
        }
        for closed in [
            "192.0.2.2",
            "192.0.2.1",
            "203.0.113.77",
            "127.0.0.1",
            "::1",
            "2001:db8::2",
            "2001:db8::9",
            "64:ff9b::c000:202",
            "2002:7f00:1::1",
            "10.0.2.2",
            "10.0.2.15",
            "10.0.3.1",
            "fd62:616e:6765::2",
        ] {
            assert!(!reaches(&Rules::default(), closed), "{closed}");
        }
    }

    #[test]
    fn a_user_opens_the_local_networks_but_never_the_host() {
        let rules = &Rules { allow_lan: true, ..Rules::default() };
        assert!(reaches(rules, "192.0.2.1") && reaches(rules, "2001:db8::9") && reaches(rules, "10.0.3.1"));
        for own in ["192.0.2.2", "203.0.113.77", "2001:db8::2", "127.0.0.1", "169.254.169.254", "10.0.2.15"] {
            assert!(!reaches(rules, own), "{own}");
        }
    }

    #[test]
    fn a_port_of_the_host_that_is_opened_is_at_the_gateway_and_nowhere_else() {
        let policy = policy_of(&Rules { host_ports: vec![5432], ..Rules::default() });
        let decide = |address: &str, port: u16| {
            decide(&policy, &facts(), Protocol::Tcp, SocketAddr::new(address.parse().unwrap(), port))
        };
        assert_eq!(decide("10.0.2.2", 5432), Verdict::Connect("127.0.0.1:5432".parse().unwrap()));
        assert_eq!(decide("fd62:616e:6765::2", 5432), Verdict::Connect("[::1]:5432".parse().unwrap()));
        assert_eq!(decide("10.0.2.2", 5433), Verdict::Refuse);
        assert_eq!(decide("127.0.0.1", 5432), Verdict::Refuse);
        assert_eq!(decide("192.0.2.2", 5432), Verdict::Refuse);
    }

    #[test]
    fn the_name_server_answers_names_only() {
        let open = EgressPolicy::open();
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            for address in [IpAddr::from(NAME_SERVER), NAME_SERVER_V6.into()] {
                let decide = |port| decide(&open, &facts(), protocol, SocketAddr::new(address, port));
                assert_eq!(decide(53), Verdict::NameServer);
                assert!([22, 80, 52, 54, 853, 5353].iter().all(|port| decide(*port) == Verdict::Refuse));
            }
        }
        let echo = SocketAddr::new(NAME_SERVER.into(), 53);
        assert_eq!(decide(&open, &facts(), Protocol::Icmp, echo), Verdict::Refuse);
    }
}
