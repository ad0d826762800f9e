//! The sign of life that the host requests every few seconds, on the stream port: one short line each way instead of a whole
//! HTTP/2 connection, so that hundreds of guests cost the host next to nothing.
//!
//! ```text
//! health\n  ─▶
//!           ◀─  OK 1790000000000000000 3\n     wall clock in nanoseconds since the Unix epoch, commands that run
//! ```

/// The first line on the stream port that requests a sign of life.
pub const REQUEST: &str = "health";

/// Longest answer: a word and two numbers of 64 and 32 bits.
pub const ANSWER_BYTES_MAX: usize = 48;

/// A guest's sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Wall clock of the guest, in nanoseconds since the Unix epoch.
    pub clock_unix_nanos: u64,
    /// Number of the host's commands that run in the guest.
    pub commands_running: u32,
}

impl Heartbeat {
    /// Returns the answer, with its newline.
    #[must_use]
    pub fn to_line(self) -> String {
        format!("OK {} {}\n", self.clock_unix_nanos, self.commands_running)
    }

    /// Parses an answer without its newline. Anything after the two numbers is reserved for later versions.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("OK ")?.split(' ');
        let clock_unix_nanos = words.next()?.parse().ok()?;
        Some(Self { clock_unix_nanos, commands_running: words.next()?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reads_back_and_is_never_longer_than_told() {
        for heartbeat in [
            Heartbeat { clock_unix_nanos: 0, commands_running: 0 },
            Heartbeat { clock_unix_nanos: u64::MAX, commands_running: u32::MAX },
        ] {
            let line = heartbeat.to_line();
            assert!(line.len() <= ANSWER_BYTES_MAX);
            assert_eq!(Heartbeat::parse(line.trim_end()), Some(heartbeat));
        }
        assert!(Heartbeat::parse("OK 5 6 later words").is_some());
        for bad in ["", "OK", "OK ", "OK x 1", "OK 1", "OK 1 -1", "ERR the first line must be"] {
            assert_eq!(Heartbeat::parse(bad), None, "{bad}");
        }
    }
}
