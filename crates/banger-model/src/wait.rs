//! The two boundaries of readiness.

use serde::{Deserialize, Serialize};

/// Which readiness boundary a start waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum WaitFor {
    /// Commands, ssh and transfers run; the image's init may still start its services.
    #[default]
    Agent,
    /// The init reached its default target.
    System,
}
