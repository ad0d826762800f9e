//! The services of VMs, put together.

use std::sync::Arc;

use banger_model::HostSize;
use banger_store::Store;
use banger_sys::paths::Paths;
use tokio::sync::Notify;

use super::VmError;
use super::boots::Boots;
use super::doors::Doors;
use super::ending_record::EndingRecord;
use super::endings::{EndingTeller, Endings};
use super::keeper::TimeKeeper;
use super::lifecycle::Lifecycle;
use super::lifetimes::Lifetimes;
use super::locks::VmLocks;
use super::machines::Machines;
use super::reboots::RebootCounts;
use super::reconcile::{Reconcile, ReconcileReport};
use super::records::Records;
use super::room::Room;
use super::rows::Rows;
use super::strays::Strays;
use super::supplies::Supplies;
use super::usage::Usage;
use super::views::Views;
use super::watch::Watch;
use crate::boot_source::BootSource;
use crate::config::Config;
use crate::events::Events;
use crate::operation::Operations;
use crate::ssh_keys::UserKey;
use crate::supervisor::Supervisor;
use crate::vmm_source::VmmSource;

/// What the services are built from.
pub struct VmParts {
    /// Rows.
    pub store: Arc<Store>,
    /// Directories.
    pub paths: Paths,
    /// Configuration.
    pub config: Config,
    /// What the host has.
    pub host: HostSize,
    /// Kernels, images and disks.
    pub source: Arc<dyn BootSource>,
    /// VMMs.
    pub vmms: Arc<dyn VmmSource>,
    /// The key that every guest lets in.
    pub user_key: UserKey,
    /// Operations.
    pub operations: Operations,
    /// Events.
    pub events: Events,
    /// Tasks.
    pub supervisor: Supervisor,
}

/// Everything that is done with VMs, by service.
#[derive(Clone)]
pub struct Vms {
    /// Looks at VMs.
    pub views: Views,
    /// Makes VMs, changes and removes them, and starts and ends their machines.
    pub lifecycle: Arc<Lifecycle>,
    /// Lets clients into guests.
    pub doors: Arc<Doors>,
    /// Tells how guests ended.
    pub endings: EndingTeller,
    reconcile: Arc<Reconcile>,
    keeper: Arc<TimeKeeper>,
}

impl Vms {
    /// Services without a machine yet; `reconcile` finds those that run.
    #[must_use]
    pub fn new(parts: VmParts) -> Self {
        let VmParts { store, paths, config, host, source, vmms, user_key, operations, events, supervisor } =
            parts;
        let rows = Rows::new(store);
        let machines = Arc::<Machines>::default();
        let endings = Arc::<Endings>::default();
        let lifetimes_changed = Arc::new(Notify::new());
        let usage = Usage::new(Arc::clone(&lifetimes_changed));
        let lifetimes = Lifetimes::new(usage.clone(), config.auto_stop_stale_after);
        let room = Room::new(paths.vms(), config.disk_floor);
        let views = Views {
            rows: rows.clone(),
            machines: Arc::clone(&machines),
            lifetimes: lifetimes.clone(),
            paths: paths.clone(),
        };
        let doors = Arc::new(Doors {
            rows: rows.clone(),
            machines: Arc::clone(&machines),
            usage: usage.clone(),
            paths: paths.clone(),
            events: events.clone(),
            boot_deadline: config.boot_deadline,
            identity_file: user_key.path.clone(),
        });
        let watch = Arc::new(Watch {
            rows: rows.clone(),
            machines: Arc::clone(&machines),
            usage: usage.clone(),
            room: room.clone(),
            paths: paths.clone(),
            events: events.clone(),
            supervisor: supervisor.clone(),
        });
        let ending_record = Arc::new(EndingRecord {
            rows: rows.clone(),
            endings: Arc::clone(&endings),
            reboots: RebootCounts::default(),
        });
        let lifecycle = Arc::new(Lifecycle {
            rows: rows.clone(),
            locks: VmLocks::default(),
            machines: Arc::clone(&machines),
            boots: Boots::default(),
            usage,
            room,
            doors: Arc::clone(&doors),
            watch,
            lifetimes_changed: Arc::clone(&lifetimes_changed),
            supplies: Supplies {
                paths: paths.clone(),
                config,
                host,
                source,
                vmms: Arc::clone(&vmms),
                strays: Strays::new(Arc::clone(&vmms)),
                user_key,
            },
            endings: Arc::clone(&ending_record),
            records: Records {
                rows: rows.clone(),
                views: views.clone(),
                operations: operations.clone(),
                events,
            },
            supervisor: supervisor.clone(),
        });
        let keeper = Arc::new(TimeKeeper {
            rows: rows.clone(),
            lifetimes,
            lifecycle: Arc::clone(&lifecycle),
            changed: lifetimes_changed,
            due_now: std::sync::Mutex::default(),
            operations,
            supervisor,
        });
        let reconcile = Arc::new(Reconcile {
            rows,
            machines: Arc::clone(&machines),
            endings: ending_record,
            lifecycle: Arc::clone(&lifecycle),
            vmms,
            paths,
        });
        Self { views, lifecycle, doors, endings: EndingTeller { endings, machines }, reconcile, keeper }
    }

    /// Compares rows, processes and directories, and makes them one truth again.
    ///
    /// # Errors
    /// [`VmError::Store`]: without rows nothing can be decided. One VM's trouble is logged and does not stop the rest.
    pub async fn reconcile(&self) -> Result<ReconcileReport, VmError> {
        self.reconcile.run().await
    }

    /// Begins to do what becomes due. Called once, after `reconcile`.
    pub fn keep_time(&self) {
        self.keeper.begin();
    }
}
