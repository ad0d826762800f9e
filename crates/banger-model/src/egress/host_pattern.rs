//! Names of hosts in rules.

use super::host_name::{BadHostName, HostName};

/// One name, or all names below one. `*.example.org` means every name below `example.org` at any depth, but not
/// `example.org` itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// This name only.
    Exact(HostName),
    /// Every name below this one.
    Below(HostName),
}

/// The reason why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum BadHostPattern {
    #[error(
        "`{text}` starts with a dot; write `{name}` for the host itself and `*.{name}` for all names below it"
    )]
    LeadingDot { text: String, name: HostName },
    #[error("`{text}` has a `*` inside; write a `*` only as the whole first label, as in `*.example.org`")]
    StarInside { text: String },
    #[error("{0}; write a name such as `example.org`, an address, or `*.example.org`")]
    Name(BadHostName),
}

impl HostPattern {
    /// Tells whether the name is meant.
    #[must_use]
    pub fn matches(&self, name: &HostName) -> bool {
        match self {
            Self::Exact(exact) => exact == name,
            Self::Below(parent) => name.is_below(parent),
        }
    }

    /// Tells whether every name that the other pattern means is meant.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exact(name)) => self.matches(name),
            (Self::Exact(_), Self::Below(_)) => false,
            (Self::Below(parent), Self::Below(name)) => parent == name || name.is_below(parent),
        }
    }
}

impl std::str::FromStr for HostPattern {
    type Err = BadHostPattern;

    fn from_str(text: &str) -> Result<Self, BadHostPattern> {
        let name = |name: &str| name.parse::<HostName>();
        let parsed = match text.strip_prefix("*.") {
            Some(parent) => name(parent).map(Self::Below),
            None => name(text).map(Self::Exact),
        };
        parsed.map_err(|error| {
            let text = text.to_owned();
            match text.strip_prefix('.').map(name) {
                Some(Ok(name)) => BadHostPattern::LeadingDot { text, name },
                _ if text.contains('*') => BadHostPattern::StarInside { text },
                _ => BadHostPattern::Name(BadHostName { text: error.text }),
            }
        })
    }
}

impl std::fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(name) => write!(formatter, "{name}"),
            Self::Below(parent) => write!(formatter, "*.{parent}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        pattern.parse::<HostPattern>().unwrap().matches(&name.parse().unwrap())
    }

    #[test]
    fn a_star_stands_for_one_label_or_more() {
        assert!(matches("*.example.org", "a.example.org"));
        assert!(matches("*.EXAMPLE.org.", "a.b.Example.ORG"));
        assert!(!matches("*.example.org", "example.org"));
        assert!(!matches("*.example.org", "aexample.org"));
        assert!(!matches("*.example.org", "example.org.evil.net"));
        assert!(matches("*.bücher.example", "a.xn--bcher-kva.example"));
        assert!(matches("example.org", "EXAMPLE.ORG."));
        assert!(!matches("example.org", "a.example.org"));
    }

    #[test]
    fn a_pattern_covers_what_lies_below_it() {
        let covers = |one: &str, other: &str| {
            one.parse::<HostPattern>().unwrap().covers(&other.parse::<HostPattern>().unwrap())
        };
        assert!(
            covers("*.org", "*.example.org") && covers("*.org", "example.org") && covers("*.org", "*.org")
        );
        assert!(covers("a.org", "a.org"));
        assert!(!covers("*.a.org", "a.org") && !covers("a.org", "*.a.org") && !covers("*.a.org", "*.org"));
    }

    #[test]
    fn a_fault_says_what_to_write() {
        let error = |text: &str| text.parse::<HostPattern>().unwrap_err().to_string();
        assert_eq!(
            error(".example.org"),
            "`.example.org` starts with a dot; write `example.org` for the host itself and `*.example.org` for all names below it"
        );
        for text in ["a.*.org", "*a.org", "*.*.org", "**", "*."] {
            assert!(error(text).contains("only as the whole first label"), "{text}: {}", error(text));
        }
        assert_eq!(
            error("a_b!.org"),
            "`a_b!.org` is not a valid host name; write a name such as `example.org`, an address, or `*.example.org`"
        );
    }
}
