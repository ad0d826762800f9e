//! Where everything is put together: the only place that knows all parts.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use banger_model::HostSize;
use banger_store::{Store, StoreError};
use banger_sys::files::{FileError, create_private_directory};
use banger_sys::host;
use banger_sys::lock::FileLock;
use banger_sys::lock_holder::LockHolder;
use banger_sys::paths::Paths;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config::{Config, ConfigError};
use crate::doctor::Doctor;
use crate::events::Events;
use crate::http::{ApiState, PrivateListener, Renewal, serve};
use crate::image::{ImageBootSource, ImageOperations, KernelOperations};
use crate::operation::Operations;
use crate::program::RunningProgram;
use crate::ssh_keys::{KeyError, UserKey};
use crate::supervisor::Supervisor;
use crate::vm::{VmError, VmParts, Vms};
use crate::vmm_choice::HostVmms;

/// Why the daemon does not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// A directory could not be made.
    #[error(transparent)]
    Directory(#[from] FileError),
    /// The lock could not be looked at.
    #[error("cannot lock `{}`", path.display())]
    Lock {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another daemon has this state directory.
    #[error("already running")]
    AlreadyRunning,
    /// The log could not be opened.
    #[error("cannot write the log `{}`", path.display())]
    Log {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The user's key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// What an older daemon left could not be looked at.
    #[error("cannot clean up after an older daemon")]
    Reconcile(#[source] VmError),
    /// The program does not know its own file.
    #[error("cannot find the daemon's own program")]
    Program(#[source] io::Error),
    /// The socket could not be made.
    #[error("cannot listen on `{}`", path.display())]
    Listen {
        /// Which socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A daemon that is ready to serve.
pub struct Daemon {
    paths: Paths,
    listener: PrivateListener,
    state: ApiState,
    /// The signals that end it.
    endings: [Signal; 2],
    /// Held to the end: one daemon per state directory.
    lock: Arc<FileLock>,
}

impl Daemon {
    /// Makes the directories and takes the daemon's lock.
    ///
    /// # Errors
    /// [`DaemonError::AlreadyRunning`], [`DaemonError::Directory`].
    pub fn take_place(paths: &Paths) -> Result<FileLock, DaemonError> {
        for directory in [&paths.state, &paths.cache, &paths.runtime] {
            create_private_directory(directory)?;
        }
        for directory in [paths.kernels(), paths.images(), paths.vm("")] {
            create_private_directory(&directory)?;
        }
        let path = paths.daemon_lock();
        let lock = FileLock::try_acquire(&path).map_err(|source| DaemonError::Lock { path, source })?;
        let lock = lock.ok_or(DaemonError::AlreadyRunning)?;
        name_holder(&lock, None);
        Ok(lock)
    }

    /// Builds all parts, puts right what an older daemon left, and listens.
    ///
    /// # Errors
    /// [`DaemonError`].
    pub async fn build(paths: Paths, lock: FileLock) -> Result<Self, DaemonError> {
        let host = HostSize { processors: host::processors(), memory_mib: host::memory_mib() };
        let config = Config::load(&paths.config_file(), host)?;
        let program = RunningProgram::current().map_err(DaemonError::Program)?;
        let store = Arc::new(Store::open(&paths.database())?);
        let user_key = UserKey::load_or_create(&paths.state)?;
        let supervisor = Supervisor::new();
        let operations = Operations::new(supervisor.clone());
        let events = Events::new(Arc::clone(&store));
        events.observe(&operations);
        let source = Arc::new(ImageBootSource::new(
            &paths,
            &program,
            user_key.authorized_key.clone(),
            Arc::clone(&store),
            config.pulls.rules(config.disk_floor),
        ));
        let kernels =
            Arc::new(KernelOperations::new(source.images(), Arc::clone(&store), operations.clone()));
        let images = Arc::new(ImageOperations::new(source.images(), Arc::clone(&store), operations.clone()));
        let vms = Vms::new(VmParts {
            store,
            paths: paths.clone(),
            config: config.clone(),
            host,
            source: source.clone(),
            vmms: Arc::new(HostVmms::new(
                program.file().to_owned(),
                config.firecracker_place(&paths),
                config.firecracker.tuning(),
                config.network.rules(),
            )),
            user_key,
            operations: operations.clone(),
            events: events.clone(),
            supervisor: supervisor.clone(),
        });
        if let Err(error) = source.images().sweep() {
            warn!(%error, "left-over files of images could not be removed");
        }
        vms.reconcile().await.map_err(DaemonError::Reconcile)?;
        vms.keep_time();
        let socket = paths.daemon_socket();
        // Taken before anybody can know of this daemon: who finds its lock but no socket sends a hangup.
        let taken =
            |kind| signal(kind).map_err(|source| DaemonError::Listen { path: socket.clone(), source });
        let (terminate, interrupt) = (taken(SignalKind::terminate())?, taken(SignalKind::interrupt())?);
        let hangups = taken(SignalKind::hangup())?;
        let lock = Arc::new(lock);
        let holder = Arc::clone(&lock);
        let listener = PrivateListener::bind(&socket)
            .map_err(|source| DaemonError::Listen { path: socket.clone(), source })?
            .renewed_at(Renewal {
                hangups,
                fallback: paths.daemon_socket_in_state(),
                moved: Box::new(move |socket| name_holder(&holder, Some(socket))),
            });
        name_holder(&lock, Some(&socket));
        let state = ApiState {
            vms,
            kernels,
            images,
            operations,
            events,
            doctor: Arc::new(Doctor::new(paths.clone(), config.clone(), source)),
            config: Arc::new(config),
            program: Arc::new(program),
            supervisor,
            streams: Arc::default(),
            shutdown: CancellationToken::new(),
        };
        Ok(Self { paths, listener, state, endings: [terminate, interrupt], lock })
    }

    /// Serves until it is told to end; then cancels what is at work and waits for its undo. Machines go on.
    pub async fn serve(self) {
        let socket = self.paths.daemon_socket();
        let [mut terminate, mut interrupt] = self.endings;
        let (lock, shutdown) = (self.lock, self.state.shutdown.clone());
        let told_to_end = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = shutdown.cancelled() => {}
            }
            // Before the socket is closed: who does not find it waits for our end.
            name_holder(&lock, None);
        };
        serve(self.listener, self.state, told_to_end).await;
        // The next daemon removes a socket that stays.
        let _ = std::fs::remove_file(&socket);
    }
}

/// Tells in the lock who we are and where we listen. A disk that does not take it, as a full one, must not keep a daemon from
/// its work: then a command that does not find the socket does not find us either.
fn name_holder(lock: &FileLock, socket: Option<&Path>) {
    if let Some(Err(error)) = LockHolder::ourselves(socket).map(|holder| holder.write(lock)) {
        warn!(%error, "cannot write the daemon's process into its lock");
    }
}
