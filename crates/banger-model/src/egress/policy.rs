//! Policies as text, and their parts.
//!
//! ```text
//! # what `make deps` needs
//! default deny
//! allow deb.debian.org:80
//! allow *.crates.io:443
//! allow GET,HEAD github.com/owner/*
//! deny  telemetry.example.org
//! ```

use super::ports::Ports;
use super::rule::{Action, Rule, Service, Target};
use super::rule_text::BadRule;

/// Maximum size of a policy's text in bytes.
pub const POLICY_BYTES_MAX: usize = 64 * 1024;

/// Maximum number of rules. Each is compared with each connection.
pub const RULES_MAX: usize = 1000;

const DEFAULT: &str = "default";

/// What a guest may reach. The order of rules has no meaning: whatever a rule denies is refused, whatever another one allows
/// is permitted, and the default decides the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressPolicy {
    /// What becomes of addresses and names of the internet that no rule means. The host and the local network stay closed.
    pub default: Action,
    /// At most [`RULES_MAX`], without repetitions.
    rules: Vec<Rule>,
}

/// The reason why a text is not a policy, with the line that is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct BadPolicy {
    /// Number of the line, counted from 1.
    pub line: usize,
    /// Its fault.
    pub fault: PolicyFault,
}

/// What a policy's text can have wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum PolicyFault {
    #[error(transparent)]
    Rule(BadRule),
    #[error("`{text}` does not say what becomes of the rest; write `default deny` or `default allow`")]
    Default { text: String },
    #[error("the default was given in line {first} already; remove one of the two lines")]
    SecondDefault { first: usize },
    #[error("all rules are `deny` and no default is given; write `default allow` to permit the rest")]
    OnlyDenies,
    #[error("a policy has at most {RULES_MAX} rules; write ranges and `*.` names instead of single ones")]
    TooManyRules,
    #[error("a policy has at most {POLICY_BYTES_MAX} bytes")]
    TooLong,
}

impl EgressPolicy {
    /// Returns the policy of a guest for which nothing was said: the internet is open.
    #[must_use]
    pub fn open() -> Self {
        Self { default: Action::Allow, rules: Vec::new() }
    }

    /// Returns the policy under which nothing is reached.
    #[must_use]
    pub fn closed() -> Self {
        Self { default: Action::Deny, rules: Vec::new() }
    }

    /// Returns the rules.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Adds a rule unless it is there. Returns whether there was room for it.
    pub fn add(&mut self, rule: Rule) -> bool {
        if self.rules.contains(&rule) {
            return true;
        }
        let has_room = self.rules.len() < RULES_MAX;
        if has_room {
            self.rules.push(rule);
        }
        has_room
    }

    /// Opens single ports of the host, for connections and datagrams.
    pub fn allow_host_ports(&mut self, ports: impl IntoIterator<Item = u16>) -> bool {
        Ports::of(ports).is_none_or(|ports| {
            self.add(Rule {
                action: Action::Allow,
                target: Target::Host,
                service: Service::Ports(None, ports),
            })
        })
    }

    /// Opens the local network.
    pub fn allow_lan(&mut self) -> bool {
        self.add(Rule { action: Action::Allow, target: Target::Lan, service: Service::Any })
    }

    /// Tells whether anything depends on a host's name, so that what hides the name has to be refused.
    #[must_use]
    pub fn has_names(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule.target, Target::Hosts(_)))
    }
}

impl std::str::FromStr for EgressPolicy {
    type Err = BadPolicy;

    fn from_str(text: &str) -> Result<Self, BadPolicy> {
        if text.len() > POLICY_BYTES_MAX {
            return Err(BadPolicy { line: text.lines().count(), fault: PolicyFault::TooLong });
        }
        let mut default: Option<(usize, Action)> = None;
        let mut policy = Self::closed();
        let mut last = 1;
        for (number, line) in text.lines().enumerate() {
            let (number, line) = (number + 1, line.split('#').next().unwrap_or(line).trim());
            if line.is_empty() {
                continue;
            }
            last = number;
            let fault = |fault| BadPolicy { line: number, fault };
            if line.split_whitespace().next() == Some(DEFAULT) {
                let action = default_of(line).map_err(fault)?;
                if let Some((first, _)) = default.replace((number, action)) {
                    return Err(fault(PolicyFault::SecondDefault { first }));
                }
            } else {
                let rule = line.parse().map_err(PolicyFault::Rule).map_err(fault)?;
                if !policy.add(rule) {
                    return Err(fault(PolicyFault::TooManyRules));
                }
            }
        }
        let has_only_denies =
            !policy.rules.is_empty() && policy.rules.iter().all(|rule| rule.action == Action::Deny);
        match default {
            Some((_, default)) => policy.default = default,
            None if has_only_denies => return Err(BadPolicy { line: last, fault: PolicyFault::OnlyDenies }),
            None => {}
        }
        Ok(policy)
    }
}

fn default_of(line: &str) -> Result<Action, PolicyFault> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let action = match words.as_slice() {
        [_, word] => Action::of_word(word),
        _ => None,
    };
    action.ok_or_else(|| PolicyFault::Default { text: line.to_owned() })
}

impl std::fmt::Display for EgressPolicy {
    /// Writes the text that is read as this policy.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(formatter, "{DEFAULT} {}", self.default.as_str())?;
        self.rules.iter().try_for_each(|rule| writeln!(formatter, "{rule}"))
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
pub(super) mod tests;
