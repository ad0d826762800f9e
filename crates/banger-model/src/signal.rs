//! Signals that a user may send to a machine's process.

use serde::{Deserialize, Serialize};

use crate::UnknownWord;
use crate::words::words;

/// A signal for a machine's process. Other signals would only suspend the process, or would have no effect on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum KillSignal {
    /// Ends the process at once.
    #[default]
    Kill,
    /// Asks the process to end.
    Term,
    /// The signal of Ctrl-C.
    Int,
    /// Its terminal was closed.
    Hup,
    /// Asks the process to end with a core dump.
    Quit,
    /// Ends the process with a core dump.
    Abrt,
    /// The VMM decides what it means.
    Usr1,
    /// The VMM decides what it means.
    Usr2,
}

words! {
    KillSignal {
        Kill = "KILL",
        Term = "TERM",
        Int = "INT",
        Hup = "HUP",
        Quit = "QUIT",
        Abrt = "ABRT",
        Usr1 = "USR1",
        Usr2 = "USR2",
    }
}

impl std::str::FromStr for KillSignal {
    type Err = UnknownWord;

    /// Parses `TERM`, `SIGTERM` and the same in lower case.
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        Self::from_word(name).ok_or_else(|| UnknownWord::new(text, "a valid signal", Self::WORDS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_reads_back_with_and_without_its_prefix() {
        for signal in KillSignal::ALL {
            assert_eq!(signal.as_str().parse(), Ok(signal));
            assert_eq!(format!("sig{}", signal.as_str().to_lowercase()).parse(), Ok(signal));
        }
    }

    #[test]
    fn json_holds_the_name() {
        for signal in KillSignal::ALL {
            let json = serde_json::to_string(&signal).unwrap();
            assert_eq!(json, format!("\"{}\"", signal.as_str()));
            assert_eq!(serde_json::from_str::<KillSignal>(&json).unwrap(), signal);
        }
        assert!(serde_json::from_str::<KillSignal>("\"STOP\"").is_err());
    }

    #[test]
    fn a_signal_that_would_wedge_a_machine_is_refused() {
        for text in ["STOP", "SIGTSTP", "9", ""] {
            let error = text.parse::<KillSignal>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "`{text}` is not a valid signal; use one of: KILL, TERM, INT, HUP, QUIT, \
                     ABRT, USR1, USR2"
                )
            );
        }
    }
}
