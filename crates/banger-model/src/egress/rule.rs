//! Rules of a policy.

use std::net::IpAddr;

use ipnet::IpNet;

use super::host_pattern::HostPattern;
use super::ports::Ports;
use super::protocol::Protocol;
use super::request::Requests;

/// What becomes of what a rule means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// It is permitted unless another rule denies it.
    Allow,
    /// It is refused, whatever other rules say.
    Deny,
}

impl Action {
    /// Returns the word that a policy uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }

    /// Returns the action that the word stands for.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Allow, Self::Deny].into_iter().find(|action| action.as_str() == word)
    }
}

/// Where a rule leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// Everywhere in the internet, by every name.
    Any,
    /// Hosts, by the names that the guest has resolved.
    Hosts(HostPattern),
    /// Addresses. Bits after the prefix are zero.
    Addresses(IpNet),
    /// Addresses of the local network.
    Lan,
    /// The host, by the address of the gateway.
    Host,
}

/// One rule. It means what agrees with all of its parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// What becomes of it.
    pub action: Action,
    /// Where it leads.
    pub target: Target,
    /// By what, and to which ports or requests.
    pub service: Service,
}

/// By what a rule leads there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Everything.
    Any,
    /// Echo requests.
    Ping,
    /// Connections, datagrams, or both if there is no protocol, to these ports.
    Ports(Option<Transport>, Ports),
    /// Requests by HTTP, to these ports.
    Requests(Ports, Requests),
}

/// Protocols with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Transport {
    fn is(self, protocol: Protocol) -> bool {
        self.protocol() == protocol
    }

    fn protocol(self) -> Protocol {
        match self {
            Self::Tcp => Protocol::Tcp,
            Self::Udp => Protocol::Udp,
        }
    }
}

impl Service {
    /// Tells whether some of what the service means goes by this protocol to this port.
    #[must_use]
    pub fn touches(&self, protocol: Protocol, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Ping => protocol == Protocol::Icmp,
            Self::Ports(transport, ports) => {
                protocol != Protocol::Icmp
                    && transport.is_none_or(|transport| transport.is(protocol))
                    && ports.contains(port)
            }
            Self::Requests(ports, _) => protocol == Protocol::Tcp && ports.contains(port),
        }
    }

    /// Returns the limit on requests, if there is one.
    #[must_use]
    pub fn requests(&self) -> Option<&Requests> {
        match self {
            Self::Requests(_, requests) => Some(requests),
            Self::Any | Self::Ping | Self::Ports(..) => None,
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (Self::Ping, Self::Ping) => true,
            (Self::Ports(None, ports), Self::Ports(_, others)) => ports.covers(others),
            (Self::Ports(Some(own), ports), Self::Ports(Some(other), others)) => {
                own == other && ports.covers(others)
            }
            (Self::Ports(None | Some(Transport::Tcp), ports), Self::Requests(others, _)) => {
                ports.covers(others)
            }
            (Self::Requests(ports, requests), Self::Requests(others, other)) => {
                ports.covers(others) && requests.covers(other)
            }
            (Self::Ping | Self::Ports(..) | Self::Requests(..), _) => false,
        }
    }
}

impl Target {
    /// Tells whether everything that the other target means is meant.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Hosts(own), Self::Hosts(other)) => own.covers(other),
            (Self::Addresses(own), Self::Addresses(other)) => own.contains(other),
            (Self::Any, Self::Hosts(_)) => true,
            (own, other) => own == other,
        }
    }

    /// Tells whether an address range of the rule holds the address.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        matches!(self, Self::Addresses(range) if range.contains(&address))
    }
}

impl Rule {
    /// Tells whether the rule says everything that the other one says.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.action == other.action
            && self.target.covers(&other.target)
            && self.service.covers(&other.service)
    }
}

impl std::fmt::Display for Rule {
    /// Writes the rule as the line that is read as this rule.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} ", self.action.as_str())?;
        match &self.service {
            Service::Ping => write!(formatter, "{} ", Protocol::Icmp)?,
            Service::Ports(Some(transport), _) => write!(formatter, "{} ", transport.protocol())?,
            Service::Requests(_, requests) if !requests.methods.is_empty() => {
                let methods: Vec<&str> = requests.methods.iter().map(String::as_str).collect();
                write!(formatter, "{} ", methods.join(","))?;
            }
            Service::Any | Service::Ports(None, _) | Service::Requests(..) => {}
        }
        let ports = match &self.service {
            // Said even if it is every port: `*:1-65535` differs from `*`, which includes echo requests.
            Service::Ports(None, ports) => Some(ports),
            Service::Ports(Some(_), ports) | Service::Requests(ports, _) => {
                Some(ports).filter(|ports| !ports.is_all())
            }
            Service::Any | Service::Ping => None,
        };
        match (&self.target, ports) {
            (Target::Any, _) => formatter.write_str("*")?,
            (Target::Hosts(pattern), _) => write!(formatter, "{pattern}")?,
            (Target::Addresses(range @ IpNet::V6(_)), Some(_)) => write!(formatter, "[{}]", short(range))?,
            (Target::Addresses(range), _) => formatter.write_str(&short(range))?,
            (Target::Lan, _) => formatter.write_str("lan")?,
            (Target::Host, _) => formatter.write_str("host")?,
        }
        if let Some(ports) = ports {
            write!(formatter, ":{ports}")?;
        }
        self.service.requests().map_or(Ok(()), |requests| write!(formatter, "{}", requests.path))
    }
}

/// A single address without its length.
fn short(range: &IpNet) -> String {
    if range.prefix_len() == range.max_prefix_len() { range.addr().to_string() } else { range.to_string() }
}
