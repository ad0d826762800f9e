//! The VMM that a user requests.

use serde::{Deserialize, Serialize};

use crate::words::words;

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

words! {
    WantedVmm as "a valid VMM" { Auto = "auto", Qemu = "qemu", Firecracker = "firecracker" }
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
