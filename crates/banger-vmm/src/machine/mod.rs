//! A running machine, the same for every driver: a process that ends, logs that stay small, and a socket that leads to
//! the guest.

mod connect;
mod control;
mod lifetime;
mod network;
mod presence;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use banger_model::{DiskTrouble, LostSocket, NetworkTrouble};
use banger_sys::launch::Started;
use banger_sys::log_guard;
use banger_sys::process::ProcessIdentity;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::contract::{
    AdoptError, ConnectError, ControlError, KillError, Machine, MachineEnd, MachineHandle, MachineStats,
    RunState, SnapshotFiles, SnapshotKind, StartError,
};
pub(crate) use control::{Control, NoControl, Traffic, is_missing};
use lifetime::Lifetime;
pub(crate) use lifetime::clean_up;
pub(crate) use network::RestartNetwork;
pub(crate) use presence::{Listener, Presence};

/// How long a killed process may take: it has to give back its memory and nothing else.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// How long after its control socket a VMM may take to end.
const END_WAIT: Duration = Duration::from_secs(1);

/// What is kept of a program's last words.
const LAST_WORDS_BYTES_MAX: usize = 2000;

/// A machine of any driver.
pub(crate) struct RunningMachine {
    handle: MachineHandle,
    lifetime: Lifetime,
    control: Box<dyn Control>,
    presence: Presence,
    network: watch::Receiver<Option<NetworkTrouble>>,
    disk: watch::Receiver<Option<DiskTrouble>>,
    /// What runs beside the machine for as long as it is held: held, not looked at.
    tasks: Vec<AbortOnDropHandle<()>>,
    warnings: Vec<String>,
}

impl RunningMachine {
    /// Watches a process of ours. `leftovers` are removed when it has ended.
    pub(crate) fn of_started(
        handle: MachineHandle,
        started: Started,
        leftovers: Vec<PathBuf>,
        control: Box<dyn Control>,
        presence: Presence,
    ) -> Self {
        let lifetime = Lifetime::of_started(started, companions(&handle), leftovers);
        Self::new(handle, lifetime, control, presence)
    }

    /// Watches somebody else's process. `None`: it has ended; what it left is removed.
    pub(crate) async fn adopt(
        handle: &MachineHandle,
        leftovers: Vec<PathBuf>,
        control: Box<dyn Control>,
        presence: Presence,
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
        Ok(Some(Self::new(handle.clone(), lifetime, control, presence)))
    }

    fn new(handle: MachineHandle, lifetime: Lifetime, control: Box<dyn Control>, presence: Presence) -> Self {
        let console = &handle.console_log;
        let logs = [console.clone(), error_log(console), network_log(console)];
        let tasks = logs.into_iter().map(log_guard::spawn).collect();
        let (network, disk) = (watch::channel(None).1, watch::channel(None).1);
        Self { handle, lifetime, control, presence, network, disk, tasks, warnings: Vec::new() }
    }

    /// Notes what the start had to do without.
    pub(crate) fn with_warning(mut self, warning: String) -> Self {
        self.warnings.push(warning);
        self
    }

    /// Keeps a task that serves the machine for as long as this machine is held.
    pub(crate) fn with_task(mut self, task: AbortOnDropHandle<()>) -> Self {
        self.tasks.push(task);
        self
    }

    /// Keeps the machine's network up: that of the companions, but for the pager.
    pub(crate) fn with_network(mut self, restart: Option<Box<dyn RestartNetwork>>) -> Self {
        let pager = self.handle.pager;
        let carriers = self.handle.companions.iter().copied().filter(|process| Some(*process) != pager);
        let carriers = carriers.map(ProcessIdentity::from).collect();
        let beside = self.lifetime.companions();
        let (network, task) = network::keep(carriers, restart, beside, self.lifetime.end_token());
        self.network = network;
        self.with_task(task)
    }

    /// Tells of failed writes what the task finds out.
    pub(crate) fn with_disk_watch(
        mut self,
        (trouble, task): (watch::Receiver<Option<DiskTrouble>>, AbortOnDropHandle<()>),
    ) -> Self {
        self.disk = trouble;
        self.with_task(task)
    }

    /// Keeps one more log of the machine from filling the disk.
    pub(crate) fn with_log(self, log: PathBuf) -> Self {
        self.with_task(log_guard::spawn(log))
    }

