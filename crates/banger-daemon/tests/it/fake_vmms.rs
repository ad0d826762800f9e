//! A VMM whose machine is the agent on this host, and which can be told to refuse, to wait, or to have silent guests.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use banger_daemon::vmm_source::{ChosenVmm, NoVmm, VmmSource};
use banger_model::{DiskTrouble, GuestNetwork, LostSocket, NetworkTrouble, WantedVmm};
use banger_sys::process::ProcessIdentity;
use banger_vmm::fake::{FakeNetwork, FakeVmm};
use banger_vmm::selection::ChoiceError;
use banger_vmm::{
    AdoptError, ConnectError, ControlError, KillError, Machine, MachineEnd, MachineHandle, MachinePlan,
    Network, RunState, StartError, Vmm, VmmKind, WriteFailure,
};
use tokio::net::UnixStream;
use tokio::sync::watch;

use crate::gate::Gate;
use crate::machines::processes_of;

pub struct Behaviour {
    /// Before a machine's process starts.
    pub launch: Gate,
    /// After a machine's process has started, before the caller has it.
    pub launched: Gate,
    /// When somebody wants a stream to a guest.
    pub connect: Gate,
    pub is_missing: AtomicBool,
    pub refuses: AtomicBool,
    pub has_silent_guests: AtomicBool,
    /// What stands for the network of machines that are started.
    pub network: Mutex<FakeNetwork>,
    /// Guests stand still for this reason, until they are let go.
    pub stands_still: Mutex<Option<WriteFailure>>,
    /// What has become of writes of all guests.
    pub disk: watch::Sender<Option<DiskTrouble>>,
    /// What is said of every choice.
    pub warnings: Mutex<Vec<String>>,
}

pub struct FakeVmms {
    agent: PathBuf,
    home: PathBuf,
    pub behaviour: Arc<Behaviour>,
}

impl FakeVmms {
    pub fn new(agent: &Path, home: &Path) -> Self {
        let behaviour = Behaviour {
            launch: Gate::new(),
            launched: Gate::new(),
            connect: Gate::new(),
            is_missing: AtomicBool::new(false),
            refuses: AtomicBool::new(false),
            has_silent_guests: AtomicBool::new(false),
            network: Mutex::default(),
            stands_still: Mutex::default(),
            disk: watch::Sender::default(),
            warnings: Mutex::default(),
        };
        Self { agent: agent.to_owned(), home: home.to_owned(), behaviour: Arc::new(behaviour) }
    }

    pub fn silence_guests(&self, is_silent: bool) {
        self.behaviour.has_silent_guests.store(is_silent, Ordering::SeqCst);
    }

    /// Guests stand still, as after a write that the host's disk did not take.
    pub fn stand_still(&self, failure: WriteFailure) {
        *self.behaviour.stands_still.lock().unwrap() = Some(failure);
        self.silence_guests(true);
    }

    fn vmm(&self) -> TestVmm {
        let network = *self.behaviour.network.lock().unwrap();
        let inner = FakeVmm::new(&self.agent).with_network(network);
        TestVmm { inner, behaviour: Arc::clone(&self.behaviour) }
    }
}

impl VmmSource for FakeVmms {
    fn choose(&self, _wanted: WantedVmm) -> Result<ChosenVmm, NoVmm> {
        if self.behaviour.is_missing.load(Ordering::SeqCst) {
            let (program, package) = ("qemu-system-x86_64", "qemu-system-x86");
            return Err(NoVmm(ChoiceError::Missing { program, package }));
        }
        let warnings = self.behaviour.warnings.lock().unwrap().clone();
        Ok(ChosenVmm { vmm: Arc::new(self.vmm()), label: "fake".to_owned(), warnings })
    }

    fn of_kind(&self, _kind: VmmKind) -> Option<Arc<dyn Vmm>> {
        Some(Arc::new(self.vmm()))
    }

    fn end_orphans(&self, _vms: &Path, known: &[ProcessIdentity], kept: &[PathBuf]) -> usize {
        let kept: Vec<_> =
            kept.iter().flat_map(|path| processes_of(Path::new(path.file_name().unwrap()))).collect();
        let is_orphan = |process: &ProcessIdentity| !known.contains(process) && !kept.contains(process);
        let orphans = processes_of(&self.home).into_iter().filter(is_orphan);
        orphans.map(kill).count()
    }

