//! Whether a guest may do what it tries. Everything is decided from the policy, the host's facts and the names that the guest
//! has resolved; the caller holds the connection until the verdict.

use std::net::IpAddr;

use super::address_class::{AddressClass, HostFacts, is_only_lan};
use super::embedding::nat64;
use super::host_name::HostName;
use super::policy::EgressPolicy;
use super::protocol::Protocol;
use super::refusal::Refusal;
use super::request::RequestPath;
use super::rule::{Action, Rule, Service, Target};

/// A connection, a first datagram or an echo request of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// By which protocol.
    pub protocol: Protocol,
    /// To which address.
    pub address: IpAddr,
    /// To which port; 0 for echo requests.
    pub port: u16,
    /// The names that the guest has resolved to this address and that are still valid.
    pub names: &'a [HostName],
}

/// What the guest's first bytes say about the host that it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A TLS client hello with this name.
    Tls(HostName),
    /// An HTTP request to this host.
    Http(HostName),
    /// A TLS client hello or an HTTP request without the name of a host.
    NoName,
    /// A TLS client hello whose name is encrypted.
    EncryptedName,
    /// A QUIC packet.
    Quic,
    /// Something else, or the server speaks first.
    Other,
}

/// What becomes of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is permitted.
    Allow,
    /// It depends on the host that the guest means: read its first bytes and call [`EgressPolicy::decide_said`]. Nothing is
    /// sent to the server before.
    ReadName,
    /// Each request has to be read: call [`EgressPolicy::decide_request`] for every one, the first one included.
    ReadRequests,
    /// It is refused.
    Refuse(Refusal),
}

/// What the rules say about one name of an attempt.
#[derive(Clone, Copy)]
enum Outcome<'p> {
    Denied(&'p Rule),
    Allowed,
    SomeRequests,
    NotAllowed,
}

/// A request of which the path is `None` if it can be read in two ways.
type Request<'a> = (&'a str, Option<&'a RequestPath>);

/// Ports on which a name is required under a policy of names. Elsewhere a protocol need not have any, as with SSH.
const WEB_PORTS: [u16; 4] = [80, 443, 8080, 8443];

impl EgressPolicy {
    /// Decides when a guest connects, sends a first datagram or an echo request.
    #[must_use]
    pub fn decide(&self, attempt: &Attempt<'_>, facts: &HostFacts) -> Verdict {
        let class = AddressClass::of(attempt.address, facts);
        if !class.can_be_opened() {
            return Verdict::Refuse(Refusal::Closed { class });
        }
        let scene = Scene { policy: self, class, attempt, facts };
        let named = || attempt.names.iter().map(|name| scene.outcome(Some(name), None));
        let read_name = if attempt.protocol == Protocol::Icmp { Verdict::Allow } else { Verdict::ReadName };
        let denied = named().find_map(Outcome::denied);
        match scene.outcome(None, None) {
            Outcome::Denied(rule) => Verdict::Refuse(denied_by(rule)),
            Outcome::Allowed if !scene.a_name_can_be_denied() => Verdict::Allow,
            Outcome::Allowed | Outcome::SomeRequests => match denied {
                Some(rule) if named().all(|outcome| outcome.denied().is_some()) => {
                    Verdict::Refuse(denied_by(rule))
                }
                _ => read_name,
            },
            Outcome::NotAllowed if named().any(Outcome::may_go_on) => read_name,
            Outcome::NotAllowed => Verdict::Refuse(denied.map_or_else(|| scene.not_allowed(), denied_by)),
        }
    }

