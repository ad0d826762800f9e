//! Why an answer that leads elsewhere is not followed.

use crate::reach::Reach;

/// Why an answer that leads elsewhere is not followed. The texts complete "it is not followed: …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum Detour {
    #[error("it leads to `{place}`, which is {}", reach.description())]
    Close { place: String, reach: Reach },
    #[error("it leads to an address of the kind `{scheme}:`")]
    Scheme { scheme: String },
    #[error("it leads from HTTPS to HTTP, at `{place}`")]
    Unencrypted { place: String },
    #[error("it leads to something that is not an address")]
    Unreadable,
    #[error("it leads on more than {max} times")]
    TooOften { max: usize },
    #[error("it would have a secret sent on to `{place}`")]
    Secret { place: String },
}

impl Detour {
    /// The place that a user may trust, where trusting it would help.
    #[must_use]
    pub fn place_to_trust(&self) -> Option<&str> {
        match self {
            Self::Close { place, .. } => Some(place),
            Self::Scheme { .. }
            | Self::Unencrypted { .. }
            | Self::Unreadable
            | Self::TooOften { .. }
            | Self::Secret { .. } => None,
        }
    }
}
