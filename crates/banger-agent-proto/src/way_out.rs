//! How the host learns that a guest is about to end, and how: a stream on the stream port that is silent until then. The end
//! of the machine alone does not tell, because a VMM may exit in the same way for a reboot and for a panic.
//!
//! ```text
//! way-out\n ─▶
//!           ◀─ OK all\n     `all`: every orderly end is announced; otherwise only those that the agent notices
//!           ◀─ unknown\n    the guest is shutting down
//!           ◀─ reboot\n     and will reboot; the stream ends with the machine
//! ```

/// The first line on the stream port that requests the announcement.
pub const REQUEST: &str = "way-out";

/// Longest line of the answer, with its newline.
pub const LINE_BYTES_MAX: usize = 64;

/// The word that withdraws an earlier one.
pub const NONE: &str = "none";

/// What a guest that shuts down does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayOut {
    /// It switches the power off.
    PowerOff,
    /// It reboots.
    Reboot,
    /// It stops its processors and leaves the power on.
    Halt,
    /// It ends in order, but its init does not say how.
    Unknown,
}

impl WayOut {
    /// Returns the word, without a newline.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::PowerOff => "poweroff",
            Self::Reboot => "reboot",
            Self::Halt => "halt",
            Self::Unknown => "unknown",
        }
    }

    /// Parses a line without its newline; `None`: the guest is no longer shutting down. A word of a later version also means
    /// an end; anything after the word is reserved for later versions.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        Some(match line.split(' ').next() {
            Some(NONE) => return None,
            Some("poweroff") => Self::PowerOff,
            Some("reboot") => Self::Reboot,
            Some("halt") => Self::Halt,
            _ => Self::Unknown,
        })
    }
}

/// The agent's answer to the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Whether every orderly end is announced.
    pub is_for_all: bool,
}

impl Promise {
    /// Returns the answer, with its newline.
    #[must_use]
    pub fn to_line(self) -> &'static str {
        if self.is_for_all { "OK all\n" } else { "OK\n" }
    }

    /// Parses an answer without its newline; `None` if the agent is too old for the request.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        (words.next() == Some("OK")).then(|| Self { is_for_all: words.next() == Some("all") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_and_later_ones_are_an_end_of_an_unknown_kind() {
        for way in [WayOut::PowerOff, WayOut::Reboot, WayOut::Halt, WayOut::Unknown] {
            assert!(way.word().len() < LINE_BYTES_MAX);
            assert_eq!(WayOut::parse(way.word()), Some(way));
        }
        assert_eq!(WayOut::parse("reboot into firmware"), Some(WayOut::Reboot));
        assert_eq!(WayOut::parse(NONE), None);
        for later in ["", "hibernate", "Reboot", "poweroffs"] {
            assert_eq!(WayOut::parse(later), Some(WayOut::Unknown), "{later}");
        }
    }

    #[test]
    fn an_old_agent_promises_nothing() {
        for is_for_all in [false, true] {
            let promise = Promise { is_for_all };
            assert_eq!(Promise::parse(promise.to_line().trim_end()), Some(promise));
        }
        assert_eq!(Promise::parse("OK all and more"), Some(Promise { is_for_all: true }));
        for none in ["", "ERR the first line must be `tcp <address>:<port>`, `ssh` or `health`", "OKAY"] {
            assert_eq!(Promise::parse(none), None);
        }
    }
}