    /// Decides after [`Verdict::ReadName`], when the guest's first bytes have been read.
    #[must_use]
    pub fn decide_said(&self, attempt: &Attempt<'_>, facts: &HostFacts, said: &Said) -> Verdict {
        let class = AddressClass::of(attempt.address, facts);
        let scene = Scene { policy: self, class, attempt, facts };
        // Open for itself, whatever its name is.
        let is_open = class.can_be_opened() && matches!(scene.outcome(None, None), Outcome::Allowed);
        match said {
            Said::Tls(name) => match scene.outcome_of_said(name, is_open, None) {
                Ok(Outcome::Allowed) => Verdict::Allow,
                Ok(Outcome::SomeRequests) => Verdict::Refuse(Refusal::HiddenRequests),
                Ok(Outcome::Denied(rule)) => Verdict::Refuse(denied_by(rule)),
                Ok(Outcome::NotAllowed) => Verdict::Refuse(scene.not_allowed()),
                Err(refusal) => Verdict::Refuse(refusal),
            },
            Said::Http(name) => match scene.outcome_of_said(name, is_open, None) {
                // The next request of the connection can name another host.
                Ok(Outcome::Allowed | Outcome::SomeRequests) => Verdict::ReadRequests,
                Ok(Outcome::Denied(rule)) => Verdict::Refuse(denied_by(rule)),
                Ok(Outcome::NotAllowed) => Verdict::Refuse(scene.not_allowed()),
                Err(refusal) => Verdict::Refuse(refusal),
            },
            Said::EncryptedName => Verdict::Refuse(Refusal::EncryptedName),
            Said::Quic => Verdict::Refuse(Refusal::Quic),
            Said::NoName | Said::Other if is_open => Verdict::Allow,
            Said::NoName => Verdict::Refuse(Refusal::NoName),
            Said::Other if attempt.protocol == Protocol::Tcp && WEB_PORTS.contains(&attempt.port) => {
                Verdict::Refuse(Refusal::NotWeb)
            }
            Said::Other => {
                let is_allowed = |name| matches!(scene.outcome(Some(name), None), Outcome::Allowed);
                if attempt.names.iter().any(is_allowed) {
                    Verdict::Allow
                } else {
                    Verdict::Refuse(Refusal::NotWeb)
                }
            }
        }
    }

    /// Decides after [`Verdict::ReadRequests`], for each request: its host, its method and its target without scheme and host.
    #[must_use]
    pub fn decide_request(
        &self,
        attempt: &Attempt<'_>,
        facts: &HostFacts,
        name: &HostName,
        (method, target): (&str, &str),
    ) -> Verdict {
        let class = AddressClass::of(attempt.address, facts);
        let scene = Scene { policy: self, class, attempt, facts };
        let is_open = class.can_be_opened() && matches!(scene.outcome(None, None), Outcome::Allowed);
        let path = RequestPath::of_target(target);
        match scene.outcome_of_said(name, is_open, Some((method, path.as_ref()))) {
            Ok(Outcome::Allowed) => Verdict::Allow,
            Ok(Outcome::Denied(rule)) => Verdict::Refuse(denied_by(rule)),
            Ok(Outcome::SomeRequests | Outcome::NotAllowed) => Verdict::Refuse(scene.not_allowed()),
            Err(refusal) => Verdict::Refuse(refusal),
        }
    }

    /// Decides whether a name may be resolved. Under `default deny` these are the names that some rule allows; otherwise all but
    /// those of which everything is denied.
    ///
    /// # Errors
    /// The reason why it may not.
    pub fn may_resolve(&self, name: &HostName) -> Result<(), Refusal> {
        let means = |rule: &&Rule| match &rule.target {
            Target::Any => true,
            Target::Hosts(pattern) => pattern.matches(name),
            Target::Addresses(_) | Target::Lan | Target::Host => false,
        };
        let mut rules = self.rules().iter().filter(means);
        let denies_all = |rule: &&Rule| rule.action == Action::Deny && rule.service == Service::Any;
        if let Some(rule) = rules.clone().find(denies_all) {
            return Err(denied_by(rule));
        }
        match self.default {
            Action::Allow => Ok(()),
            Action::Deny if rules.any(|rule| rule.action == Action::Allow) => Ok(()),
            Action::Deny => Err(Refusal::NotAllowed),
        }
    }

    /// Decides whether the answer to a query may contain an address. A name must not lead to what is closed (rebinding): where a
    /// class can be opened, some rule has to open at least one of the address's ports.
    ///
    /// # Errors
    /// The reason why it may not.
    pub fn may_answer(&self, address: IpAddr, facts: &HostFacts) -> Result<(), Refusal> {
        let class = AddressClass::of(address, facts);
        let is_opened = |rule: &Rule| {
            rule.action == Action::Allow
                && match (&rule.target, class) {
                    (Target::Lan, AddressClass::Lan) | (Target::Host, AddressClass::Gateway) => true,
                    (Target::Addresses(range), AddressClass::Lan) => {
                        is_only_lan(range, facts) && rule.target.holds(address)
                    }
                    _ => false,
                }
        };
        if class == AddressClass::Public || class.can_be_opened() && self.rules().iter().any(is_opened) {
            Ok(())
        } else {
            Err(Refusal::Rebinding { address, class })
        }
    }
}

