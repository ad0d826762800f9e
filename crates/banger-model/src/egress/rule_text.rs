//! Rules as text: `[allow|deny] [tcp|udp|icmp] [METHODS] TARGET[:PORTS][/PATH]`.

use std::net::IpAddr;

use ipnet::IpNet;

use super::host_pattern::{BadHostPattern, HostPattern};
use super::ports::{BadPorts, Ports};
use super::protocol::Protocol;
use super::request::{PathPattern, Requests};
use super::rule::{Action, Rule, Service, Target, Transport};

/// The reason why a line is not a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum BadRule {
    #[error("the rule names no target; write a host, an address, `*`, `lan` or `host:PORT` at its end")]
    NoTarget,
    #[error(
        "`{word}` is not understood before a target; write at most an action (`allow`, `deny`), a protocol (`tcp`, `udp`, `icmp`) and methods in capitals (`GET,HEAD`), in this order"
    )]
    Word { word: String },
    #[error(transparent)]
    Ports(BadPorts),
    #[error(transparent)]
    Host(BadHostPattern),
    #[error(
        "`{word}` is a word of policies; write the full name of a host that is called so, as in `{word}.example.org`"
    )]
    WordAsHost { word: String },
    #[error(
        "`{text}` is not a valid address or range; write it as in `192.0.2.7`, `10.0.0.0/8` or `[2001:db8::/32]:443`"
    )]
    Address { text: String },
    #[error("`{text}` has bits behind its prefix; write `{range}`")]
    HostBits { text: String, range: IpNet },
    #[error("`{text}` is an IPv4 address inside an IPv6 address; write `{address}`")]
    Mapped { text: String, address: std::net::Ipv4Addr },
    #[error(
        "`{text}` is not a valid path; write it without `..`, `//` and query, with a `*` only at its end, as in `/owner/*`"
    )]
    Path { text: String },
    #[error("methods and paths need a host's name; `{text}` is not one")]
    RequestsWithoutHost { text: String },
    #[error("methods and paths go by TCP; leave out `{protocol}`")]
    RequestsBy { protocol: Protocol },
    #[error("echo requests have no ports; leave out `:{ports}`, or write `tcp` or `udp`")]
    PingPorts { ports: String },
    #[error("the host is closed but for single ports of TCP or UDP; write `allow host:PORT`")]
    HostWithoutPorts,
    #[error("nothing but `allow host:PORT` opens the host, so `deny` has nothing to close")]
    DenyHost,
}

impl std::str::FromStr for Rule {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Self, BadRule> {
        let mut words: Vec<&str> = text.split_whitespace().collect();
        let last = words.pop().filter(|word| Action::of_word(word).is_none()).ok_or(BadRule::NoTarget)?;
        let mut words = words.into_iter().peekable();
        let action = words.next_if_map_word(Action::of_word).unwrap_or(Action::Allow);
        let protocol = words.next_if_map_word(Protocol::of_word);
        let methods = words.next_if_map_word(Requests::methods_of);
        if let Some(word) = words.next() {
            return Err(BadRule::Word { word: word.to_owned() });
        }
        if Protocol::of_word(last).is_some() {
            return Err(BadRule::NoTarget);
        }
        let place = Place::of(last)?;
        let target = place.target()?;
        let ports = place.ports.map(|ports| ports.parse().map_err(BadRule::Ports)).transpose()?;
        let requests = requests(methods, place.path)?;
        let service = match (requests, protocol, ports) {
            (Some(_), _, _) if !matches!(target, Target::Hosts(_)) => {
                return Err(BadRule::RequestsWithoutHost { text: place.target.to_owned() });
            }
            (Some(_), Some(protocol @ (Protocol::Udp | Protocol::Icmp)), _) => {
                return Err(BadRule::RequestsBy { protocol });
            }
            (Some(requests), None | Some(Protocol::Tcp), ports) => {
                Service::Requests(ports.unwrap_or_else(Ports::all), requests)
            }
            (None, Some(Protocol::Icmp), Some(ports)) => {
                return Err(BadRule::PingPorts { ports: ports.to_string() });
            }
            (None, Some(Protocol::Icmp), None) => Service::Ping,
            (None, None, None) => Service::Any,
            (None, None, Some(ports)) => Service::Ports(None, ports),
            (None, Some(Protocol::Tcp), ports) => {
                Service::Ports(Some(Transport::Tcp), ports.unwrap_or_else(Ports::all))
            }
            (None, Some(Protocol::Udp), ports) => {
                Service::Ports(Some(Transport::Udp), ports.unwrap_or_else(Ports::all))
            }
        };
        match (&target, action, &service) {
            (Target::Host, Action::Deny, _) => Err(BadRule::DenyHost),
            (Target::Host, Action::Allow, Service::Ports(_, ports)) if !ports.is_all() => {
                Ok(Self { action, target, service })
            }
            (Target::Host, Action::Allow, _) => Err(BadRule::HostWithoutPorts),
            (Target::Any | Target::Hosts(_) | Target::Addresses(_) | Target::Lan, _, _) => {
                Ok(Self { action, target, service })
            }
        }
    }
}

