//! Watches the guests of running machines: a guest that gives no sign of life is called unresponsive, and one that was
//! away (paused, or its host asleep) gets the time of day again. A guest cannot tell that it hangs, so it is asked.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use banger_agent_proto::STREAM_PORT;
use banger_agent_proto::heartbeat::{ANSWER_BYTES_MAX, Heartbeat, REQUEST};
use banger_model::{EndCause, EventKind, KernelWord, LostSocket, SilentFacts, VmId};
use banger_sys::process::ProcessIdentity;
use banger_sys::shortage;
use banger_vmm::{LastWords, Machine};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tracing::{debug, info, warn};

use super::machines::Health;
use super::stillness::Stillness;
use super::watch::Watch;
use super::{guest, pause};
use crate::clock::{now_ms, slept, unix_nanos};

/// Between two questions. With the deadline of one it makes the most that a guest may hang before it is told: 4.5 s.
const PAUSE: Duration = Duration::from_millis(1500);
/// How long a guest may take to answer.
const DEADLINE: Duration = Duration::from_secs(3);
/// A guest that has not answered by then may stand still: its VMM is asked.
const PROMPT: Duration = Duration::from_secs(1);
/// A guest's clock that is further off than this after an absence is set.
const CLOCK_TOLERANCE: Duration = Duration::from_millis(500);
/// How long setting the clock may take.
const SET_CLOCK_DEADLINE: Duration = Duration::from_secs(5);

impl Watch {
    /// Watches a machine's guest until the machine ends.
    pub(super) fn watch_guest(self: &Arc<Self>, id: &VmId, machine: &Arc<dyn Machine>) {
        let (service, id, machine) = (Arc::clone(self), id.clone(), Arc::clone(machine));
        self.supervisor.spawn("guest watch", async move {
            tokio::select! {
                _ = machine.ended() => {}
                () = service.ask_again_and_again(&id, &machine) => {}
            }
        });
    }

    async fn ask_again_and_again(&self, id: &VmId, machine: &Arc<dyn Machine>) {
        let (mut slept_before, mut tries, mut stillness) = (slept(), 0, Stillness::default());
        loop {
            tokio::time::sleep(PAUSE).await;
            let (shortages, asked_ms) = (shortage::count(), now_ms());
            let (health, heartbeat) = look(machine).await;
            if health == Health::Silent && shortage::count() != shortages {
                // It says nothing of the guest that this daemon could not ask it.
                warn!(vm = %id, "the daemon has run out of something and could not ask a guest");
                continue;
            }
            self.machines.set_lost_socket(id, machine, machine.lost_socket());
            // Without one, another machine has taken its place.
            let Some(before) = self.machines.set_health(id, machine, health, asked_ms) else { return };
            self.tell_change(id, before, health);
            match health {
                Health::Answers => {
                    tries = 0;
                    stillness.end();
                }
                Health::Silent => {
                    let usage = ProcessIdentity::from(machine.handle().process).usage();
                    let still_for = stillness.look(Instant::now(), usage.map(|usage| usage.cpu_time));
                    self.end_if_over(id, machine, still_for).await;
                }
                Health::Paused(reason) => self.let_go_with_room(machine, reason, &mut tries).await,
            }
            let Some(heartbeat) = heartbeat else { continue };
            if heartbeat.commands_running > 0 {
                self.usage.note(id);
            }
            let slept_now = slept();
            let was_away = before != Health::Answers || slept_now > slept_before;
            slept_before = slept_now;
            if was_away && is_off(heartbeat.clock_unix_nanos, unix_nanos()) {
                self.set_clock(id, machine).await;
            }
        }
    }

    pub(super) fn tell_change(&self, id: &VmId, before: Health, now: Health) {
        match (before, now) {
            (_, Health::Silent) if before != now => {
                warn!(vm = %id, "the guest does not answer");
                let lost = self.machines.lost_socket(id).filter(|lost| *lost != LostSocket::Control);
                self.tell_health(id, EventKind::VmUnresponsive, lost.map(|lost| lost.to_string()));
            }
            (_, Health::Paused(reason)) if before != now => {
                warn!(vm = %id, %reason, "the guest stands still");
                self.tell_health(id, EventKind::VmPaused, Some(reason.to_string()));
            }
            (Health::Silent, Health::Answers) => {
                info!(vm = %id, "the guest answers again");
                self.tell_health(id, EventKind::VmResponsive, None);
            }
            (Health::Paused(_), Health::Answers) => {
                info!(vm = %id, "the guest goes on");
                self.tell_health(id, EventKind::VmResumed, None);
            }
            (Health::Answers | Health::Silent | Health::Paused(_), _) => {}
        }
    }

    /// Ends a machine whose guest is at its end although its VMM still runs: one that has halted, and one whose processor
    /// could not go on. Asked when the guest gives no sign of life;
    /// `still_for` says for how long its VMM has done next to nothing.
    async fn end_if_over(&self, id: &VmId, machine: &Arc<dyn Machine>, still_for: Duration) {
        let words = LastWords::of(machine.handle());
        let facts = SilentFacts {
            kernel: KernelWord::last_in(&words.console),
            announced: self.machines.announced(id, machine),
            vmm_words: &words.vmm.join("\n"),
            still_for,
        };
        let Some(cause) = EndCause::of_silent(&facts) else { return };
        info!(vm = %id, why = %cause, "the machine of a guest that is at its end is ended");
        if self.machines.set_cause(id, machine, cause)
            && let Err(error) = machine.kill().await
        {
            warn!(vm = %id, %error, "a machine does not end");
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
}

/// Looks once how a guest is. While it is silent its VMM is asked as well: a guest that stands still is not to blame.
async fn look(machine: &Arc<dyn Machine>) -> (Health, Option<Heartbeat>) {
    let mut asked = pin!(ask(machine));
    let answered = match tokio::time::timeout(PROMPT, &mut asked).await {
        Ok(answer) => answer,
        Err(_late) => {
            let (answer, reason) = tokio::join!(asked, pause::reason(machine));
            match (answer, reason) {
                (Err(_), Some(reason)) => return (Health::Paused(reason), None),
                (answer, _) => answer,
            }
        }
    };
    match answered {
        Ok(heartbeat) => (Health::Answers, heartbeat),
        Err(error) => {
            shortage::note_if(&error);
            debug!(%error, "no sign of life");
            (Health::Silent, None)
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