fn denied_by(rule: &Rule) -> Refusal {
    Refusal::Denied { rule: rule.to_string() }
}

impl<'p> Outcome<'p> {
    fn denied(self) -> Option<&'p Rule> {
        match self {
            Self::Denied(rule) => Some(rule),
            Self::Allowed | Self::SomeRequests | Self::NotAllowed => None,
        }
    }

    fn may_go_on(self) -> bool {
        match self {
            Self::Allowed | Self::SomeRequests => true,
            Self::Denied(_) | Self::NotAllowed => false,
        }
    }
}

/// What does not change while an attempt is decided.
#[derive(Clone, Copy)]
struct Scene<'a, 'p> {
    policy: &'p EgressPolicy,
    class: AddressClass,
    attempt: &'a Attempt<'a>,
    facts: &'a HostFacts,
}

impl<'p> Scene<'_, 'p> {
    /// Returns what the rules say about the name in TLS or HTTP.
    fn outcome_of_said(
        self,
        name: &HostName,
        is_open: bool,
        request: Option<Request<'_>>,
    ) -> Result<Outcome<'p>, Refusal> {
        let outcome = self.outcome(Some(name), request);
        let agrees = is_open || self.attempt.names.contains(name) || outcome.denied().is_some();
        agrees.then_some(outcome).ok_or(Refusal::NameDisagrees)
    }

    fn outcome(self, name: Option<&HostName>, request: Option<Request<'_>>) -> Outcome<'p> {
        let mut is_allowed = self.class == AddressClass::Public && self.policy.default == Action::Allow;
        let (mut allows_some, mut denies_some) = (false, false);
        for rule in self.policy.rules() {
            if !rule.service.touches(self.attempt.protocol, self.attempt.port) || !self.is_meant(rule, name) {
                continue;
            }
            match (rule.action, rule.service.requests(), request) {
                (Action::Deny, None, _) => return Outcome::Denied(rule),
                (Action::Allow, None, _) => is_allowed = true,
                (Action::Allow, Some(_), None) => allows_some = true,
                (Action::Deny, Some(_), None) => denies_some = true,
                (Action::Allow, Some(requests), Some((method, path))) => {
                    is_allowed |= path.is_some_and(|path| requests.match_request(method, path));
                }
                (Action::Deny, Some(requests), Some((method, path))) => {
                    if path.is_none_or(|path| requests.match_request(method, path)) {
                        return Outcome::Denied(rule);
                    }
                }
            }
        }
        match (is_allowed, allows_some, denies_some) {
            (true, _, false) => Outcome::Allowed,
            (true, _, true) | (false, true, _) => Outcome::SomeRequests,
            (false, false, _) => Outcome::NotAllowed,
        }
    }

    /// Tells whether the target of a rule means the address by this name.
    fn is_meant(self, rule: &Rule, name: Option<&HostName>) -> bool {
        let address = self.attempt.address;
        let inner = match address {
            IpAddr::V6(address) => nat64(address).map(IpAddr::from),
            IpAddr::V4(_) => None,
        };
        let holds = rule.target.holds(address) || inner.is_some_and(|inner| rule.target.holds(inner));
        let is_public = self.class == AddressClass::Public;
        match (&rule.target, rule.action) {
            (Target::Any, Action::Allow) => is_public,
            (Target::Any, Action::Deny) => true,
            (Target::Hosts(pattern), action) => {
                (is_public || action == Action::Deny) && name.is_some_and(|name| pattern.matches(name))
            }
            (Target::Addresses(range), Action::Allow) => {
                holds && (is_public || self.is_lan() && is_only_lan(range, self.facts))
            }
            (Target::Addresses(_), Action::Deny) => holds,
            (Target::Lan, _) => self.is_lan(),
            (Target::Host, _) => self.class == AddressClass::Gateway,
        }
    }

    fn is_lan(self) -> bool {
        self.class == AddressClass::Lan
    }

    /// Tells whether some name could be denied here, so that it has to be read even where the address is open.
    fn a_name_can_be_denied(self) -> bool {
        self.policy.rules().iter().any(|rule| {
            rule.action == Action::Deny
                && matches!(rule.target, Target::Hosts(_))
                && rule.service.touches(self.attempt.protocol, self.attempt.port)
        })
    }

    fn not_allowed(self) -> Refusal {
        match self.class {
            AddressClass::Public => Refusal::NotAllowed,
            class => Refusal::Closed { class },
        }
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
