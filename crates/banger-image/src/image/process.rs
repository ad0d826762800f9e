//! How processes of an image start, where the image says so: container images do.

use serde::{Deserialize, Serialize};

/// What an image says about its processes. In the guest, a caller's own wishes come first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageProcess {
    /// What runs where nobody names a command: the image's entry point with its arguments. Empty: a shell.
    pub command: Vec<String>,
    /// Variables of every process, as `NAME=VALUE`.
    pub environment: Vec<String>,
    /// Who processes are: a name or number, with or without a group; empty is root.
    pub user: String,
    /// Where processes start; empty is the root directory.
    pub working_directory: String,
}
