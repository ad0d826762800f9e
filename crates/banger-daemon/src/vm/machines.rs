//! The machines that run now. The map's mutex is held for a look-up only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use banger_model::{Announced, DiskTrouble, EndCause, LostSocket, NetworkTrouble, PauseReason, VmId, WayOut};
use banger_sys::memory_kill::KillCount;
use banger_sys::process::ProcessIdentity;
use banger_vmm::{Machine, MachineEnd};
use tokio::sync::watch;

use super::ending::Ending;

struct Entry {
    machine: Arc<dyn Machine>,
    health: Health,
    /// Its socket that somebody has removed, when last looked at.
    lost_socket: Option<LostSocket>,
    /// Since when it does not answer.
    away_since_ms: Option<i64>,
    /// Kills for want of memory before it began.
    kills: Option<KillCount>,
    /// Why we end it, when it is not on somebody's wish.
    ended_because: Option<EndCause>,
    /// What its guest's agent has told of its end.
    announced: Announced,
    /// Ends when all was heard that the guest has to say.
    hearing: Option<watch::Receiver<()>>,
}

/// How a running machine's guest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It answers.
    Answers,
    /// It gives no sign of life.
    Silent,
    /// It stands still, and the VMM says why.
    Paused(PauseReason),
}

/// Machines by VM.
#[derive(Default)]
pub(super) struct Machines(Mutex<HashMap<VmId, Entry>>);

impl Machines {
    pub(super) fn get(&self, id: &VmId) -> Option<Arc<dyn Machine>> {
        self.lock().get(id).map(|entry| Arc::clone(&entry.machine))
    }

    /// Adds one of which this is known already.
    pub(super) fn insert(&self, id: VmId, machine: Arc<dyn Machine>, announced: Announced) {
        let entry = Entry {
            kills: KillCount::of(machine.handle().process.pid),
            machine,
            health: Health::Answers,
            lost_socket: None,
            away_since_ms: None,
            ended_because: None,
            announced,
            hearing: None,
        };
        self.lock().insert(id, entry);
    }

    /// Begins to hear a machine's guest: until what is returned is dropped. `None`: the machine is not current.
    pub(super) fn begin_hearing(&self, id: &VmId, machine: &Arc<dyn Machine>) -> Option<watch::Sender<()>> {
        let (sender, hearing) = watch::channel(());
        self.current(id, machine, |entry| entry.hearing = Some(hearing)).map(|()| sender)
    }

    /// Returns what ends when all was heard that a machine's guest has to say.
    pub(super) fn hearing(&self, id: &VmId, machine: &Arc<dyn Machine>) -> Option<watch::Receiver<()>> {
        self.current(id, machine, |entry| entry.hearing.clone()).flatten()
    }

    /// Notes what a machine's guest has told of its end, by what it has told before.
    pub(super) fn set_announced(
        &self,
        id: &VmId,
        machine: &Arc<dyn Machine>,
        next: impl FnOnce(Announced) -> Announced,
    ) {
        self.current(id, machine, |entry| entry.announced = next(entry.announced));
    }

    /// Returns what a machine's guest has told of its end.
    pub(super) fn announced(&self, id: &VmId, machine: &Arc<dyn Machine>) -> Announced {
        self.current(id, machine, |entry| entry.announced).unwrap_or_default()
    }

    /// Returns the machine of a VM whose guest is on its way out.
    pub(super) fn on_way_out(&self, id: &VmId) -> Option<(Arc<dyn Machine>, WayOut)> {
        let machines = self.lock();
        let entry = machines.get(id)?;
        match entry.announced {
            Announced::WayOut(way) => Some((Arc::clone(&entry.machine), way)),
            Announced::Unheard | Announced::Nothing => None,
        }
    }

    /// Forgets this very machine, which has ended; returns how, when it was the VM's current one.
    pub(super) fn remove(&self, id: &VmId, machine: &Arc<dyn Machine>, end: MachineEnd) -> Option<Ending> {
        let entry = {
            let mut machines = self.lock();
            machines.get(id).filter(|current| Arc::ptr_eq(&current.machine, machine))?;
            machines.remove(id)?
        };
        Some(match entry.ended_because {
            Some(cause) => Ending::new(cause, None),
            None => Ending::of(machine.handle(), end, entry.kills.as_ref(), entry.announced),
        })
    }

    /// Notes why a machine is about to be ended; `false`: it is not the VM's current one.
    pub(super) fn set_cause(&self, id: &VmId, machine: &Arc<dyn Machine>, cause: EndCause) -> bool {
        self.current(id, machine, |entry| entry.ended_because = Some(cause)).is_some()
    }

    /// Notes how a machine's guest is, asked at a moment, and returns how it was; `None` when the machine is not current.
    pub(super) fn set_health(
        &self,
        id: &VmId,
        machine: &Arc<dyn Machine>,
        health: Health,
        asked_ms: i64,
    ) -> Option<Health> {
        self.current(id, machine, |entry| {
            entry.away_since_ms = match health {
                Health::Answers => None,
                // The first moment counts.
                Health::Silent | Health::Paused(_) => Some(entry.away_since_ms.unwrap_or(asked_ms)),
            };
            std::mem::replace(&mut entry.health, health)
        })
    }

    /// Notes a machine's socket that somebody has removed.
    pub(super) fn set_lost_socket(&self, id: &VmId, machine: &Arc<dyn Machine>, lost: Option<LostSocket>) {
        self.current(id, machine, |entry| entry.lost_socket = lost);
    }

    /// Returns the socket of a VM's machine that somebody has removed.
    pub(super) fn lost_socket(&self, id: &VmId) -> Option<LostSocket> {
        self.lock().get(id).and_then(|entry| entry.lost_socket)
    }

    /// Returns how a VM's guest is, while it has a machine.
    pub(super) fn health(&self, id: &VmId) -> Option<Health> {
        self.lock().get(id).map(|entry| entry.health)
    }

    /// Returns why a VM's guest stands still, as far as that is known.
    pub(super) fn paused(&self, id: &VmId) -> Option<PauseReason> {
        match self.health(id)? {
            Health::Paused(reason) => Some(reason),
            Health::Answers | Health::Silent => None,
        }
    }

    /// Tells why writes of a VM's guest have failed, if any have.
    pub(super) fn disk_trouble(&self, id: &VmId) -> Option<DiskTrouble> {
        self.get(id).and_then(|machine| *machine.disk().borrow())
    }

    /// Tells why the VM's machine has no network.
    pub(super) fn network_trouble(&self, id: &VmId) -> Option<NetworkTrouble> {
        self.get(id).and_then(|machine| *machine.network().borrow())
    }

    /// Tells since when a VM's guest does not answer.
    pub(super) fn away_since_ms(&self, id: &VmId) -> Option<i64> {
        self.lock().get(id).and_then(|entry| entry.away_since_ms)
    }

    /// Forgets the VM's machine: the caller holds the VM's lock and has ended it.
    pub(super) fn forget(&self, id: &VmId) {
        self.lock().remove(id);
    }

    pub(super) fn processes(&self) -> Vec<ProcessIdentity> {
        self.lock().values().map(|entry| entry.machine.handle().process.into()).collect()
    }

    /// Does something with this very machine; `None`: it is not the VM's current one.
    fn current<T>(
        &self,
        id: &VmId,
        machine: &Arc<dyn Machine>,
        act: impl FnOnce(&mut Entry) -> T,
    ) -> Option<T> {
        let mut machines = self.lock();
        machines.get_mut(id).filter(|entry| Arc::ptr_eq(&entry.machine, machine)).map(act)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<VmId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