    fn machines_of(&self, directories: &[PathBuf]) -> io::Result<Vec<(ProcessIdentity, PathBuf)>> {
        let of = |directory: &PathBuf| {
            processes_of(directory).into_iter().map(|of| (of, directory.clone())).collect()
        };
        Ok(directories.iter().flat_map::<Vec<_>, _>(of).collect())
    }
}

pub fn kill(process: ProcessIdentity) {
    let pid = rustix::process::Pid::from_raw(process.pid.try_into().unwrap()).unwrap();
    // One that has just ended is fine.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

struct TestVmm {
    inner: FakeVmm,
    behaviour: Arc<Behaviour>,
}

impl TestVmm {
    fn wrap(&self, inner: Box<dyn Machine>) -> Box<dyn Machine> {
        Box::new(TestMachine { inner, behaviour: Arc::clone(&self.behaviour) })
    }
}

#[async_trait]
impl Vmm for TestVmm {
    fn kind(&self) -> VmmKind {
        self.inner.kind()
    }

    fn guest_network(&self, network: &Network) -> Option<GuestNetwork> {
        self.inner.guest_network(network)
    }

    async fn start(&self, plan: &MachinePlan) -> Result<Box<dyn Machine>, StartError> {
        self.behaviour.launch.pass().await;
        if self.behaviour.refuses.load(Ordering::SeqCst) {
            let stderr = "no such machine".to_owned();
            return Err(StartError::Refused { program: "qemu-system-x86_64", stderr });
        }
        let machine = MachineInTheMaking(Some(self.inner.start(plan).await?));
        self.behaviour.launched.pass().await;
        Ok(self.wrap(machine.take()))
    }

    async fn adopt(&self, handle: &MachineHandle) -> Result<Option<Box<dyn Machine>>, AdoptError> {
        Ok(self.inner.adopt(handle).await?.map(|machine| self.wrap(machine)))
    }
}

/// As the contract says: a start that is given up leaves no process.
struct MachineInTheMaking(Option<Box<dyn Machine>>);

impl MachineInTheMaking {
    fn take(mut self) -> Box<dyn Machine> {
        self.0.take().unwrap()
    }
}

impl Drop for MachineInTheMaking {
    fn drop(&mut self) {
        if let Some(machine) = &self.0 {
            kill(machine.handle().process.into());
        }
    }
}

struct TestMachine {
    inner: Box<dyn Machine>,
    behaviour: Arc<Behaviour>,
}

#[async_trait]
impl Machine for TestMachine {
    fn handle(&self) -> &MachineHandle {
        self.inner.handle()
    }

    async fn ended(&self) -> MachineEnd {
        self.inner.ended().await
    }

    async fn kill(&self) -> Result<(), KillError> {
        self.inner.kill().await
    }

    async fn connect(&self, port: u32, deadline: Duration) -> Result<UnixStream, ConnectError> {
        self.behaviour.connect.pass().await;
        if self.behaviour.has_silent_guests.load(Ordering::SeqCst) {
            tokio::time::sleep(deadline).await;
            return Err(ConnectError::Silent { deadline });
        }
        self.inner.connect(port, deadline).await
    }

    fn network(&self) -> watch::Receiver<Option<NetworkTrouble>> {
        self.inner.network()
    }

    fn lost_socket(&self) -> Option<LostSocket> {
        self.inner.lost_socket()
    }

    fn disk(&self) -> watch::Receiver<Option<DiskTrouble>> {
        self.behaviour.disk.subscribe()
    }

    async fn run_state(&self) -> Result<RunState, ControlError> {
        let failure = *self.behaviour.stands_still.lock().unwrap();
        Ok(failure.map_or(RunState::Running, RunState::WriteFailed))
    }

    async fn resume(&self) -> Result<(), ControlError> {
        *self.behaviour.stands_still.lock().unwrap() = None;
        self.behaviour.has_silent_guests.store(false, Ordering::SeqCst);
        Ok(())
    }
}
