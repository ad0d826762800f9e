//! What looks after running machines: their guests' signs of life, what they say of their end, their command, their
//! disks and their network. The parts are in `health.rs`, `pause.rs`, `way_out.rs`, `command_watch.rs`, `disk.rs` and
//! `network.rs`.

use std::sync::Arc;

use banger_model::{EventKind, VmId};
use banger_sys::paths::Paths;
use banger_vmm::Machine;
use tracing::debug;

use super::machines::Machines;
use super::room::Room;
use super::rows::Rows;
use super::usage::Usage;
use crate::events::Events;
use crate::supervisor::Supervisor;

/// Watches machines that others can find.
pub(super) struct Watch {
    pub(super) rows: Rows,
    pub(super) machines: Arc<Machines>,
    pub(super) usage: Usage,
    pub(super) room: Room,
    pub(super) paths: Paths,
    pub(super) events: Events,
    pub(super) supervisor: Supervisor,
}

impl Watch {
    /// Begins to watch a machine, until it ends.
    pub(super) fn begin(self: &Arc<Self>, id: &VmId, machine: &Arc<dyn Machine>) {
        self.watch_guest(id, machine);
        self.watch_way_out(id, machine);
        self.watch_command(id, machine);
        self.watch_disk(id, machine);
        self.watch_network(id, machine);
    }

    pub(super) fn tell_health(&self, id: &VmId, kind: EventKind, message: Option<String>) {
        let Ok(Some(row)) = self.rows.get(id) else { return };
        if let Err(error) = self.events.tell_vm(kind, &row, message) {
            debug!(vm = %row.name, %error, "an event is not kept");
        }
    }
}
