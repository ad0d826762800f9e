//! The VMM that a user requests.

use serde::{Deserialize, Serialize};

/// The requested VMM (`--vmm` or the configuration).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum WantedVmm {
    /// The best VMM that works on this host.
    #[default]
    Auto,
    /// QEMU only.
    Qemu,
    /// Firecracker only.
    Firecracker,
}

impl WantedVmm {
    /// All choices.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Qemu, Self::Firecracker];

    /// Returns the word that a user types.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Qemu => "qemu",
            Self::Firecracker => "firecracker",
        }
    }
}

/// The text does not name a VMM.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid VMM; use auto, qemu or firecracker")]
pub struct UnknownVmm {
    /// The rejected text.
    pub text: String,
}

impl std::str::FromStr for WantedVmm {
    type Err = UnknownVmm;

    fn from_str(text: &str) -> Result<Self, UnknownVmm> {
        let found = Self::ALL.into_iter().find(|wanted| wanted.as_str() == text);
        found.ok_or_else(|| UnknownVmm { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vmm_is_named_by_one_word_everywhere() {
        for wanted in WantedVmm::ALL {
            assert_eq!(wanted.as_str().parse(), Ok(wanted));
            assert_eq!(serde_json::to_value(wanted).unwrap(), wanted.as_str());
        }
        let error = "xen".parse::<WantedVmm>().unwrap_err();
        assert_eq!(error.to_string(), "`xen` is not a valid VMM; use auto, qemu or firecracker");
    }
}
