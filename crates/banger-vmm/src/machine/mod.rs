//! A running machine, the same for every driver: a process that ends, logs that stay small, and a socket that leads to
//! the guest.

mod connect;
mod lifetime;
mod log_guard;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use banger_sys::process::ProcessIdentity;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::contract::{AdoptError, ConnectError, KillError, Machine, MachineEnd, MachineHandle, StartError};
use crate::launch::Started;
use lifetime::Lifetime;

/// How long a killed process may take: it has to give back its memory and nothing else.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// A machine of any driver.
pub(crate) struct RunningMachine {
    handle: MachineHandle,
    lifetime: Lifetime,
    /// What runs beside the machine for as long as it is held: held, not looked at.
    tasks: Vec<AbortOnDropHandle<()>>,
}

impl RunningMachine {
    /// Watches a process of ours. `leftovers` are removed when it has ended.
    pub(crate) fn of_started(handle: MachineHandle, started: Started, leftovers: Vec<PathBuf>) -> Self {
        let lifetime = Lifetime::of_started(started, companions(&handle), leftovers);
        Self::new(handle, lifetime)
    }

    /// Watches somebody else's process. `None`: it has ended; what it left is removed.
    pub(crate) async fn adopt(
        handle: &MachineHandle,
        leftovers: Vec<PathBuf>,
    ) -> Result<Option<Self>, AdoptError> {
        let failed = |source| AdoptError::Open { vm: handle.vm.clone(), source };
        let process = ProcessIdentity::from(handle.process);
        let companions = companions(handle);
        let open = process.open().map_err(failed)?;
        let Some(open) = open.filter(|_| crate::orphans::belongs_to(process, handle)) else {
            lifetime::clean_up(&companions, leftovers).await;
            return Ok(None);
        };
        let lifetime = Lifetime::of_stranger(open, process, companions, leftovers);
        Ok(Some(Self::new(handle.clone(), lifetime)))
    }

    fn new(handle: MachineHandle, lifetime: Lifetime) -> Self {
        let logs = [handle.console_log.clone(), error_log(&handle.console_log)];
        let tasks = logs.into_iter().map(log_guard::spawn).collect();
        Self { handle, lifetime, tasks }
    }

    /// Keeps the task that serves the channel socket for as long as this machine is held.
    pub(crate) fn with_channel(mut self, task: AbortOnDropHandle<()>) -> Self {
        self.tasks.push(task);
        self
    }

    /// Cancelled when the machine has ended.
    pub(crate) fn end_token(&self) -> CancellationToken {
        self.lifetime.end_token()
    }
}

fn companions(handle: &MachineHandle) -> Vec<ProcessIdentity> {
    handle.companions.iter().copied().map(ProcessIdentity::from).collect()
}

/// Returns where the VMM and the processes beside it write their complaints: beside the console log.
pub(crate) fn error_log(console_log: &Path) -> PathBuf {
    console_log.with_file_name("vmm.log")
}

/// Creates an empty private file, or empties it. Its writers append, so that it can be shortened under them.
pub(crate) fn create_log(path: &Path) -> Result<std::fs::File, StartError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let prepare = || {
        banger_sys::files::remove_any(path)?;
        std::fs::OpenOptions::new().append(true).read(true).create_new(true).mode(0o600).open(path)
    };
    prepare().map_err(|source| StartError::Prepare { path: path.to_owned(), source })
}

#[async_trait]
impl Machine for RunningMachine {
    fn handle(&self) -> &MachineHandle {
        &self.handle
    }

    async fn ended(&self) -> MachineEnd {
        self.lifetime.ended().await
    }

    async fn kill(&self) -> Result<(), KillError> {
        let pid = self.handle.process.pid;
        self.lifetime.kill().map_err(|source| KillError::Signal { pid, source })?;
        match tokio::time::timeout(KILL_DEADLINE, self.lifetime.ended()).await {
            Ok(_) => Ok(()),
            Err(_late) => Err(KillError::StillAlive { pid, deadline: KILL_DEADLINE }),
        }
    }

    async fn connect(&self, port: u32, deadline: Duration) -> Result<UnixStream, ConnectError> {
        connect::connect(&self.handle.channel_socket, port, deadline, &self.lifetime.end_token()).await
    }
}
