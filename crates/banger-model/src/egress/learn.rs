//! The policy that would have allowed what was refused.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::address_class::AddressClass;
use super::host_pattern::HostPattern;
use super::ports::Ports;
use super::protocol::Protocol;
use super::refusal::{Attempted, Refusal};
use super::request::{PathPattern, RequestPath, Requests};
use super::rule::{Action, Rule, Service, Target, Transport};

/// What refused attempts teach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// Rules that allow what was tried and nothing else, as few as that takes. A name that was looked up and never connected to
    /// is opened whole, because its ports are not known.
    pub rules: Vec<Rule>,
    /// What no rule can allow.
    pub hopeless: Vec<(Attempted, Refusal)>,
}

impl Learned {
    /// Learns from refused attempts.
    #[must_use]
    pub fn from<'a>(refused: impl IntoIterator<Item = (&'a Attempted, &'a Refusal)>) -> Self {
        let (mut wanted, mut hopeless) = (Wanted::default(), BTreeSet::new());
        for (attempted, refusal) in refused {
            if !wanted.add(attempted, refusal) {
                hopeless.insert((attempted.clone(), refusal.clone()));
            }
        }
        Self { rules: wanted.rules(), hopeless: hopeless.into_iter().collect() }
    }
}

impl std::fmt::Display for Learned {
    /// Writes a policy, with what cannot be allowed as comments.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(formatter, "default deny")?;
        self.rules.iter().try_for_each(|rule| writeln!(formatter, "{rule}"))?;
        if !self.hopeless.is_empty() {
            writeln!(formatter, "\n# No allow rule changes these:")?;
        }
        self.hopeless
            .iter()
            .try_for_each(|(attempted, refusal)| writeln!(formatter, "# {attempted}: {refusal}"))
    }
}

/// What is to be allowed, sorted by what can be merged.
#[derive(Default)]
struct Wanted {
    /// What was looked up.
    whole: BTreeSet<Target>,
    pings: BTreeSet<Target>,
    ports: BTreeMap<(Target, Transport), BTreeSet<u16>>,
    requests: BTreeMap<(Target, RequestPath), BTreeMap<u16, BTreeSet<String>>>,
}

impl Wanted {
    /// Returns whether a rule can allow the attempt.
    fn add(&mut self, attempted: &Attempted, refusal: &Refusal) -> bool {
        match (attempted, refusal) {
            (
                _,
                Refusal::Denied { .. }
                | Refusal::Quic
                | Refusal::QueryKind
                | Refusal::TooManyQueries
                | Refusal::HiddenRequests,
            ) => false,
            (Attempted::Lookup { .. }, Refusal::Rebinding { address, class: AddressClass::Lan }) => {
                self.whole.insert(Target::Addresses(IpNet::from(*address)));
                true
            }
            (_, Refusal::Rebinding { .. }) => false,
            (Attempted::Lookup { name }, _) => {
                self.whole.insert(Target::Hosts(HostPattern::Exact(name.clone())));
                true
            }
            (Attempted::Connection { protocol, address, port, name }, refusal) => {
                let address_target = || Target::Addresses(IpNet::from(*address));
                let target = match (refusal, name) {
                    (Refusal::Closed { class: AddressClass::Gateway }, _) => Target::Host,
                    (Refusal::Closed { class: AddressClass::Lan }, _) => address_target(),
                    (Refusal::Closed { .. }, _) => return false,
                    (Refusal::NotAllowed, Some(name)) => Target::Hosts(HostPattern::Exact(name.clone())),
                    // The name cannot be trusted here, so only the address can be allowed.
                    _ => address_target(),
                };
                self.add_connection(target, *protocol, *port)
            }
            (Attempted::Request { name, port, method, path }, _) => {
                let is_method = Requests::methods_of(method).is_some_and(|methods| methods.len() == 1);
                let Some(path) = RequestPath::of_target(path).filter(|_| is_method && *port != 0) else {
                    return false;
                };
                let target = Target::Hosts(HostPattern::Exact(name.clone()));
                let methods = self.requests.entry((target, path)).or_default().entry(*port).or_default();
                methods.insert(method.clone());
                true
            }
        }
    }

    fn add_connection(&mut self, target: Target, protocol: Protocol, port: u16) -> bool {
        let transport = match protocol {
            Protocol::Tcp => Transport::Tcp,
            Protocol::Udp => Transport::Udp,
            Protocol::Icmp => {
                let can_be_allowed = target != Target::Host;
                if can_be_allowed {
                    self.pings.insert(target);
                }
                return can_be_allowed;
            }
        };
        if port != 0 {
            self.ports.entry((target, transport)).or_default().insert(port);
        }
        port != 0
    }

    /// Makes the rules: one map of services to the targets that they lead to.
    fn rules(mut self) -> Vec<Rule> {
        let mut services: BTreeMap<Service, BTreeSet<Target>> = BTreeMap::new();
        let mut add = |service, target| services.entry(service).or_default().insert(target);
        for target in std::mem::take(&mut self.pings) {
            add(Service::Ping, target);
        }
        while let Some(((target, transport), ports)) = self.ports.pop_first() {
            // `Tcp` comes before `Udp`, so the other one is still there.
            let other = (target.clone(), Transport::Udp);
            let is_both = self.ports.get(&other) == Some(&ports);
            if is_both {
                self.ports.remove(&other);
            }
            if let Some(ports) = Ports::of(ports) {
                add(Service::Ports((!is_both).then_some(transport), ports), target);
            }
        }
        for ((target, path), by_port) in std::mem::take(&mut self.requests) {
            let mut by_methods: BTreeMap<BTreeSet<String>, BTreeSet<u16>> = BTreeMap::new();
            for (port, methods) in by_port {
                by_methods.entry(methods).or_default().insert(port);
            }
            for (methods, ports) in by_methods {
                let requests = Requests { methods, path: PathPattern::Exact(path.clone()) };
                if let Some(ports) = Ports::of(ports) {
                    add(Service::Requests(ports, requests), target.clone());
                }
            }
        }
        let connected: BTreeSet<Target> = services.values().flatten().cloned().collect();
        services.entry(Service::Any).or_default().extend(self.whole.difference(&connected).cloned());
        let rules = services.into_iter().flat_map(|(service, targets)| {
            let rule = move |target| Rule { action: Action::Allow, target, service: service.clone() };
            merged(targets).into_iter().map(rule)
        });
        without_covered(rules.collect())
    }
}

/// Joins neighbouring addresses into ranges that hold nothing else.
fn merged(targets: BTreeSet<Target>) -> Vec<Target> {
    let (mut ranges, mut others) = (Vec::new(), Vec::new());
    for target in targets {
        match target {
            Target::Addresses(range) => ranges.push(range),
            other @ (Target::Any | Target::Hosts(_) | Target::Lan | Target::Host) => others.push(other),
        }
    }
    others.into_iter().chain(IpNet::aggregate(&ranges).into_iter().map(Target::Addresses)).collect()
}

fn without_covered(mut rules: Vec<Rule>) -> Vec<Rule> {
    // By target first, so that a reader finds all that concerns one host in one place.
    rules.sort_by_cached_key(|rule| (rule.target.clone(), rule.to_string()));
    let is_covered = |rule: &Rule| rules.iter().any(|other| other != rule && other.covers(rule));
    rules.iter().filter(|rule| !is_covered(rule)).cloned().collect()
}

#[cfg(test)]
#[path = "learn_tests.rs"]
mod tests;
