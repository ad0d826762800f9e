//! The latest ending of each VM's guest, for those whose stream to it broke: they ask why. The map's mutex is held for a
//! look-up only.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use banger_model::VmId;
use banger_store::VmRow;
use tokio::sync::Notify;

use super::machines::Machines;

/// Endings that are kept: who asks does so at once.
const KEPT_MAX: usize = 256;
/// How long after a broken stream the end of its machine may be seen.
const END_WAIT: Duration = Duration::from_secs(1);
/// How long the end of a machine may take to be recorded: what it leaves is removed first.
const RECORD_WAIT: Duration = Duration::from_secs(10);

/// What is known of how guests ended.
#[derive(Default)]
pub(super) struct Endings {
    kept: Mutex<VecDeque<Kept>>,
    added: Notify,
}

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestEnding {
    /// In words, with the guest or its VMM as the subject.
    pub why: String,
    /// The VM is started again by itself.
    pub starts_again: bool,
}

struct Kept {
    vm: VmId,
    boot_id: String,
    ending: GuestEnding,
}

impl Endings {
    /// Remembers how the guest of this row ended.
    pub(super) fn add(&self, row: &VmRow, why: &str, starts_again: bool) {
        let Some(boot_id) = row.boot_id.clone() else { return };
        let ending = GuestEnding { why: why.to_owned(), starts_again };
        {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() == KEPT_MAX {
                kept.pop_front();
            }
            kept.push_back(Kept { vm: row.id.clone(), boot_id, ending });
        }
        self.added.notify_waiters();
    }

    fn find(&self, vm: &VmId, boot_id: &str) -> Option<GuestEnding> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().rev().find(|kept| kept.vm == *vm && kept.boot_id == boot_id)?;
        Some(found.ending.clone())
    }

    async fn wait_for(&self, vm: &VmId, boot_id: &str) -> GuestEnding {
        loop {
            let added = self.added.notified();
            tokio::pin!(added);
            // Before the look, so that what is added meanwhile wakes us.
            added.as_mut().enable();
            if let Some(ending) = self.find(vm, boot_id) {
                return ending;
            }
            added.await;
        }
    }
}

/// Tells how guests ended.
#[derive(Clone)]
pub struct EndingTeller {
    pub(super) endings: Arc<Endings>,
    pub(super) machines: Arc<Machines>,
}

impl EndingTeller {
    /// Returns how the guest with this boot id, of the VM with this id, ended; waits a moment for an end that is about to be
    /// seen. `None`: it has not ended, or nobody knows how.
    pub async fn ending(&self, id: &str, boot_id: &str) -> Option<GuestEnding> {
        let id: VmId = id.parse().ok()?;
        if let Some(ending) = self.endings.find(&id, boot_id) {
            return Some(ending);
        }
        let patience = match self.machines.get(&id) {
            Some(machine) => {
                tokio::time::timeout(END_WAIT, machine.ended()).await.ok()?;
                RECORD_WAIT
            }
            // It is about to be recorded, or an older daemon has done so.
            None => END_WAIT,
        };
        tokio::time::timeout(patience, self.endings.wait_for(&id, boot_id)).await.ok()
    }
}
