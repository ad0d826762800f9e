//! Hears from a guest that it is on its way out, and keeps it in a file of the VM: the end of a machine may be seen by the
//! next daemon, and the machine's own end does not say whether its guest rebooted, powered off or crashed.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use banger_agent_proto::STREAM_PORT;
use banger_agent_proto::way_out::{self, LINE_BYTES_MAX, Promise};
use banger_model::{Announced, VmId, WayOut};
use banger_sys::files::{remove_any, write_atomic};
use banger_vmm::Machine;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::watch::Watch;

const FILE: &str = "way-out";
/// How long a guest may take to take the stream, and to answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// Before a stream that broke is opened again: its agent was killed and comes back, or the guest is away.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How long after the end of a stream the end of its machine may be seen.
const END_WAIT: Duration = Duration::from_secs(1);
/// How long after the end of a machine the last that its guest said may be read.
const LAST_WORD_WAIT: Duration = Duration::from_secs(2);
/// What a guest has to say of one machine: that it shuts down and what for, and once that it does not.
const HONEST_LINES_MAX: u32 = 6;
/// Between the lines of a guest that says more, doubled with each of them.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);

impl Watch {
    /// Hears a machine's guest until the machine ends.
    pub(super) fn watch_way_out(self: &Arc<Self>, id: &VmId, machine: &Arc<dyn Machine>) {
        let Some(hearing) = self.machines.begin_hearing(id, machine) else { return };
        let (service, id, machine) = (Arc::clone(self), id.clone(), Arc::clone(machine));
        self.supervisor.spawn("way-out watch", async move {
            // Dropped when all was heard: whoever records the machine's end waits for it.
            let _hearing = hearing;
            let mut lines = 0;
            while let Err(error) = service.hear(&id, &machine, &mut lines).await {
                debug!(vm = %id, %error, "the guest's way out is not heard");
                if tokio::time::timeout(END_WAIT, machine.ended()).await.is_ok() {
                    return;
                }
                // Whatever it says now is not heard.
                service.machines.set_announced(&id, &machine, |said| match said {
                    Announced::Nothing | Announced::Unheard => Announced::Unheard,
                    Announced::WayOut(way) => Announced::WayOut(way),
                });
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        });
    }

    /// Hears the guest until the stream breaks. `Ok`: its agent is too old to be heard. `lines` counts what it has said.
    async fn hear(&self, id: &VmId, machine: &Arc<dyn Machine>, lines: &mut u32) -> io::Result<()> {
        let opened = async {
            let mut stream = machine.connect(STREAM_PORT, ANSWER_DEADLINE).await.map_err(io::Error::other)?;
            stream.write_all(format!("{}\n", way_out::REQUEST).as_bytes()).await?;
            let mut stream = BufReader::new(stream);
            let promise = read_line(&mut stream).await?;
            Ok::<_, io::Error>((stream, Promise::parse(&promise)))
        };
        let late = |_elapsed| Err(io::ErrorKind::TimedOut.into());
        let (mut stream, promise) =
            tokio::time::timeout(ANSWER_DEADLINE, opened).await.unwrap_or_else(late)?;
        let Some(promise) = promise else { return Ok(()) };
        let nothing = if promise.is_for_all { Announced::Nothing } else { Announced::Unheard };
        // What was known before counts until something else is said: the agent may be a new one.
        self.machines.set_announced(id, machine, |said| match said {
            Announced::Unheard | Announced::Nothing => nothing,
            Announced::WayOut(way) => Announced::WayOut(way),
        });
        let mut known = None;
        loop {
            let way = way_out::WayOut::parse(&read_line(&mut stream).await?).map(of_guest);
            if way != known {
                known = way;
                info!(vm = %id, ?way, "the guest tells of its way out");
                self.machines.set_announced(id, machine, |_| way.map_or(nothing, Announced::WayOut));
                let directory = self.paths.vm(id.as_str());
                if let Err(error) = keep(&directory, way) {
                    warn!(vm = %id, error = %error, "the guest's way out is not kept");
                }
            }
            *lines = lines.saturating_add(1);
            tokio::time::sleep(pause_after(*lines)).await;
        }
    }
}

/// A guest that changes its mind again and again costs less and less.
pub(super) fn pause_after(lines: u32) -> Duration {
    let doublings = lines.saturating_sub(HONEST_LINES_MAX);
    if doublings == 0 {
        Duration::ZERO
    } else {
        FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(doublings)).min(PAUSE_MAX)
    }
}

