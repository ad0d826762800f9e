//! Names of hosts as DNS has them.

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use serde::{Deserialize, Serialize};

/// A host's name in the form in which names are compared: ASCII (IDNA), lower case, without a trailing dot, at most 253 bytes
/// in labels of at most 63. Labels consist of letters, digits, hyphens and underscores, and the last one is not a number, so
/// no spelling of an address is a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
pub struct HostName(Box<str>);

/// The text is not the name of a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid host name")]
pub struct BadHostName {
    /// The rejected text.
    pub text: String,
}

impl HostName {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether the name is below the other one: `a.b.example.org` is below `example.org`, which is not below itself.
    #[must_use]
    pub fn is_below(&self, parent: &Self) -> bool {
        self.0.strip_suffix(parent.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    }

    /// Returns the labels, beginning with the host's own.
    #[must_use]
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }
}

impl std::str::FromStr for HostName {
    type Err = BadHostName;

    fn from_str(text: &str) -> Result<Self, BadHostName> {
        let bad = || BadHostName { text: text.to_owned() };
        let name = text.strip_suffix('.').unwrap_or(text);
        // The rule of browsers, which write the same name for what a user types.
        let name = Uts46::new()
            .to_ascii(name.as_bytes(), AsciiDenyList::URL, Hyphens::Allow, DnsLength::Verify)
            .ok()
            .ok_or_else(bad)?;
        let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
        let is_number = |label: &str| {
            label.bytes().all(|byte| byte.is_ascii_digit())
                || label
                    .strip_prefix("0x")
                    .is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
        };
        if !name.bytes().all(is_plain) || name.rsplit('.').next().is_none_or(is_number) {
            return Err(bad());
        }
        Ok(Self(name.into()))
    }
}

impl TryFrom<String> for HostName {
    type Error = BadHostName;

    fn try_from(text: String) -> Result<Self, BadHostName> {
        text.parse()
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.0.into()
    }
}

impl std::fmt::Display for HostName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> HostName {
        text.parse().unwrap()
    }

    #[test]
    fn spellings_of_one_name_are_one_name() {
        for text in ["example.org", "EXAMPLE.org", "example.org.", "ｅxample.org", "example。org"] {
            assert_eq!(name(text).as_str(), "example.org", "{text}");
        }
        assert_eq!(name("Bücher.example").as_str(), "xn--bcher-kva.example");
        assert_eq!(name("XN--BCHER-KVA.example"), name("bücher.example"));
        for text in ["r3---sn-x.example", "_https._tcp.example.org", "localhost", "a", "1.example", "xn.0xg"]
        {
            assert_eq!(name(text).as_str(), text);
        }
    }

    #[test]
    fn addresses_in_any_spelling_and_other_texts_are_not_names() {
        let long_label = "a".repeat(64);
        let long_name = ["a".repeat(63).as_str(); 4].join(".");
        for text in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a.b..",
            "1.2.3.4",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0x7f000001",
            "0x",
            "::1",
            "[::1]",
            "１２７.１",
            "a b",
            "a/b",
            "a:80",
            "*.a",
            "a@b",
            "a%2eb",
            "a\0b",
            "xn--",
            "xn--a",
            &long_label,
            &long_name,
        ] {
            assert!(text.parse::<HostName>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_is_below_its_parents_only() {
        assert!(name("a.example.org").is_below(&name("example.org")));
        assert!(name("a.b.example.org").is_below(&name("example.org")));
        assert!(!name("example.org").is_below(&name("example.org")));
        assert!(!name("badexample.org").is_below(&name("example.org")));
        assert!(!name("example.org").is_below(&name("a.example.org")));
        assert!(!name("example.org.evil.net").is_below(&name("example.org")));
    }

    proptest! {
        #[test]
        fn a_name_stays_the_same_when_it_is_read_again(text in "\\PC{0,40}|[a-zA-Z0-9._-]{1,80}") {
            if let Ok(name) = text.parse::<HostName>() {
                prop_assert_eq!(name.as_str().parse::<HostName>(), Ok(name.clone()));
                prop_assert_eq!(format!("{name}.").to_ascii_uppercase().parse::<HostName>(), Ok(name.clone()));
                prop_assert!(name.as_str().len() <= 253);
                prop_assert!(name.labels().all(|label| (1..=63).contains(&label.len())));
                prop_assert!(name.as_str().parse::<std::net::IpAddr>().is_err());
            }
        }
    }
}
