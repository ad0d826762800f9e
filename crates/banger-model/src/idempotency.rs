//! Idempotency keys: a caller that repeats a request because it did not see the answer sends the same key again.

use serde::{Deserialize, Serialize};

/// Maximum number of characters in a key.
const LENGTH_MAX: usize = 128;

/// The text is not a valid key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a valid idempotency key; use 1 to 128 printable ASCII characters without spaces", .text.escape_debug())]
pub struct BadIdempotencyKey {
    /// The rejected text.
    pub text: String,
}

/// A key that the caller chooses: 1 to 128 printable ASCII characters without spaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, pattern = r"^[!-~]{1,128}$"))]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for IdempotencyKey {
    type Err = BadIdempotencyKey;

    fn from_str(text: &str) -> Result<Self, BadIdempotencyKey> {
        let is_good =
            (1..=LENGTH_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_good { Ok(Self(text.to_owned())) } else { Err(BadIdempotencyKey { text: text.to_owned() }) }
    }
}

impl TryFrom<String> for IdempotencyKey {
    type Error = BadIdempotencyKey;

    fn try_from(text: String) -> Result<Self, BadIdempotencyKey> {
        text.parse()
    }
}

impl From<IdempotencyKey> for String {
    fn from(key: IdempotencyKey) -> Self {
        key.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_printable_and_of_bounded_length() {
        for good in ["a", "7b0c8f3e-2f1d-4b5e-9a3c-0d1e2f3a4b5c", &"x".repeat(128)] {
            let key: IdempotencyKey = good.parse().unwrap();
            assert_eq!((key.as_str(), String::from(key.clone())), (good, good.to_owned()));
        }
        for bad in ["", "a b", "ä", "a\n", &"x".repeat(129)] {
            assert!(bad.parse::<IdempotencyKey>().is_err(), "{bad}");
        }
    }
}
