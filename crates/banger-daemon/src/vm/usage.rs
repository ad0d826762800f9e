//! Who uses which VM, and since when nobody does. In memory only: a new daemon counts as use, so that a VM is rather
//! stopped too late than too early. The map's mutex is held for a look-up only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use banger_model::VmId;
use tokio::sync::Notify;

use crate::clock::now_ms;

#[derive(Clone, Copy, Debug)]
struct Use {
    open: usize,
    ended_at_ms: i64,
}

/// Uses by VM.
#[derive(Clone, Debug)]
pub(super) struct Usage {
    uses: Arc<Mutex<HashMap<VmId, Use>>>,
    began_at_ms: i64,
    /// Told when a use ends: only that makes something become due that was not.
    ended: Arc<Notify>,
}

impl Usage {
    pub(super) fn new(ended: Arc<Notify>) -> Self {
        Self { uses: Arc::default(), began_at_ms: now_ms(), ended }
    }

    /// Counts a use until the entry is dropped.
    pub(super) fn enter(&self, id: &VmId) -> UseEntry {
        self.lock().entry(id.clone()).or_insert(Use { open: 0, ended_at_ms: 0 }).open += 1;
        UseEntry { usage: self.clone(), id: id.clone() }
    }

    /// Notes a use that is over already.
    pub(super) fn note(&self, id: &VmId) {
        drop(self.enter(id));
    }

    /// Returns when the VM was last used, `None` while it is.
    pub(super) fn used_at_ms(&self, id: &VmId) -> Option<i64> {
        match self.lock().get(id) {
            Some(Use { open: 0, ended_at_ms }) => Some(*ended_at_ms),
            Some(_) => None,
            None => Some(self.began_at_ms),
        }
    }

    /// Forgets a VM that is gone.
    pub(super) fn forget(&self, id: &VmId) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<VmId, Use>> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A use of a VM; dropping it ends it.
#[derive(Debug)]
pub struct UseEntry {
    usage: Usage,
    id: VmId,
}

impl Drop for UseEntry {
    fn drop(&mut self) {
        if let Some(current) = self.usage.lock().get_mut(&self.id) {
            current.open -= 1;
            current.ended_at_ms = now_ms();
        }
        self.usage.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vm_is_in_use_until_the_last_use_ends() {
        let usage = Usage::new(Arc::default());
        let id: VmId = "aa".parse().unwrap();
        assert_eq!(usage.used_at_ms(&id), Some(usage.began_at_ms));
        let (one, other) = (usage.enter(&id), usage.enter(&id));
        drop(one);
        assert_eq!(usage.used_at_ms(&id), None);
        drop(other);
        assert!(usage.used_at_ms(&id).unwrap() >= usage.began_at_ms);
        let gone = usage.enter(&id);
        usage.forget(&id);
        drop(gone);
        assert_eq!(usage.used_at_ms(&id), Some(usage.began_at_ms));
    }
}