/// Waits until all was heard that the guest of an ended machine has said.
pub(super) async fn last_word(mut hearing: watch::Receiver<()>) {
    let _ = tokio::time::timeout(LAST_WORD_WAIT, hearing.changed()).await;
}

/// Returns what the guest of a VM's latest machine has said, as an older daemon kept it.
pub(super) fn kept(vm_directory: &Path) -> Announced {
    let said = fs::read_to_string(vm_directory.join(FILE)).ok();
    let way = said.and_then(|line| way_out::WayOut::parse(line.trim_end_matches('\n')));
    way.map_or(Announced::Unheard, |way| Announced::WayOut(of_guest(way)))
}

/// Forgets what the guest of an earlier machine has said.
pub(super) fn forget(vm_directory: &Path) -> io::Result<()> {
    remove_any(&vm_directory.join(FILE))
}

fn keep(vm_directory: &Path, way: Option<WayOut>) -> io::Result<()> {
    let Some(way) = way else { return forget(vm_directory) };
    let line = format!("{}\n", word(way));
    write_atomic(&vm_directory.join(FILE), line.as_bytes(), 0o600).map_err(io::Error::other)
}

fn word(way: WayOut) -> &'static str {
    match way {
        WayOut::PowerOff => way_out::WayOut::PowerOff,
        WayOut::Reboot => way_out::WayOut::Reboot,
        WayOut::Halt => way_out::WayOut::Halt,
        WayOut::Unknown => way_out::WayOut::Unknown,
    }
    .word()
}

fn of_guest(way: way_out::WayOut) -> WayOut {
    match way {
        way_out::WayOut::PowerOff => WayOut::PowerOff,
        way_out::WayOut::Reboot => WayOut::Reboot,
        way_out::WayOut::Halt => WayOut::Halt,
        way_out::WayOut::Unknown => WayOut::Unknown,
    }
}

/// Reads a line; one that is too long is none.
async fn read_line(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<String> {
    let mut line = String::new();
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    stream.take(limit).read_line(&mut line).await?;
    match line.strip_suffix('\n') {
        Some(line) => Ok(line.to_owned()),
        None if line.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_said_is_kept_until_it_is_forgotten() {
        let vm = tempfile::tempdir().unwrap();
        assert_eq!(kept(vm.path()), Announced::Unheard);
        for way in [WayOut::PowerOff, WayOut::Reboot, WayOut::Halt, WayOut::Unknown] {
            keep(vm.path(), Some(way)).unwrap();
            assert_eq!(kept(vm.path()), Announced::WayOut(way));
        }
        keep(vm.path(), None).unwrap();
        assert_eq!(kept(vm.path()), Announced::Unheard);
        forget(vm.path()).unwrap();
    }

    #[test]
    fn a_guest_that_changes_its_mind_again_and_again_is_heard_less_and_less() {
        let pauses = [0, 1, HONEST_LINES_MAX, HONEST_LINES_MAX + 1, HONEST_LINES_MAX + 2, 1000, u32::MAX];
        let millis = pauses.map(|lines| pause_after(lines).as_millis());
        assert_eq!(millis, [0, 0, 0, 200, 400, 30_000, 30_000]);
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_not_read_for_ever() {
        let endless = vec![b'x'; 10_000];
        let error = read_line(&mut endless.as_slice()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let mut two = &b"OK all\nreboot\n"[..];
        assert_eq!(read_line(&mut two).await.unwrap(), "OK all");
        assert_eq!(read_line(&mut two).await.unwrap(), "reboot");
        assert_eq!(read_line(&mut two).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
