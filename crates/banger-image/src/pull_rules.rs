//! What pulls keep to, as the configuration says it.

use banger_model::{DiskFloor, Hint};

use crate::limits::PullLimits;

/// What pulls keep to. By default nothing of the disk is kept free: that is for who knows what else needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRules {
    /// Places (`host` or `host:port`) where answers may lead wherever they are.
    pub trusted: Vec<String>,
    /// What one pull may take.
    pub limits: PullLimits,
    /// How much of the disk stays free.
    pub floor: DiskFloor,
}

impl Default for PullRules {
    fn default() -> Self {
        Self { trusted: Vec::new(), limits: PullLimits::default(), floor: DiskFloor::Bytes(0) }
    }
}

/// What a user writes who wants answers to lead there.
pub(crate) fn trust(place: &str) -> Hint {
    Hint::advice(format!(
        "if you trust it, add it to the configuration, under [pulls]: redirects_to = [\"{place}\"]"
    ))
}
