//! What a guest may connect to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::closed::{embedded, is_closed};
use super::host_addresses::{HostAddresses, HostNetworks};
use crate::control::Rules;
use crate::user_network::subnet::{GATEWAY, NAME_SERVER, NAME_SERVER_V6};

pub(crate) const DNS_PORT: u16 = 53;

/// How a guest wants to talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
    Echo,
}

/// What becomes of a guest's wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Connect(SocketAddr),
    /// It goes to the host's own resolver.
    Resolver,
    Refuse,
}

/// Decides with the host's addresses as they are now.
pub(crate) struct Reach {
    host: HostAddresses,
    rules: Rules,
}

impl Reach {
    pub(crate) fn new(host: HostAddresses, rules: Rules) -> Self {
        Self { host, rules }
    }

    pub(crate) fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
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
            Some(host) => decide(&self.rules, host, protocol, destination),
            None => Verdict::Refuse,
        }
    }
}

fn decide(rules: &Rules, host: &HostNetworks, protocol: Protocol, destination: SocketAddr) -> Verdict {
    let (address, port) = (destination.ip(), destination.port());
    if address == NAME_SERVER || address == NAME_SERVER_V6 {
        let is_query = port == DNS_PORT && protocol != Protocol::Echo;
        return if is_query { Verdict::Resolver } else { Verdict::Refuse };
    }
    if address == GATEWAY && protocol != Protocol::Echo && rules.host_ports.contains(&port) {
        return Verdict::Connect((Ipv4Addr::LOCALHOST, port).into());
    }
    let is_open = |address: IpAddr| {
        !is_closed(address) && !host.is_own(address) && (rules.allow_lan || !host.is_lan(address))
    };
    let is_open = is_open(address) && embedded(address).is_none_or(|inner| is_open(inner.into()));
    if is_open { Verdict::Connect(destination) } else { Verdict::Refuse }
}

#[cfg(test)]
mod tests {
    use super::super::prefix::Prefix;
    use super::*;

    fn host() -> HostNetworks {
        HostNetworks {
            own: vec![
                Prefix::v4([192, 0, 2, 2], 32),
                Prefix::v4([203, 0, 113, 0], 24),
                Prefix::v6("2001:db8::2".parse().unwrap(), 128),
            ],
            lan: vec![Prefix::v4([192, 0, 2, 0], 24), Prefix::v6("2001:db8::".parse().unwrap(), 64)],
            has_default_route_v6: false,
        }
    }

    fn reaches(rules: &Rules, address: &str) -> bool {
        let destination = SocketAddr::new(address.parse().unwrap(), 80);
        let verdicts = [Protocol::Tcp, Protocol::Udp, Protocol::Echo]
            .map(|protocol| decide(rules, &host(), protocol, destination));
        assert!(verdicts.iter().all(|verdict| *verdict == verdicts[0]), "{address}");
        verdicts[0] == Verdict::Connect(destination)
    }

    #[test]
    fn the_world_is_open_and_the_host_and_its_networks_are_not() {
        let rules = Rules::default();
        for world in ["198.51.100.1", "192.0.3.1", "1.1.1.1", "2001:db8:1::1", "64:ff9b::101:101"] {
            assert!(reaches(&rules, world), "{world}");
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
        ] {
            assert!(!reaches(&rules, closed), "{closed}");
        }
    }

    #[test]
    fn a_user_opens_the_local_networks_but_never_the_host() {
        let rules = Rules { allow_lan: true, ..Rules::default() };
        assert!(reaches(&rules, "192.0.2.1") && reaches(&rules, "2001:db8::9"));
        for own in ["192.0.2.2", "203.0.113.77", "2001:db8::2", "127.0.0.1", "169.254.169.254"] {
            assert!(!reaches(&rules, own), "{own}");
        }
    }

    #[test]
    fn a_port_of_the_host_that_is_opened_is_at_the_gateway_and_nowhere_else() {
        let rules = Rules { host_ports: vec![5432], ..Rules::default() };
        let decide = |address: &str, port: u16, protocol| {
            decide(&rules, &host(), protocol, SocketAddr::new(address.parse().unwrap(), port))
        };
        let opened = Verdict::Connect("127.0.0.1:5432".parse().unwrap());
        assert_eq!(decide("10.0.2.2", 5432, Protocol::Tcp), opened);
        assert_eq!(decide("10.0.2.2", 5433, Protocol::Tcp), Verdict::Refuse);
        assert_eq!(decide("127.0.0.1", 5432, Protocol::Tcp), Verdict::Refuse);
        assert_eq!(decide("192.0.2.2", 5432, Protocol::Tcp), Verdict::Refuse);
    }

    #[test]
    fn the_name_server_answers_names_only() {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            for address in [IpAddr::from(NAME_SERVER), NAME_SERVER_V6.into()] {
                let decide =
                    |port| decide(&Rules::default(), &host(), protocol, SocketAddr::new(address, port));
                assert_eq!(decide(53), Verdict::Resolver);
                assert!([22, 80, 52, 54, 853, 5353].iter().all(|port| decide(*port) == Verdict::Refuse));
            }
        }
        let echo = SocketAddr::new(NAME_SERVER.into(), 53);
        assert_eq!(decide(&Rules::default(), &host(), Protocol::Echo, echo), Verdict::Refuse);
    }
}
