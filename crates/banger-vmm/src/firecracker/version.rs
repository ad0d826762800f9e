//! Which Firecracker it is, and what is known of that version.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A version of Firecracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

/// The oldest version that can be driven.
pub const OLDEST: Version = Version::new(1, 5, 0);
/// [`OLDEST`] in words.
pub const OLDEST_TEXT: &str = "1.5";
/// The newest version that this driver was run against.
pub const TESTED: Version = Version::new(1, 16, 1);

/// The first that tells the guest of its devices by ACPI: Debian's kernels look nowhere else.
const FIRST_WITH_ACPI: Version = Version::new(1, 8, 0);
/// The first whose `snapshot/load` takes `network_overrides`.
const FIRST_WITH_NETWORK_OVERRIDES: Version = Version::new(1, 12, 0);
/// The first that knows `track_dirty_pages` in `snapshot/load`, and takes differences of guests whose writes are not noted.
const FIRST_WITH_UNTRACKED_DIFFERENCES: Version = Version::new(1, 13, 0);
/// The first whose `snapshot/load` takes `vsock_override`.
const FIRST_WITH_VSOCK_OVERRIDE: Version = Version::new(1, 16, 0);
/// The first that holds new streams back until the guest has dropped those from before a snapshot.
const FIRST_THAT_HOLDS_STREAMS_BACK: Version = Version::new(1, 16, 0);

/// A text that is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", if .text.is_empty() { "it does not print a version".to_owned() } else { format!("`{}` is not a version", .text) })]
pub struct NotAVersion {
    text: String,
}

impl Version {
    const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// Tells whether it is too old to be driven.
    #[must_use]
    pub fn is_too_old(self) -> bool {
        self < OLDEST
    }

    /// Tells whether it is newer than all that was tried.
    #[must_use]
    pub fn is_untested(self) -> bool {
        self > TESTED
    }

    /// Tells whether guests with Debian's kernels find their devices.
    #[must_use]
    pub fn has_acpi(self) -> bool {
        self >= FIRST_WITH_ACPI
    }

    /// Tells whether new streams to the guest hang after a pause that no snapshot was taken in (Firecracker #6100, in
    /// 1.16.0 and 1.16.1): a resume then blocks the guest's receiving side until the guest confirms a reset that it was
    /// never sent.
    #[must_use]
    pub fn loses_vsock_by_a_bare_resume(self) -> bool {
        self.major == 1 && self.minor == 16
    }

    /// Tells whether streams break that are opened right after a snapshot, in its machine and in those that are made from it:
    /// the snapshot tells the guest to drop all streams, and these versions let new ones in before it has. Later ones hold them
    /// back.
    pub(super) fn loses_streams_after_a_snapshot(self) -> bool {
        self < FIRST_THAT_HOLDS_STREAMS_BACK
    }

    pub(super) fn takes_network_overrides(self) -> bool {
        self >= FIRST_WITH_NETWORK_OVERRIDES
    }

    pub(super) fn takes_a_vsock_override(self) -> bool {
        self >= FIRST_WITH_VSOCK_OVERRIDE
    }

    pub(super) fn takes_untracked_differences(self) -> bool {
        self >= FIRST_WITH_UNTRACKED_DIFFERENCES
    }

    /// Returns the name of the field by which `snapshot/load` is told to note writes.
    pub(super) fn knows_track_dirty_pages_at_load(self) -> bool {
        self >= FIRST_WITH_UNTRACKED_DIFFERENCES
    }

    /// Finds the version in what `firecracker --version` prints.
    ///
    /// # Errors
    /// [`NotAVersion`] with the first line.
    pub fn of_output(output: &str) -> Result<Self, NotAVersion> {
        let line = output.lines().next().unwrap_or_default();
        line.strip_prefix("Firecracker v").ok_or_else(|| NotAVersion { text: line.to_owned() })?.parse()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

impl TryFrom<String> for Version {
    type Error = NotAVersion;

    fn try_from(text: String) -> Result<Self, NotAVersion> {
        text.parse()
    }
}

impl FromStr for Version {
    type Err = NotAVersion;

    /// Reads `1.16.1`, and `1.17.0-dev` or `1.16.1+local` as what they stand for.
    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let parse = || {
            let numbers = text.split(['-', '+']).next()?;
            let mut numbers = numbers.split('.').map(|number| {
                number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok()).flatten()
            });
            let version = Self::new(numbers.next()??, numbers.next()??, numbers.next()??);
            numbers.next().is_none().then_some(version)
        };
        parse().ok_or_else(|| NotAVersion { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_the_program_prints_is_read() {
        assert_eq!(Version::of_output("Firecracker v1.16.1\n\n").unwrap(), TESTED);
        assert_eq!(Version::of_output("Firecracker v1.17.0-dev\n").unwrap(), Version::new(1, 17, 0));
        for bad in ["", "Jailer v1.2.3", "Firecracker v1.2", "Firecracker v1.2.3.4", "Firecracker v1.+2.3"] {
            assert!(Version::of_output(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_table_of_versions() {
        use std::fmt::Write as _;
        let mut table = String::new();
        for text in ["1.4.1", "1.5.0", "1.8.0", "1.15.1", "1.16.0", "1.16.1", "1.17.0"] {
            let version: Version = text.parse().unwrap();
            let facts = [
                (version.is_too_old(), "too old"),
                (version.has_acpi(), "acpi"),
                (version.takes_network_overrides(), "network overrides"),
                (version.takes_untracked_differences(), "untracked differences"),
                (version.takes_a_vsock_override(), "vsock override"),
                (version.loses_streams_after_a_snapshot(), "loses streams"),
                (version.loses_vsock_by_a_bare_resume(), "#6100"),
                (version.is_untested(), "untested"),
            ];
            let facts: Vec<_> = facts.iter().filter(|(holds, _)| *holds).map(|(_, fact)| *fact).collect();
            writeln!(table, "{version}: {}", facts.join(", ")).unwrap();
        }
        assert_eq!(
            table,
            "1.4.1: too old, loses streams\n\
             1.5.0: loses streams\n\
             1.8.0: acpi, loses streams\n\
             1.15.1: acpi, network overrides, untracked differences, loses streams\n\
             1.16.0: acpi, network overrides, untracked differences, vsock override, #6100\n\
             1.16.1: acpi, network overrides, untracked differences, vsock override, #6100\n\
             1.17.0: acpi, network overrides, untracked differences, vsock override, untested\n"
        );
    }

    proptest! {
        #[test]
        fn a_version_reads_back(major in 0_u32..100, minor in 0_u32..100, patch in 0_u32..100) {
            let version = Version::new(major, minor, patch);
            prop_assert_eq!(version.to_string().parse(), Ok(version));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = Version::of_output(&text);
        }
    }
}
