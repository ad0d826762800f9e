//! Makes one kernel or image be there, once, however many ask: the same steps for both kinds.
//!
//! The lock of a name is held while it is pulled, imported or removed. Under the lock everybody looks again: what another
//! caller made in the meantime is a success for everybody, with a note for who asked to pull it. A second lock by name keeps what a machine is started from in its place: those who start one share it, and who
//! publishes or removes has it alone, for the moment of a rename.

use std::error::Error;
use std::sync::Arc;

use banger_model::{ArtifactKind, DiskFloor, VmName};
use banger_sys::blocking::run_blocking;
use banger_sys::files::{StagedDirectory, create_private_directory};
use banger_sys::full_disk::ran_out_of_space;
use banger_sys::keyed_lock::{AloneGuard, KeyedGuard, KeyedLock, SharedGuard, SharedKeyedLock};
use banger_sys::memory::give_back;
use futures::future::BoxFuture;

use super::error::PullError;
use super::removal::Removal;
use crate::artifact::store::Store;
use crate::artifact::{Artifact, Manifest};
use crate::limits::check_floor;
use crate::progress::Progress;

/// What a pull does with a kernel or image that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// Leaves it, unless its source is known to have a newer one.
    Never,
    /// Makes it anew, also when the local one is damaged.
    Always,
}

impl Replace {
    /// What `--force` means.
    #[must_use]
    pub fn when(forced: bool) -> Self {
        if forced { Self::Always } else { Self::Never }
    }
}

/// Tells which VMs need something as it is.
pub type Users<N> = Arc<dyn Fn(&N) -> Result<Vec<VmName>, Box<dyn Error + Send + Sync>> + Send + Sync>;

/// What becomes of the VMs of what is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Successor {
    /// It is another one: there may be no VMs that need the old one.
    Other,
    /// It has the same content: they go on with it.
    Same,
}

/// Fills a staging directory.
pub(crate) type Build<'a> =
    Box<dyn FnOnce(StagedDirectory) -> BoxFuture<'a, Result<StagedDirectory, PullError>> + Send + 'a>;

/// The kernels or the images, with their pull locks.
pub(crate) struct Pulls<M: Manifest> {
    pub(crate) store: Store<M>,
    locks: KeyedLock<M::Name>,
    /// Shared by those who start a machine from it, had alone by who changes what is in its place. After the lock above.
    uses: SharedKeyedLock<M::Name>,
    /// Free bytes that a pull needs to begin.
    bytes_needed: u64,
    /// How much of the disk stays free beside that.
    pub(crate) floor: DiskFloor,
    /// Which VMs use what is there.
    users: Option<Users<M::Name>>,
}

impl<M: Manifest> std::fmt::Debug for Pulls<M> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Pulls").field("store", &self.store.directory()).finish_non_exhaustive()
    }
}

impl<M: Manifest> Pulls<M> {
    pub(crate) fn new(store: Store<M>, bytes_needed: u64) -> Self {
        let (locks, uses) = (KeyedLock::default(), SharedKeyedLock::default());
        Self { store, locks, uses, bytes_needed, floor: DiskFloor::Bytes(0), users: None }
    }

    /// From now on, what has users is not removed, nor replaced by another one if its kind cannot bear that.
    pub(crate) fn keep_for(&mut self, users: Users<M::Name>) {
        self.users = Some(users);
    }

    /// Refuses what VMs need as it is.
    pub(crate) fn refuse_used(&self, name: &M::Name) -> Result<(), PullError> {
        let Some(users) = &self.users else { return Ok(()) };
        let kind = M::KIND;
        match users(name) {
            Ok(vms) if vms.is_empty() => Ok(()),
            Ok(vms) => Err(PullError::InUse { kind, name: name.to_string(), vms }),
            Err(source) => Err(PullError::Users { kind, name: name.to_string(), source }),
        }
    }

    /// Returns the local one, made by this caller or by another one in the meantime.
    pub(crate) async fn ensure(&self, name: &M::Name, build: Build<'_>) -> Result<Artifact<M>, PullError> {
        // Without the lock it may be removed while it is looked at: only what is whole is believed.
        if let Ok(Some(found)) = self.usable(name) {
            return Ok(found);
        }
        let held = self.lock(name).await;
        match self.usable(name)? {
            Some(found) => Ok(found),
            None => self.make(held, self.bytes_needed, name, Successor::Other, build).await,
        }
    }

    /// Makes it, or says that it is here.
    pub(crate) async fn pull(
        &self,
        name: &M::Name,
        replace: Replace,
        progress: &Progress,
        build: Build<'_>,
    ) -> Result<Artifact<M>, PullError> {
        let held = self.lock(name).await;
        if replace == Replace::Never
            && let Some(found) = self.usable(name)?
        {
            let kind = M::KIND;
            progress.note(format!("the {kind} `{name}` is already here; `--force` pulls it again"));
            return Ok(found);
        }
        self.make(held, self.bytes_needed, name, Successor::Other, build).await
    }

