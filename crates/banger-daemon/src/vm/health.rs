//! Watches the guests of running machines: a guest that gives no sign of life is called unresponsive, and one that was
//! away (paused, or its host asleep) gets the time of day again. A guest cannot tell that it hangs, so it is asked.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use banger_agent_proto::STREAM_PORT;
use banger_agent_proto::heartbeat::{ANSWER_BYTES_MAX, Heartbeat, REQUEST};
use banger_api::EventKind;
use banger_model::VmId;
use banger_vmm::Machine;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tracing::{debug, info, warn};

use super::guest;
use super::service::VmService;
use crate::clock::{slept, unix_nanos};

/// Between two questions. With the deadline of one it makes the most that a guest may hang before it is told: 4.5 s.
const PAUSE: Duration = Duration::from_millis(1500);
/// How long a guest may take to answer.
const DEADLINE: Duration = Duration::from_secs(3);
/// A guest's clock that is further off than this after an absence is set.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(500);
/// How long setting the clock may take.
const SET_CLOCK_DEADLINE: Duration = Duration::from_secs(5);

impl VmService {
    /// Watches a machine's guest until the machine ends.
    pub(super) fn watch_guest(self: &Arc<Self>, id: &VmId, machine: &Arc<dyn Machine>) {
        let (service, id, machine) = (Arc::clone(self), id.clone(), Arc::clone(machine));
        self.parts.supervisor.spawn("guest watch", async move {
            tokio::select! {
                _ = machine.ended() => {}
                () = service.ask_again_and_again(&id, &machine) => {}
            }
        });
    }

    async fn ask_again_and_again(&self, id: &VmId, machine: &Arc<dyn Machine>) {
        let mut slept_before = slept();
        loop {
            tokio::time::sleep(PAUSE).await;
            let answer = ask(machine).await;
            let was_silent = self.machines.set_silent(id, machine, answer.is_err());
            match (&answer, was_silent) {
                (Err(error), Some(false)) => {
                    warn!(vm = %id, %error, "the guest does not answer");
                    self.tell_health(id, EventKind::VmUnresponsive);
                }
                (Ok(_), Some(true)) => {
                    info!(vm = %id, "the guest answers again");
                    self.tell_health(id, EventKind::VmResponsive);
                }
                (Ok(_), Some(false)) | (Err(_), Some(true)) => {}
                // Another machine has taken its place.
                (_, None) => return,
            }
            let Ok(Some(heartbeat)) = answer else { continue };
            if heartbeat.commands_running > 0 {
                self.usage.note(id);
            }
            let slept_now = slept();
            let was_away = was_silent == Some(true) || slept_now > slept_before;
            slept_before = slept_now;
            if was_away && is_off(heartbeat.clock_unix_nanos, unix_nanos()) {
                self.set_clock(id, machine).await;
            }
        }
    }

    async fn set_clock(&self, id: &VmId, machine: &Arc<dyn Machine>) {
        let Ok(Some(row)) = self.rows.get(id) else { return };
        let set = async {
            let client = guest::connect(machine, &row, SET_CLOCK_DEADLINE).await?;
            client
                .set_clock(unix_nanos(), SET_CLOCK_DEADLINE)
                .await
                .map_err(|source| guest::failed(machine, &row, source))
        };
        match set.await {
            Ok(moved_nanos) => info!(vm = %row.name, moved_nanos, "the guest's clock is set"),
            Err(error) => warn!(vm = %row.name, %error, "the guest's clock cannot be set"),
        }
    }

    fn tell_health(&self, id: &VmId, kind: EventKind) {
        let Ok(Some(row)) = self.rows.get(id) else { return };
        if let Err(error) = self.parts.events.tell_vm(kind, &row) {
            debug!(vm = %row.name, %error, "an event is not kept");
        }
    }
}

/// Asks once. A guest whose agent is too old for the question has answered, too.
async fn ask(machine: &Arc<dyn Machine>) -> io::Result<Option<Heartbeat>> {
    let asked = async {
        let mut stream = machine.connect(STREAM_PORT, DEADLINE).await.map_err(io::Error::other)?;
        stream.write_all(format!("{REQUEST}\n").as_bytes()).await?;
        let mut answer = String::new();
        let limit = u64::try_from(ANSWER_BYTES_MAX).unwrap_or(u64::MAX);
        (&mut stream).take(limit).read_to_string(&mut answer).await?;
        if answer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Heartbeat::parse(answer.trim_end_matches('\n')))
    };
    tokio::time::timeout(DEADLINE, asked).await.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
}

fn is_off(guest_nanos: u64, host_nanos: u64) -> bool {
    Duration::from_nanos(guest_nanos.abs_diff(host_nanos)) > CLOCK_TOLERANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_off_when_it_is_too_far_behind_or_ahead() {
        let host = 1_790_000_000_000_000_000;
        for (distance_ms, off) in [(0, false), (500, false), (501, true), (86_400_000, true)] {
            assert_eq!(is_off(host - distance_ms * 1_000_000, host), off, "{distance_ms} ms behind");
            assert_eq!(is_off(host + distance_ms * 1_000_000, host), off, "{distance_ms} ms ahead");
        }
    }

    #[test]
    fn a_hung_guest_is_told_within_five_seconds() {
        assert!(PAUSE + DEADLINE < Duration::from_secs(5));
    }
}
