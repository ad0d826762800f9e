//! How long a VM lives: a time to live after which it is deleted, and a time without use after which it is stopped. The
//! rules take facts and return the moment; the caller owns the clock.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::whole_number::Natural;

use crate::VmState;

/// The reason why a text or number is not a valid time to live.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields mean")]
pub enum TtlError {
    /// Not a number with a unit of time.
    #[error("`{text}` is not a valid time; use a number with s, m, h or d, as in `90m` or `7d`")]
    NotATime { text: String },
    /// Too short to use the VM, or unreasonably long.
    #[error("the time to live must be between 10 seconds and 10 years, not {secs} second{}", if *.secs == 1 { "" } else { "s" })]
    OutOfRange { secs: u64 },
}

/// Time to live in seconds: 10 s to 10 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Natural", into = "u64")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = u64, minimum = 10, maximum = 315_360_000))]
pub struct Ttl(u32);

impl Ttl {
    const MIN_SECS: u64 = 10;
    const MAX_SECS: u64 = 10 * 365 * 24 * 3600;

    /// Returns the number of seconds.
    #[must_use]
    pub fn as_secs(self) -> u64 {
        self.0.into()
    }
}

impl TryFrom<u64> for Ttl {
    type Error = TtlError;

    fn try_from(secs: u64) -> Result<Self, TtlError> {
        if !(Self::MIN_SECS..=Self::MAX_SECS).contains(&secs) {
            return Err(TtlError::OutOfRange { secs });
        }
        u32::try_from(secs).map(Self).map_err(|_error| TtlError::OutOfRange { secs })
    }
}

impl TryFrom<Natural> for Ttl {
    type Error = TtlError;

    fn try_from(secs: Natural) -> Result<Self, TtlError> {
        Self::try_from(secs.0)
    }
}

impl From<Ttl> for u64 {
    fn from(ttl: Ttl) -> Self {
        ttl.as_secs()
    }
}

impl From<Ttl> for i64 {
    fn from(ttl: Ttl) -> Self {
        ttl.0.into()
    }
}

impl FromStr for Ttl {
    type Err = TtlError;

    /// Parses `90s`, `30m`, `1h 30m`, `7d`.
    fn from_str(text: &str) -> Result<Self, TtlError> {
        humantime::parse_duration(text)
            .map_err(|_error| TtlError::NotATime { text: text.to_owned() })
            .and_then(|time| Self::try_from(time.as_secs()))
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&humantime::format_duration(Duration::from_secs(self.as_secs())).to_string())
    }
}

/// A change of a VM's time to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Natural", into = "u64")]
pub enum TtlChange {
    /// The VM lives until it is deleted by hand; written as 0 where a number stands.
    Remove,
    /// The new time to live.
    Set(Ttl),
}

impl TtlChange {
    /// Returns the time to live after the change.
    #[must_use]
    pub fn ttl(self) -> Option<Ttl> {
        match self {
            Self::Remove => None,
            Self::Set(ttl) => Some(ttl),
        }
    }
}

impl TryFrom<u64> for TtlChange {
    type Error = TtlError;

    fn try_from(secs: u64) -> Result<Self, TtlError> {
        if secs == 0 { Ok(Self::Remove) } else { Ttl::try_from(secs).map(Self::Set) }
    }
}

impl TryFrom<Natural> for TtlChange {
    type Error = TtlError;

    fn try_from(secs: Natural) -> Result<Self, TtlError> {
        Self::try_from(secs.0)
    }
}

impl From<TtlChange> for u64 {
    fn from(change: TtlChange) -> Self {
        change.ttl().map_or(0, Ttl::as_secs)
    }
}

impl FromStr for TtlChange {
    type Err = TtlError;

    /// Parses `none`, or a duration as [`Ttl`] does.
    fn from_str(text: &str) -> Result<Self, TtlError> {
        if text == "none" { Ok(Self::Remove) } else { text.parse().map(Self::Set) }
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for TtlChange {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Type};
        let nought = ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([0]));
        AnyOfBuilder::new().item(nought).item(Ttl::schema()).into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for TtlChange {}

/// What happens to a VM when its time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// The VM is stopped, because it was not used for too long.
    Stop,
    /// The VM is deleted, because its time to live has passed.
    Delete,
}

/// Facts about a VM's use. Times are in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LifetimeFacts {
    /// The VM's current state.
    pub state: VmState,
    /// When the VM was created.
    pub created_at_ms: i64,
    /// When the time to live was last reset; absent if it never was.
    pub touched_at_ms: Option<i64>,
    /// Its time to live; absent if it has none.
    pub ttl: Option<Ttl>,
    /// When the VM was last used; absent while it is in use.
    pub used_at_ms: Option<i64>,
    /// How long a VM may run unused; absent if there is no limit.
    pub stale_after: Option<Duration>,
}

impl LifetimeFacts {
    /// Returns when the VM's time to live ends.
    #[must_use]
    pub fn expires_at_ms(&self) -> Option<i64> {
        let begin = self.touched_at_ms.map_or(self.created_at_ms, |touched| touched.max(self.created_at_ms));
        self.ttl.map(|ttl| later(begin, Duration::from_secs(ttl.as_secs())))
    }

