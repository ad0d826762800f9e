//! The reasons why a redirection is not followed.

use crate::reach::Reach;

/// The reason why a redirection is not followed. The texts complete "it is not followed: …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum Detour {
    #[error("it leads to `{place}`, which is {}", reach.description())]
    Close { place: String, reach: Reach },
    #[error("it leads to the unsupported scheme `{scheme}:`")]
    Scheme { scheme: String },
    #[error("it leads from HTTPS to HTTP, at `{place}`")]
    Unencrypted { place: String },
    #[error("it leads to an invalid URL")]
    Unreadable,
    #[error("there are more than {max} redirects")]
    TooOften { max: usize },
    #[error("it would send credentials to `{place}`")]
    Secret { place: String },
}

impl Detour {
    /// The place that a user may add to the trusted ones; absent if that makes no sense, as with a metadata service.
    #[must_use]
    pub fn place_to_trust(&self) -> Option<&str> {
        match self {
            Self::Close { reach: Reach::Reserved, .. } => None,
            Self::Close { place, reach: Reach::World | Reach::Network | Reach::Host } => Some(place),
            Self::Scheme { .. }
            | Self::Unencrypted { .. }
            | Self::Unreadable
            | Self::TooOften { .. }
            | Self::Secret { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_to_trust_a_metadata_service() {
        let close = |reach| Detour::Close { place: "x".to_owned(), reach };
        assert_eq!(close(Reach::Reserved).place_to_trust(), None);
        assert_eq!(close(Reach::Network).place_to_trust(), Some("x"));
        assert_eq!(Detour::Unreadable.place_to_trust(), None);
    }
}