    /// Makes it out of what somebody brings.
    pub(crate) async fn import(
        &self,
        bytes_needed: u64,
        name: &M::Name,
        replace: Replace,
        build: Build<'_>,
    ) -> Result<Artifact<M>, PullError> {
        let held = self.lock(name).await;
        self.refuse_taken(name, replace)?;
        self.make(held, bytes_needed, name, Successor::Other, build).await
    }

    /// Refuses a name that is taken, also by one that is damaged.
    pub(crate) fn refuse_taken(&self, name: &M::Name, replace: Replace) -> Result<(), PullError> {
        match replace {
            Replace::Never if self.store.place(name).exists() => {
                Err(PullError::NameTaken { kind: M::KIND, name: name.to_string() })
            }
            Replace::Never | Replace::Always => Ok(()),
        }
    }

    /// Waits until nobody pulls it or starts a machine from it, and keeps both from happening. It is still there.
    pub(crate) async fn removal(&self, name: &M::Name) -> Result<Removal, PullError> {
        let held = self.lock(name).await;
        let alone = self.alone(name).await;
        let place = self.store.place(name);
        let kind = M::KIND;
        if !place.exists() {
            return Err(PullError::NotHere { kind, name: name.to_string() });
        }
        // Nobody starts a machine from it now: who was about to has its row by this time.
        self.refuse_used(name)?;
        let name = name.to_string();
        Ok(Removal { kind, name, place, guards: (held, alone) })
    }

    /// Keeps what is in its place there, for as long as the guard lives.
    pub(crate) async fn hold(&self, name: &M::Name) -> SharedGuard {
        self.uses.shared(name).await
    }

    /// Waits until nobody starts a machine from it. Who changes what is in its place holds this guard, too.
    pub(crate) async fn alone(&self, name: &M::Name) -> AloneGuard {
        self.uses.alone(name).await
    }

    /// Waits for the name's lock. Whoever changes or removes what is there holds it.
    pub(crate) async fn lock(&self, name: &M::Name) -> KeyedGuard {
        self.locks.lock(name).await
    }

    /// Takes the name's lock if nobody has it.
    pub(crate) fn try_lock(&self, name: &M::Name) -> Option<KeyedGuard> {
        self.locks.try_lock(name)
    }

    /// Returns the local one, its files looked at.
    pub(crate) fn usable(&self, name: &M::Name) -> Result<Option<Artifact<M>>, PullError> {
        let failed = |source| PullError::Local { kind: M::KIND, name: name.to_string(), source };
        let Some(found) = self.store.get(name).map_err(failed)? else { return Ok(None) };
        self.store.verify(&found).map_err(failed)?;
        Ok(Some(found))
    }

    /// Refuses to put another one in the place of what VMs need as it is.
    fn refuse_replacing(&self, name: &M::Name, successor: Successor) -> Result<(), PullError> {
        if M::CAN_CHANGE_UNDER_VMS || successor == Successor::Same || !self.store.place(name).exists() {
            return Ok(());
        }
        self.refuse_used(name)
    }

    /// Makes it, for who holds its lock.
    pub(crate) async fn make(
        &self,
        held: KeyedGuard,
        bytes_needed: u64,
        name: &M::Name,
        successor: Successor,
        build: Build<'_>,
    ) -> Result<Artifact<M>, PullError> {
        let kind = M::KIND;
        let place = self.store.place(name);
        self.refuse_replacing(name, successor)?;
        let unpublished = |source| PullError::Publish { kind, name: name.to_string(), source };
        create_private_directory(self.store.directory()).map_err(unpublished)?;
        check_floor(self.floor, self.store.directory(), bytes_needed)
            .map_err(|source| PullError::TooLittleSpace { kind, name: name.to_string(), source })?;
        let staged = StagedDirectory::create(&place).map_err(unpublished)?;
        let filled = build(staged).await;
        // A large image takes much of it for a while, and the daemon has a long life.
        run_blocking(|_| give_back()).await;
        let filled = filled.map_err(|error| disk_full(kind, name, error))?;
        let guards = (held, self.alone(name).await);
        // A VM may have come while it was built. With the guard, none comes any more.
        self.refuse_replacing(name, successor)?;
        let published = run_blocking(move |cancelled| {
            // Given up: what was built is removed, and nothing appears. The guards go with the work, not with its caller.
            (cancelled.check().ok().map(|()| filled.publish()), guards)
        });
        let (published, _guards) = published.await;
        if let Some(published) = published {
            published.map_err(|source| disk_full(kind, name, unpublished(source)))?;
        }
        let found = self.usable(name)?;
        found.ok_or_else(|| PullError::NotInCatalog { kind, name: name.to_string() })
    }
}

/// Says it plainly when a failure means a full disk.
fn disk_full<N: std::fmt::Display>(kind: ArtifactKind, name: &N, error: PullError) -> PullError {
    if ran_out_of_space(&error) {
        PullError::DiskFull { kind, name: name.to_string(), source: Box::new(error) }
    } else {
        error
    }
}