    /// Returns which of the two becomes due first, and when.
    #[must_use]
    pub fn next_due(&self) -> Option<(i64, Due)> {
        let expiry = self.expires_at_ms().map(|at| (at, Due::Delete));
        let staleness = match (self.state, self.used_at_ms, self.stale_after) {
            (VmState::Running, Some(used), Some(after)) => Some((later(used, after), Due::Stop)),
            _ => None,
        };
        match (expiry, staleness) {
            (Some(expiry), Some(staleness)) if staleness.0 < expiry.0 => Some(staleness),
            (None, staleness) => staleness,
            (expiry, _) => expiry,
        }
    }
}

fn later(at_ms: i64, by: Duration) -> i64 {
    at_ms.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts() -> LifetimeFacts {
        LifetimeFacts {
            state: VmState::Running,
            created_at_ms: 1_000_000,
            touched_at_ms: None,
            ttl: None,
            used_at_ms: Some(2_000_000),
            stale_after: None,
        }
    }

    #[test]
    fn times_are_read_and_written_with_units() {
        for (text, secs) in [("90s", 90), ("30m", 1800), ("1h 30m", 5400), ("7d", 604_800)] {
            assert_eq!(text.parse::<Ttl>().unwrap().as_secs(), secs);
        }
        assert_eq!("5400s".parse::<Ttl>().unwrap().to_string(), "1h 30m");
        assert_eq!(
            "soon".parse::<Ttl>().unwrap_err().to_string(),
            "`soon` is not a valid time; use a number with s, m, h or d, as in `90m` or `7d`"
        );
        for (text, secs) in [("0s", 0), ("9s", 9), ("1000years", 31_557_600_000_u64)] {
            assert_eq!(text.parse::<Ttl>(), Err(TtlError::OutOfRange { secs }));
        }
    }

    #[test]
    fn a_time_to_live_is_set_or_removed() {
        assert_eq!("none".parse(), Ok(TtlChange::Remove));
        assert_eq!("1m".parse::<TtlChange>().unwrap().ttl(), Ttl::try_from(60).ok());
        for secs in [0, 60] {
            assert_eq!(u64::from(TtlChange::try_from(secs).unwrap()), secs);
        }
        assert!(TtlChange::try_from(1).is_err());
    }

    #[test]
    fn a_time_to_live_has_its_limits_and_is_a_number_in_json() {
        let most = 10 * 365 * 24 * 3600;
        for (secs, is_good) in [(9, false), (10, true), (most, true), (most + 1, false)] {
            assert_eq!(Ttl::try_from(secs).is_ok(), is_good, "{secs}");
        }
        let hour = Ttl::try_from(3600).unwrap();
        assert_eq!((u64::from(hour), i64::from(hour)), (3600, 3600));
        assert_eq!(serde_json::to_string(&hour).unwrap(), "3600");
    }

    #[test]
    fn a_vm_that_is_due_for_both_is_deleted() {
        let both = LifetimeFacts {
            created_at_ms: 2_000_000,
            ttl: Ttl::try_from(60).ok(),
            stale_after: Some(Duration::from_mins(1)),
            ..facts()
        };
        assert_eq!(both.next_due(), Some((2_060_000, Due::Delete)));
    }

    #[test]
    fn without_limits_nothing_becomes_due() {
        assert_eq!(facts().next_due(), None);
    }

    #[test]
    fn a_time_to_live_counts_from_the_last_touch() {
        let limited = LifetimeFacts { ttl: Ttl::try_from(60).ok(), ..facts() };
        assert_eq!(limited.next_due(), Some((1_060_000, Due::Delete)));
        let touched = LifetimeFacts { touched_at_ms: Some(1_500_000), ..limited };
        assert_eq!(touched.next_due(), Some((1_560_000, Due::Delete)));
        let stopped = LifetimeFacts { state: VmState::Stopped, ..touched };
        assert_eq!(stopped.next_due(), Some((1_560_000, Due::Delete)));
    }

    #[test]
    fn only_a_running_vm_that_nobody_uses_becomes_stale() {
        let limited = LifetimeFacts { stale_after: Some(Duration::from_mins(1)), ..facts() };
        assert_eq!(limited.next_due(), Some((2_060_000, Due::Stop)));
        assert_eq!(LifetimeFacts { used_at_ms: None, ..limited }.next_due(), None);
        for state in VmState::ALL.into_iter().filter(|state| *state != VmState::Running) {
            assert_eq!(LifetimeFacts { state, ..limited }.next_due(), None);
        }
    }

    proptest! {
        #[test]
        fn what_is_due_is_the_earlier_of_the_two(
            created in 0..1_000_000_000_i64, used in 0..1_000_000_000_i64, ttl in 10..1_000_000_u64, stale in 1..1_000_000_u64,
        ) {
            let ttl = Ttl::try_from(ttl).ok();
            let stale_after = Some(Duration::from_secs(stale));
            let both = LifetimeFacts { created_at_ms: created, used_at_ms: Some(used), ttl, stale_after, ..facts() };
            let alone = [
                LifetimeFacts { stale_after: None, ..both }.next_due(),
                LifetimeFacts { ttl: None, ..both }.next_due(),
            ];
            let due = both.next_due();
            prop_assert!(alone.contains(&due));
            prop_assert_eq!(due.map(|(at, _)| at), alone.into_iter().flatten().map(|(at, _)| at).min());
        }
    }
}
