//! The host's parameters on the kernel command line.

use std::{fs, path::PathBuf};

use banger_agent_proto::{DRIVES_KEY, INIT_KEY};

/// The agent's parameters on the kernel command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct CommandLine {
    /// Roles of the drives, in the order in which they are attached.
    pub(super) drives: Vec<Role>,
    /// The image's init, if it is at an unusual path.
    pub(super) init: Option<PathBuf>,
}

/// The purpose of a drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The image's root, read-only.
    Base,
    /// The kernel's modules, read-only.
    Modules,
    /// The VM's changes to its root.
    Overlay,
    /// Root's home directory.
    Work,
    /// A drive that is not for the agent.
    Other(String),
}

impl Role {
    /// Returns the name on the command line, which is also the drive's serial if it has one.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Base => "base",
            Self::Modules => "modules",
            Self::Overlay => "overlay",
            Self::Work => "work",
            Self::Other(name) => name,
        }
    }

    fn parse(name: &str) -> Self {
        match name {
            "base" => Self::Base,
            "modules" => Self::Modules,
            "overlay" => Self::Overlay,
            "work" => Self::Work,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl CommandLine {
    /// Reads the command line of the running kernel.
    pub(super) fn read() -> Self {
        Self::parse(&fs::read_to_string("/proc/cmdline").unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let mut line = Self::default();
        // Words after a lone `--` are for the init.
        for word in text.split_ascii_whitespace().take_while(|word| *word != "--") {
            match word.split_once('=') {
                Some((DRIVES_KEY, names)) => {
                    line.drives = names.split(',').filter(|name| !name.is_empty()).map(Role::parse).collect();
                }
                Some((INIT_KEY, path)) if !path.is_empty() => line.init = Some(PathBuf::from(path)),
                Some(_) | None => {}
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drives_keep_their_order() {
        let line = CommandLine::parse("console=ttyS0 banger.drives=base,modules,extra,work quiet\n");
        let extra = Role::Other("extra".into());
        assert_eq!(line.drives, [Role::Base, Role::Modules, extra, Role::Work]);
        assert_eq!(line.init, None);
    }

    #[test]
    fn the_last_word_wins_and_the_inits_words_are_left_alone() {
        let line = CommandLine::parse("banger.init=/a banger.init=/b -- banger.init=/c");
        assert_eq!(line.init, Some(PathBuf::from("/b")));
    }

    #[test]
    fn nothing_said_is_nothing_wanted() {
        assert_eq!(CommandLine::parse("banger.drives= banger.init="), CommandLine::default());
    }
}
