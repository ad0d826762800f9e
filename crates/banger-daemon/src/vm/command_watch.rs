//! Hears from a guest about the command that `vm run -d` started in it, and keeps what it hears (`command.rs`).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use banger_agent_proto::CONTROL_PORT;
use banger_guest::{AgentClient, AgentError, CommandNews};
use banger_model::{EventKind, VmId};
use banger_vmm::{ConnectError, Machine};
use tracing::{debug, info};

use super::command::CommandFiles;
use super::watch::Watch;
use super::way_out::pause_after;
use crate::clock::now_ms;

/// How long a guest may take to take the stream, and to answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// Before a stream that broke is opened again: its agent was killed and comes back, or the guest is away.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// After each piece of output, of at most 32 KiB: a guest that writes as fast as it can is heard at 2 MiB/s and loses the rest.
const OUTPUT_PAUSE: Duration = Duration::from_millis(15);

/// Why a guest's command is not heard.
#[derive(Debug, thiserror::Error)]
enum HearError {
    #[error("cannot connect to the guest")]
    Connect(#[source] ConnectError),
    #[error("the guest's agent does not tell")]
    Agent(#[source] AgentError),
    #[error("cannot keep what the guest tells")]
    Keep(#[source] io::Error),
}

impl Watch {
    /// Hears of a machine's command until the machine ends.
    pub(super) fn watch_command(self: &Arc<Self>, id: &VmId, machine: &Arc<dyn Machine>) {
        let (service, id, machine) = (Arc::clone(self), id.clone(), Arc::clone(machine));
        self.supervisor.spawn("command watch", async move {
            tokio::select! {
                _ = machine.ended() => {}
                () = service.hear_command_again_and_again(&id, &machine) => {}
            }
        });
    }

    async fn hear_command_again_and_again(&self, id: &VmId, machine: &Arc<dyn Machine>) {
        let mut told = 0;
        while let Err(error) = self.hear_command(id, machine, &mut told).await {
            debug!(vm = %id, error = &error as &dyn std::error::Error, "the VM's command is not heard");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Hears the guest until the stream breaks. `Ok`: its agent is too old to be heard. `told` counts what it has said beside
    /// output.
    async fn hear_command(
        &self,
        id: &VmId,
        machine: &Arc<dyn Machine>,
        told: &mut u32,
    ) -> Result<(), HearError> {
        let files = CommandFiles::of(&self.paths.vm(id.as_str()));
        let stream = machine.connect(CONTROL_PORT, ANSWER_DEADLINE).await.map_err(HearError::Connect)?;
        let agent = AgentClient::connect(stream).await.map_err(HearError::Agent)?;
        let feed = agent.follow_command(files.position()).await.map_err(HearError::Agent)?;
        let Some(mut feed) = feed else { return Ok(()) };
        loop {
            let news = feed.next().await.map_err(HearError::Agent)?;
            let ended = match news {
                CommandNews::Output { offset, bytes } => {
                    files.output(offset, &bytes).map_err(HearError::Keep)?;
                    tokio::time::sleep(OUTPUT_PAUSE).await;
                    continue;
                }
                CommandNews::None => {
                    files.lose("the guest's agent was started again, so its status is not known")
                }
                CommandNews::Begun { argv, started_unix_nanos } => {
                    files.begin(argv, started_unix_nanos).map(|()| None)
                }
                CommandNews::Exited { outcome, note } => files.end(now_ms(), outcome, note),
            };
            if let Some(record) = ended.map_err(HearError::Keep)? {
                info!(vm = %id, ending = record.ending(), "the VM's command has ended");
                self.tell_health(id, EventKind::VmCommandEnded, Some(record.ending()));
            }
            *told = told.saturating_add(1);
            tokio::time::sleep(pause_after(*told)).await;
        }
    }
}
