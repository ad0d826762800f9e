//! When the image of a new VM is pulled.

use serde::{Deserialize, Serialize};

/// When the image of a new VM is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum PullPolicy {
    /// If it is not here.
    #[default]
    Missing,
    /// Always; from a registry only if that has another image by now.
    Always,
    /// Never.
    Never,
}

impl PullPolicy {
    /// All choices.
    pub const ALL: [Self; 3] = [Self::Always, Self::Missing, Self::Never];

    /// Returns the word that a user types.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Always => "always",
            Self::Never => "never",
        }
    }

    /// Tells whether this is the default, which requests leave out.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing)
    }
}

/// The text does not name a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid pull policy; use always, missing or never")]
pub struct UnknownPullPolicy {
    /// The rejected text.
    pub text: String,
}

impl std::str::FromStr for PullPolicy {
    type Err = UnknownPullPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPullPolicy> {
        let found = Self::ALL.into_iter().find(|policy| policy.as_str() == text);
        found.ok_or_else(|| UnknownPullPolicy { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_named_by_one_word_everywhere() {
        for policy in PullPolicy::ALL {
            assert_eq!(policy.as_str().parse(), Ok(policy));
            assert_eq!(serde_json::to_value(policy).unwrap(), policy.as_str());
        }
        let error = "daily".parse::<PullPolicy>().unwrap_err();
        assert_eq!(error.to_string(), "`daily` is not a valid pull policy; use always, missing or never");
    }
}