    /// Does something with the VMM while the machine lives: whatever breaks because it ended is told as its end.
    async fn unless_ended<T>(
        &self,
        action: &'static str,
        work: impl Future<Output = Result<T, ControlError>>,
    ) -> Result<T, ControlError> {
        let end = self.lifetime.end_token();
        let done = tokio::select! {
            biased;
            () = end.cancelled() => return Err(ControlError::MachineEnded { action }),
            done = work => done,
        };
        match done {
            // The socket breaks a moment before the end of the process is seen.
            Err(ControlError::Broken { vmm, action, source }) => {
                match tokio::time::timeout(END_WAIT, end.cancelled()).await {
                    Ok(()) => Err(ControlError::MachineEnded { action }),
                    Err(_lives) => Err(ControlError::Broken { vmm, action, source }),
                }
            }
            done => done,
        }
    }

    /// Cancelled when the machine has ended.
    pub(crate) fn end_token(&self) -> CancellationToken {
        self.lifetime.end_token()
    }
}

fn companions(handle: &MachineHandle) -> Vec<ProcessIdentity> {
    handle.companions.iter().copied().map(ProcessIdentity::from).collect()
}

/// Returns the standard error of the VMM, and of what starts it and feeds its memory: beside the console log.
pub(crate) fn error_log(console_log: &Path) -> PathBuf {
    console_log.with_file_name("vmm.log")
}

/// Returns the standard error of the machine's network process: beside the console log.
pub(crate) fn network_log(console_log: &Path) -> PathBuf {
    console_log.with_file_name("network.log")
}

/// Opens the log of a network that is started again. A machine of an older version has none yet.
pub(crate) fn append_log(path: &Path) -> Result<std::fs::File, StartError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = std::fs::OpenOptions::new();
    let opened = options.append(true).create(true).mode(0o600).custom_flags(flags).open(path);
    opened.map_err(StartError::preparing(path))
}

/// Returns the end of what a log holds.
pub(crate) fn last_words(log: &Path) -> String {
    let words = std::fs::read(log).unwrap_or_default();
    let words = String::from_utf8_lossy(&words);
    let words = words.trim_matches(|character: char| character.is_whitespace() || character == '\0');
    let start = words.ceil_char_boundary(words.len().saturating_sub(LAST_WORDS_BYTES_MAX));
    words.get(start..).unwrap_or_default().to_owned()
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

    fn warnings(&self) -> &[String] {
        &self.warnings
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
        let end = self.lifetime.end_token();
        connect::connect(&self.handle.channel_socket, port, deadline, &end, &self.presence).await
    }

    async fn pause(&self) -> Result<(), ControlError> {
        self.unless_ended("pause the machine", self.control.pause()).await
    }

    async fn resume(&self) -> Result<(), ControlError> {
        self.unless_ended("resume the machine", self.control.resume()).await
    }

    async fn snapshot(&self, files: &SnapshotFiles, kind: SnapshotKind) -> Result<(), ControlError> {
        self.unless_ended("take a snapshot", self.control.snapshot(files, kind)).await
    }

    async fn run_state(&self) -> Result<RunState, ControlError> {
        self.unless_ended("tell whether it runs", self.control.run_state()).await
    }

    fn network(&self) -> watch::Receiver<Option<NetworkTrouble>> {
        self.network.clone()
    }

    fn disk(&self) -> watch::Receiver<Option<DiskTrouble>> {
        self.disk.clone()
    }

    fn lost_socket(&self) -> Option<LostSocket> {
        if is_missing(&self.handle.channel_socket) {
            // The VMM listens itself where the agent has to ring.
            return Some(match self.presence {
                Presence::Told => LostSocket::Channel,
                Presence::Rung(_) => LostSocket::VmmChannel,
            });
        }
        self.control.lost_socket()
    }

    async fn stats(&self) -> Result<MachineStats, ControlError> {
        let action = "tell figures";
        let traffic = self.unless_ended(action, self.control.traffic()).await?;
        let usage = ProcessIdentity::from(self.handle.process)
            .usage()
            .ok_or(ControlError::MachineEnded { action })?;
        Ok(MachineStats {
            cpu_time: usage.cpu_time,
            resident_bytes: usage.resident_bytes,
            drives: traffic.drives,
            network: traffic.network,
        })
    }
}
