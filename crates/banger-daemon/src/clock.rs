//! The host's clocks, in the forms in which rows and guests have them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// Returns the wall clock, milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> i64 {
    i64::try_from(since_epoch().as_millis()).unwrap_or(i64::MAX)
}

/// Returns a time as RFC 3339 text.
pub(crate) fn time_text(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds).unwrap_or_default().to_string()
}

/// Returns the wall clock, nanoseconds since the Unix epoch.
pub(crate) fn unix_nanos() -> u64 {
    u64::try_from(since_epoch().as_nanos()).unwrap_or(u64::MAX)
}

/// Returns how long the host has slept since its boot: what `CLOCK_BOOTTIME` counts and `CLOCK_MONOTONIC` does not
/// (`clock_gettime(2)`).
pub(crate) fn slept() -> Duration {
    let read = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
    let awake = read(ClockId::Monotonic);
    read(ClockId::Boottime).saturating_sub(awake)
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