/// Takes the next word if it has a meaning.
trait NextWord {
    fn next_if_map_word<T>(&mut self, meaning: impl Fn(&str) -> Option<T>) -> Option<T>;
}

impl<'a, I: Iterator<Item = &'a str>> NextWord for std::iter::Peekable<I> {
    fn next_if_map_word<T>(&mut self, meaning: impl Fn(&str) -> Option<T>) -> Option<T> {
        let found = self.peek().and_then(|word| meaning(word));
        if found.is_some() {
            self.next();
        }
        found
    }
}

fn requests(
    methods: Option<std::collections::BTreeSet<String>>,
    path: Option<&str>,
) -> Result<Option<Requests>, BadRule> {
    let path = path
        .map(|path| PathPattern::of_text(path).ok_or_else(|| BadRule::Path { text: path.to_owned() }))
        .transpose()?;
    Ok(match (methods, path) {
        (None, None) => None,
        (methods, path) => Some(Requests {
            methods: methods.unwrap_or_default(),
            path: path.unwrap_or_else(PathPattern::all),
        }),
    })
}

/// The pieces of `TARGET[:PORTS][/PATH]`.
struct Place<'a> {
    target: &'a str,
    ports: Option<&'a str>,
    path: Option<&'a str>,
}

impl<'a> Place<'a> {
    fn of(text: &'a str) -> Result<Self, BadRule> {
        if let Some(rest) = text.strip_prefix('[') {
            let address = || BadRule::Address { text: text.to_owned() };
            let (target, rest) = rest.split_once(']').ok_or_else(address)?;
            let ports = match rest {
                "" => None,
                rest => Some(rest.strip_prefix(':').ok_or_else(address)?),
            };
            return Ok(Self { target, ports, path: None });
        }
        if is_v6(text) {
            return Ok(Self { target: text, ports: None, path: None });
        }
        let (before, path) = match text.find('/') {
            // `10.0.0.0/8` is a range, `example.org/8` is a path.
            Some(slash) if !is_v4(text.split_at(slash).0) => {
                let (before, path) = text.split_at(slash);
                (before, Some(path))
            }
            _ => (text, None),
        };
        let (target, ports) = match before.split_once(':') {
            Some((target, ports)) => (target, Some(ports)),
            None => (before, None),
        };
        Ok(Self { target, ports, path })
    }

    fn target(&self) -> Result<Target, BadRule> {
        match self.target {
            "*" => Ok(Target::Any),
            "lan" => Ok(Target::Lan),
            "host" => Ok(Target::Host),
            text if is_v4(text.split('/').next().unwrap_or(text)) || is_v6(text) => {
                address(text).map(Target::Addresses)
            }
            text => host(text),
        }
    }
}

/// Reads a host. `Host.` is refused: it would be written as `host`, which means something else.
fn host(text: &str) -> Result<Target, BadRule> {
    let pattern: HostPattern = text.parse().map_err(BadRule::Host)?;
    let word = pattern.to_string();
    let is_word = Action::of_word(&word).is_some()
        || Protocol::of_word(&word).is_some()
        || matches!(word.as_str(), "host" | "lan");
    if is_word { Err(BadRule::WordAsHost { word }) } else { Ok(Target::Hosts(pattern)) }
}

fn is_v6(text: &str) -> bool {
    text.matches(':').count() > 1
        && text.bytes().all(|byte| byte.is_ascii_hexdigit() || b":./".contains(&byte))
}

/// Four numbers with dots, or what was meant for them.
fn is_v4(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

fn address(text: &str) -> Result<IpNet, BadRule> {
    let bad = || BadRule::Address { text: text.to_owned() };
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u8>().ok().ok_or_else(bad)?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok().ok_or_else(bad)?;
    if let IpAddr::V6(outer) = address
        && let Some(inner) = outer.to_ipv4_mapped()
    {
        return Err(BadRule::Mapped { text: text.to_owned(), address: inner });
    }
    let range = match length {
        Some(length) => IpNet::new(address, length).ok().ok_or_else(bad)?,
        None => IpNet::from(address),
    };
    if range != range.trunc() {
        return Err(BadRule::HostBits { text: text.to_owned(), range: range.trunc() });
    }
    Ok(range)
}

#[cfg(test)]
#[path = "rule_text_tests.rs"]
mod tests;
