//! When the image of a new VM is pulled.

use serde::{Deserialize, Serialize};

use crate::words::words;

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
    /// Tells whether this is the default, which requests leave out.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing)
    }
}

words! {
    PullPolicy as "a valid pull policy" { Always = "always", Missing = "missing", Never = "never" }
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
