//! The programs of the host that kernels and images are made with, and the packages that bring them.

use banger_model::Hint;
use banger_sys::host::find_program;

/// A program and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostTool {
    /// Its name.
    pub tool: &'static str,
    /// The Debian package.
    pub package: &'static str,
    /// What it is needed for.
    pub needed_for: &'static str,
}

/// Every program this crate runs.
pub const HOST_TOOLS: &[HostTool] = &[
    HostTool { tool: "apt-cache", package: "apt", needed_for: "pulling a Debian kernel" },
    HostTool { tool: "apt-get", package: "apt", needed_for: "pulling a Debian kernel" },
    HostTool { tool: "depmod", package: "kmod", needed_for: "pulling a kernel" },
    HostTool { tool: "mmdebstrap", package: "mmdebstrap", needed_for: "building a Debian image" },
    HostTool { tool: "newuidmap", package: "uidmap", needed_for: "building a Debian image without root" },
];

/// A program is not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the program `{}` is missing (Debian package `{}`)", .0.tool, .0.package)]
pub struct MissingTool(pub HostTool);

impl MissingTool {
    /// The command that brings the program.
    #[must_use]
    pub fn hint(&self) -> Hint {
        Hint::install(self.0.package)
    }
}

/// Fails on the first of these programs that is not installed.
pub(crate) fn require(tools: &[&str]) -> Result<(), MissingTool> {
    let known = HOST_TOOLS.iter().filter(|known| tools.contains(&known.tool));
    known
        .copied()
        .find(|known| find_program(known.tool).is_none())
        .map_or(Ok(()), |tool| Err(MissingTool(tool)))
}
