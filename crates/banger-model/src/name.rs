//! Names of VMs. A VM's name is its host name, so it follows the rule for a label of a host name (RFC 1123, section 2.1), in
//! lower case.

use serde::{Deserialize, Serialize};

/// Maximum number of characters in a name (RFC 1035, section 2.3.4: a label has at most 63 octets).
const NAME_LENGTH_MAX: usize = 63;

/// The reason why a text is not a valid name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum NameError {
    #[error("the {what} is empty")]
    Empty { what: &'static str },
    #[error("{what} `{name}`: use at most {max} characters; this has {length}")]
    TooLong { what: &'static str, name: String, length: usize, max: usize },
    #[error("{what} `{name}`: use only {allowed}")]
    BadCharacter { what: &'static str, name: String, character: char, allowed: &'static str },
    #[error("{what} `{name}`: start and end with a letter or digit, not `{character}`")]
    BadEnd { what: &'static str, name: String, character: char },
}

/// Checks a name: it consists of `[a-z0-9]` and `separators`, has at most `max` characters, and no separator at either end.
pub(crate) fn check_name(
    what: &'static str,
    name: &str,
    separators: &str,
    allowed: &'static str,
) -> Result<(), NameError> {
    let length = name.chars().count();
    if length == 0 {
        return Err(NameError::Empty { what });
    }
    if length > NAME_LENGTH_MAX {
        return Err(NameError::TooLong { what, name: name.to_owned(), length, max: NAME_LENGTH_MAX });
    }
    let is_plain = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    if let Some(character) = name.chars().find(|&c| !is_plain(c) && !separators.contains(c)) {
        return Err(NameError::BadCharacter { what, name: name.to_owned(), character, allowed });
    }
    for end in [name.chars().next(), name.chars().next_back()] {
        if let Some(character) = end.filter(|&character| !is_plain(character)) {
            return Err(NameError::BadEnd { what, name: name.to_owned(), character });
        }
    }
    Ok(())
}

/// Defines a value type for a checked text. The pattern tells clients of the API what the check accepts.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $pattern:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, pattern = $pattern))]
        pub struct $name(String);

        impl $name {
            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::NameError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                let check: fn(&str) -> Result<(), $crate::NameError> = $check;
                check(&text)?;
                Ok(Self(text))
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.pad(&self.0)
            }
        }
    };
}
pub(crate) use text_type;

text_type!(
    /// Name of a VM: 1 to 63 characters of `[a-z0-9-]`, no hyphen at either end. It is never altered silently.
    VmName,
    r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    |text| check_name("VM name", text, "-", "a–z, 0–9 and `-`")
);

text_type!(
    /// Identity of a VM for its whole life: 16 lower-case hexadecimal digits.
    VmId,
    r"^[0-9a-f]{1,16}$",
    |text| {
        let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        match text.chars().find(|&character| !is_hex(character)) {
            Some(character) => Err(NameError::BadCharacter {
                what: "VM id",
                name: text.to_owned(),
                character,
                allowed: "0–9 and a–f",
            }),
            None if text.len() > 16 => Err(NameError::TooLong {
                what: "VM id",
                name: text.to_owned(),
                length: text.len(),
                max: 16,
            }),
            None if text.is_empty() => Err(NameError::Empty { what: "VM id" }),
            None => Ok(()),
        }
    }
);

impl VmId {
    /// Returns the ID with these 64 bits.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self(format!("{bits:016x}"))
    }
}

const QUALITIES: [&str; 32] = [
    "able", "amber", "brave", "brisk", "calm", "clear", "clever", "coral", "crisp", "eager", "early", "fair",
    "fleet", "fond", "fresh", "gentle", "glad", "golden", "happy", "keen", "kind", "light", "lively",
    "lucky", "mellow", "merry", "neat", "noble", "quick", "quiet", "sunny", "warm",
];
const THINGS: [&str; 32] = [
    "acorn", "birch", "brook", "cedar", "cliff", "cloud", "comet", "crane", "delta", "dune", "elm", "falcon",
    "fern", "finch", "fjord", "grove", "harbor", "heron", "island", "lark", "maple", "meadow", "otter",
    "pebble", "pine", "reef", "ridge", "river", "robin", "spruce", "tide", "willow",
];

/// Makes a name from 32 random bits: an adjective, a noun and four digits, such as `brisk-otter-0417`.
#[must_use]
pub fn generate_name(random: u32) -> VmName {
    let word = |words: &[&'static str; 32], bits: u32| -> &'static str {
        words.get((bits % 32) as usize).copied().unwrap_or("vm")
    };
    VmName(format!(
        "{}-{}-{:04}",
        word(&QUALITIES, random),
        word(&THINGS, random >> 5),
        (random >> 10) % 10_000
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn good_names_are_taken_as_they_are() {
        for name in ["a", "dev", "my-box-2", "0", &"x".repeat(63)] {
            assert_eq!(name.parse::<VmName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn bad_names_are_refused_with_one_sentence() {
        let refusal = |name: &str| name.parse::<VmName>().unwrap_err().to_string();
        assert_eq!(refusal(""), "the VM name is empty");
        assert_eq!(
            refusal(&"x".repeat(64)).split(": ").nth(1),
            Some("use at most 63 characters; this has 64")
        );
        assert_eq!(refusal("box/../evil"), "VM name `box/../evil`: use only a–z, 0–9 and `-`");
        assert_eq!(refusal("-a"), "VM name `-a`: start and end with a letter or digit, not `-`");
        for name in ["a-", "Dev", "a_b", "a.b", "ä", "a b", "a\n", "a\0"] {
            assert!(name.parse::<VmName>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_bad_name_cannot_come_in_through_json() {
        assert!(serde_json::from_str::<VmName>("\"Bad\"").is_err());
        assert_eq!(serde_json::to_string(&"ok".parse::<VmName>().unwrap()).unwrap(), "\"ok\"");
    }

    #[test]
    fn a_generated_name_has_two_words_and_four_digits_of_its_bits() {
        let random = |quality: u32, thing: u32, digits: u32| quality + (thing << 5) + (digits << 10);
        for (random, name) in [
            (random(0, 0, 0), "able-acorn-0000"),
            (random(1, 1, 7), "amber-birch-0007"),
            (random(31, 31, 9_999), "warm-willow-9999"),
            (random(0, 2, 10_000), "able-brook-0000"),
        ] {
            assert_eq!(generate_name(random).as_str(), name);
        }
    }

    proptest! {
        #[test]
        fn a_name_is_taken_exactly_when_it_is_a_label(name in "\\PC{0,70}|[a-z0-9-]{0,66}") {
            let is_label = !name.is_empty()
                && name.len() <= 63
                && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
                && !name.starts_with('-')
                && !name.ends_with('-');
            prop_assert_eq!(name.parse::<VmName>().is_ok(), is_label);
        }

        #[test]
        fn every_generated_name_is_a_name(random: u32) {
            let name = generate_name(random);
            prop_assert!(name.as_str().parse::<VmName>().is_ok());
        }
    }
}
