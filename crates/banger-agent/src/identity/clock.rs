//! The wall clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, Timespec};

/// A clock that is off by less than this is left alone, because the message itself took time.
const NEAR: Duration = Duration::from_millis(20);

/// The clock cannot be set.
#[derive(Debug, thiserror::Error)]
#[error("cannot set the clock")]
pub(crate) struct SetClockError {
    source: std::io::Error,
}

/// Sets the clock and returns by how much it moved (positive: forward). If `is_ours` is false, the clock is not changed.
pub(crate) fn set(unix_nanos: u64, is_ours: bool) -> Result<i64, SetClockError> {
    let wanted = Duration::from_nanos(unix_nanos);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if wanted.abs_diff(now) < NEAR {
        return Ok(0);
    }
    if is_ours {
        let failed = |source| SetClockError { source };
        let time = Timespec::try_from(wanted).map_err(|e| failed(std::io::Error::other(e)))?;
        rustix::time::clock_settime(ClockId::Realtime, time).map_err(|e| failed(e.into()))?;
    }
    let distance = i64::try_from(wanted.abs_diff(now).as_nanos()).unwrap_or(i64::MAX);
    Ok(if wanted > now { distance } else { -distance })
}
