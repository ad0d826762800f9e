//! Waiting for the services that an image promises: its `ready_ports`. The guest takes commands all the while, and goes on
//! when a service does not come: who looks for the reason needs it.

use std::sync::Arc;
use std::time::Instant;

use banger_guest::AgentError;
use banger_model::VmId;
use banger_vmm::Machine;

use super::boot::{BootContext, GuestReady};
use super::lifecycle::Lifecycle;
use super::locks::VmGuard;
use super::{GuestError, GuestFailure, VmError, guest};
use crate::fault::Fault as _;

impl GuestReady {
    /// Waits until something listens on every port that the image names; all of them share one deadline.
    pub(super) async fn wait_for_ports(
        &self,
        context: &BootContext<'_>,
        machine: &Arc<dyn Machine>,
    ) -> Result<(), VmError> {
        let deadline = context.supplies.config.ready_ports_deadline;
        let end = Instant::now() + deadline;
        for port in &context.files.image.manifest.ready_ports {
            context.task.stage(&format!("wait for port {port}"), "");
            let left = end.saturating_duration_since(Instant::now());
            let answer = async {
                self.client.wait_port(port.get(), left).await.map_err(|source| match source {
                    AgentError::Silent { .. } => {
                        let why = GuestFailure::PortSilent { port: port.get(), deadline };
                        VmError::from(GuestError::new(self.row.name.clone(), why))
                    }
                    source => guest::failed(machine, &self.row, source),
                })
            };
            let answer = Box::pin(guest::unless_ended(machine, &self.row, answer));
            context.task.unless_cancelled(answer).await??;
        }
        Ok(())
    }
}

impl Lifecycle {
    /// Notes what is wrong with a VM that runs on.
    pub(super) fn note_failure(&self, _held: &VmGuard, id: &VmId, error: &VmError) -> Result<(), VmError> {
        let mut row = self.rows.reload(id)?;
        row.last_error = Some(error.message());
        self.rows.update(&row)
    }
}
