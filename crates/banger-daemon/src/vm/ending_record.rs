//! Writes down how guests ended, and decides whether they are started again.

use std::sync::Arc;
use std::time::Duration;

use banger_model::{Reboot, VmEvent, VmState};
use banger_store::{Pending, VmRow};

use super::VmError;
use super::ending::Ending;
use super::endings::Endings;
use super::locks::VmGuard;
use super::reboots::RebootCounts;
use super::rows::{Rows, advance};
use crate::clock::now_ms;

/// Writes down how guests ended.
pub(super) struct EndingRecord {
    pub(super) rows: Rows,
    pub(super) endings: Arc<Endings>,
    pub(super) reboots: RebootCounts,
}

impl EndingRecord {
    /// Tells those who were in the guest of a VM how it ended, on somebody's wish.
    pub(super) fn tell(&self, row: &VmRow, why: &str) {
        self.endings.add(row, why, false);
    }

    /// Writes down how the guest of a row ended; returns the pause after which it is to be started again, if it is.
    pub(super) fn write(
        &self,
        _held: &VmGuard,
        row: &mut VmRow,
        ending: &Ending,
        circumstances: &str,
    ) -> Result<Option<Duration>, VmError> {
        let mut why = format!("{ending}{circumstances}");
        let mut is_error = !ending.cause.is_clean();
        if ending.cause.wants_restart() && row.state == VmState::Running {
            match self.count_reboot(row) {
                Reboot::StartAfter(pause) => {
                    self.endings.add(row, &why, true);
                    row.pending = Some(Pending::Reboot);
                    advance(row, VmEvent::GuestRebooted)?;
                    self.rows.update_because(row, &why)?;
                    return Ok(Some(pause));
                }
                Reboot::GiveUp { times } => {
                    why = format!(
                        "{why}, {times} times without staying up for a minute: it is not started again"
                    );
                    is_error = true;
                }
            }
        }
        self.endings.add(row, &why, false);
        row.last_error = is_error.then(|| why.clone());
        advance(row, VmEvent::MachineEnded)?;
        self.rows.update_because(row, &why)?;
        Ok(None)
    }

    fn count_reboot(&self, row: &VmRow) -> Reboot {
        let was_up = row.started_at_ms.map_or(0, |started| now_ms().saturating_sub(started));
        let was_up = Duration::from_millis(u64::try_from(was_up).unwrap_or(0));
        self.reboots.add(&row.id, was_up)
    }
}
