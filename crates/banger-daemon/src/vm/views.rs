//! What is known of VMs: their rows, and what is seen of their machines now.

use std::sync::Arc;

use banger_model::VmRef;
use banger_store::VmRow;
use banger_sys::paths::Paths;

use super::VmError;
use super::command::CommandFiles;
use super::lifetimes::Lifetimes;
use super::machines::{Health, Machines};
use super::rows::Rows;
use crate::facts::{Presence, VmFacts};

/// Looks at VMs.
#[derive(Clone)]
pub struct Views {
    pub(super) rows: Rows,
    pub(super) machines: Arc<Machines>,
    pub(super) lifetimes: Lifetimes,
    pub(super) paths: Paths,
}

/// All VMs, oldest first. What is known of one is collected only when it is its turn.
pub struct VmList {
    views: Views,
    rows: Arc<[VmRow]>,
}

impl VmList {
    /// Returns what is known of each of them.
    pub fn iter(&self) -> impl Iterator<Item = VmFacts> {
        self.rows.iter().map(|row| self.views.of(row.clone()))
    }
}

impl Views {
    /// Returns all VMs, oldest first.
    ///
    /// # Errors
    /// [`VmError::Store`].
    pub fn list(&self) -> Result<VmList, VmError> {
        Ok(VmList { views: self.clone(), rows: self.rows.list()? })
    }

    /// Returns the VM with this name, id or beginning of an id.
    ///
    /// # Errors
    /// [`VmError::Reference`], [`VmError::Store`].
    pub fn show(&self, vm: &VmRef) -> Result<VmFacts, VmError> {
        Ok(self.of(self.rows.find(vm)?))
    }

    pub(super) fn of(&self, row: VmRow) -> VmFacts {
        let presence = Presence {
            pid: self.machines.get(&row.id).map(|machine| machine.handle().process.pid),
            is_silent: self.machines.health(&row.id) == Some(Health::Silent),
            way_out: self.machines.on_way_out(&row.id).map(|(_machine, way)| way),
            lost_socket: self.machines.lost_socket(&row.id),
            away_since_ms: self.machines.away_since_ms(&row.id),
            paused: self.machines.paused(&row.id),
            disk_trouble: self.machines.disk_trouble(&row.id),
            network_trouble: self.machines.network_trouble(&row.id),
            expires_at_ms: self.lifetimes.of(&row).expires_at_ms(),
        };
        let command = CommandFiles::of(&self.paths.vm(row.id.as_str())).record();
        let command = command.map(|command| command.facts(row.state.has_machine()));
        VmFacts { row, presence, command }
    }
}
