//! A daemon of its own for each test: its home, its fakes, its client.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use banger_api::{ErrorBody, OperationState, OperationView, VmView};
use banger_client::{Client, ClientError};
use banger_daemon::config::Config;
use banger_daemon::doctor::Doctor;
use banger_daemon::events::Events;
use banger_daemon::http::{ApiState, PrivateListener, serve};
use banger_daemon::image::{ImageBootSource, ImageOperations, KernelOperations};
use banger_daemon::operation::Operations;
use banger_daemon::program::RunningProgram;
use banger_daemon::ssh_keys::UserKey;
use banger_daemon::supervisor::Supervisor;
use banger_daemon::vm::{ReconcileReport, VmParts, Vms};
use banger_daemon::wiring::{Daemon, DaemonError};
use banger_guest::proto::ExecStart;
use banger_guest::{AgentClient, ExecEvent};
use banger_image::PullRules;
use banger_model::{DiskFloor, EventKind, HostSize};
use banger_store::Store;
use banger_sys::lock::FileLock;
use banger_sys::paths::Paths;
use banger_sys::process::ProcessIdentity;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::fake_source::FakeSource;
use crate::fake_vmms::{Behaviour, FakeVmms, kill};
use crate::gate::PATIENCE;
use crate::machines::{agent, processes_of};

/// How long a fake guest may be silent before its boot fails.
pub const BOOT_DEADLINE: Duration = Duration::from_millis(400);

pub struct Sandbox {
    home: PathBuf,
    /// Removes the home in the end, when it is this test's own.
    owner: Option<TempDir>,
    pub paths: Paths,
    pub source: Arc<FakeSource>,
    pub vmms: Arc<FakeVmms>,
    pub client: Client,
    boot_deadline: Duration,
    /// How long a VM may run without use.
    pub stale_after: Option<Duration>,
    /// What must stay free; nothing, so that no test depends on the host's disk.
    pub disk_floor: DiskFloor,
    daemon: Option<Running>,
}

/// A daemon in this process, with threads of its own that can be taken away from it.
struct Running {
    runtime: Runtime,
    shutdown: CancellationToken,
    served: tokio::task::JoinHandle<()>,
    _lock: FileLock,
}

impl Sandbox {
    /// A daemon that runs.
    pub async fn start() -> Self {
        let mut sandbox = Self::new(PATIENCE);
        sandbox.start_daemon().await;
        sandbox
    }

    /// A daemon that runs, with little patience for guests.
    pub async fn impatient() -> Self {
        let mut sandbox = Self::new(BOOT_DEADLINE);
        sandbox.start_daemon().await;
        sandbox
    }

    /// A place for a daemon that is not started yet.
    pub fn new(boot_deadline: Duration) -> Self {
        let owner = tempfile::tempdir().unwrap();
        let mut sandbox = Self::at(owner.path(), boot_deadline);
        sandbox.owner = Some(owner);
        sandbox
    }

    /// A place that somebody else removes.
    pub fn at(home: &Path, boot_deadline: Duration) -> Self {
        let paths = Paths::under(home).unwrap();
        let client = Client::new(&paths.daemon_socket());
        let source = Arc::new(FakeSource::new(home));
        let vmms = Arc::new(FakeVmms::new(&agent(), home));
        let (home, stale_after, disk_floor) = (home.to_owned(), None, DiskFloor::Bytes(0));
        let (owner, daemon) = (None, None);
        Self { home, owner, paths, source, vmms, client, boot_deadline, stale_after, disk_floor, daemon }
    }

    pub async fn start_daemon(&mut self) -> ReconcileReport {
        let paths = self.paths.clone();
        let lock = take_place(&paths);
        // One thread: when it is taken away, no other goes on with what the first has left.
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let parts = self.parts();
        let (supervisor, operations, events, config) =
            (parts.supervisor.clone(), parts.operations.clone(), parts.events.clone(), parts.config.clone());
        let (key, rows) = (parts.user_key.authorized_key.clone(), Arc::clone(&parts.store));
        let started = runtime.spawn(async move {
            let vms = Vms::new(parts);
            let report = vms.reconcile().await.unwrap();
            vms.keep_time();
            let program = RunningProgram::current().unwrap();
            let images = Arc::new(ImageBootSource::new(
                &paths,
                &program,
                key,
                Arc::clone(&rows),
                PullRules::default(),
            ));
            let shutdown = CancellationToken::new();
            let state = ApiState {
                vms,
                kernels: Arc::new(KernelOperations::new(
                    images.images(),
                    Arc::clone(&rows),
                    operations.clone(),
                )),
                images: Arc::new(ImageOperations::new(images.images(), rows, operations.clone())),
                operations,
                events,
                doctor: Arc::new(Doctor::new(paths.clone(), config.clone(), images)),
                config: Arc::new(config),
                program: Arc::new(program),
                supervisor,
                streams: Arc::default(),
                shutdown: shutdown.clone(),
            };
            let listener = PrivateListener::bind(&paths.daemon_socket()).unwrap();
            (report, shutdown, tokio::spawn(serve(listener, state, std::future::pending())))
        });
        let (report, shutdown, served) = started.await.unwrap();
        self.daemon = Some(Running { runtime, shutdown, served, _lock: lock });
        report
    }

    fn parts(&self) -> VmParts {
        let host = HostSize { processors: 4, memory_mib: 4096 };
        let mut config = Config::load(Path::new("/nonexistent"), host).unwrap();
        config.boot_deadline = self.boot_deadline;
        config.ready_ports_deadline = self.boot_deadline;
        config.auto_stop_stale_after = self.stale_after;
        config.disk_floor = self.disk_floor;
        let supervisor = Supervisor::new();
        let operations = Operations::new(supervisor.clone());
        let store = Arc::new(self.store());
        let events = Events::new(Arc::clone(&store));
        events.observe(&operations);
        VmParts {
            store,
            paths: self.paths.clone(),
            config,
            host,
            source: self.source.clone(),
            vmms: self.vmms.clone(),
            user_key: UserKey::load_or_create(&self.paths.state).unwrap(),
            operations,
            events,
            supervisor,
        }
    }

    /// The database beside the daemon's own connection.
    pub fn store(&self) -> Store {
        Store::open(&self.paths.database()).unwrap()
    }

    /// The message of the last event of a kind.
    pub fn why(&self, kind: EventKind) -> Option<String> {
        let events = self.store().events(0, 1000).unwrap().into_iter().rev();
        events.map(|row| row.event).find(|event| event.kind == kind).unwrap().message
    }

    /// Takes the daemon's threads away in the middle of whatever they do, and returns when they are gone: a dead
    /// process does not go on beside its successor either.
    pub fn crash_daemon(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            // A thread of its own, because a test's own runtime must not wait for another one inside of it.
            let ending = std::thread::spawn(move || daemon.runtime.shutdown_timeout(PATIENCE));
            ending.join().unwrap();
        }
    }

    /// Waits until the daemon has ended by itself.
    pub async fn daemon_ended(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        tokio::time::timeout(PATIENCE, &mut daemon.served).await.unwrap().unwrap();
        daemon.runtime.shutdown_background();
    }

    pub fn shut_down(&self) {
        self.daemon.as_ref().unwrap().shutdown.cancel();
    }

    pub fn behaviour(&self) -> &Behaviour {
        &self.vmms.behaviour
    }

    pub async fn begin(&self, path: &str, body: Value) -> Result<OperationView, ErrorBody> {
        self.client.post(path, &body).await.map_err(refused)
    }

    pub async fn finish(&self, operation: OperationView) -> Result<OperationView, ErrorBody> {
        let followed = self.client.follow(operation, |_| {});
        tokio::time::timeout(PATIENCE * 2, followed).await.expect("the operation hangs").map_err(refused)
    }

    /// Begins to make a VM with this name.
    pub async fn begin_create(&self, name: &str) -> OperationView {
        self.begin("/v1/vms", json!({ "name": name })).await.unwrap()
    }

    /// Makes a VM with this name, up to its end.
    pub async fn try_create(&self, name: &str) -> Result<VmView, ErrorBody> {
        let ended = self.finish(self.begin_create(name).await).await?;
        Ok(serde_json::from_value(ended.result.unwrap()).unwrap())
    }

    pub async fn create(&self, name: &str) -> VmView {
        self.try_create(name).await.unwrap()
    }

    pub async fn begin_act(&self, name: &str, verb: &str) -> OperationView {
        self.begin(&format!("/v1/vms/{name}/{verb}"), json!({})).await.unwrap()
    }

    /// Does `verb` with a VM, up to its end.
    pub async fn act(&self, name: &str, verb: &str) -> Result<Option<VmView>, ErrorBody> {
        let begun = self.begin(&format!("/v1/vms/{name}/{verb}"), json!({})).await?;
        let ended = self.finish(begun).await?;
        Ok(serde_json::from_value(ended.result.unwrap_or_default()).unwrap())
    }

    pub async fn cancel(&self, operation: &OperationView) {
        let path = format!("/v1/operations/{}/cancel", operation.id);
        let _: OperationView = self.client.post(&path, &json!({})).await.unwrap();
    }

    /// Waits for the operation's end, which must be that it was cancelled.
    pub async fn ended_cancelled(&self, operation: OperationView) -> ErrorBody {
        let id = operation.id.clone();
        let error = self.finish(operation).await.unwrap_err();
        let ended = self.client.operation(&id, 0).await.unwrap();
        assert_eq!(ended.state, OperationState::Cancelled, "{error:?}");
        error
    }

    pub async fn vm(&self, name: &str) -> Option<VmView> {
        match self.client.get(&format!("/v1/vms/{name}")).await {
            Ok(vm) => Some(vm),
            Err(error) => {
                assert_eq!(refused(error).code, banger_api::ErrorCode::NotFound);
                None
            }
        }
    }

    pub async fn vms(&self) -> Vec<VmView> {
        self.client.get("/v1/vms").await.unwrap()
    }

    /// Waits until the VM is as told: what happens by itself has no operation to follow.
    pub async fn wait_for(&self, name: &str, is_so: impl Fn(&VmView) -> bool) -> VmView {
        let waiting = async {
            loop {
                if let Some(vm) = self.vm(name).await.filter(&is_so) {
                    return vm;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the VM never is as it should be")
    }

    /// Waits until there is no such VM.
    pub async fn wait_until_gone(&self, name: &str) {
        let waiting = async {
            while self.vm(name).await.is_some() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the VM stays");
    }

    pub async fn guest(&self, name: &str) -> AgentClient {
        let path = format!("/v1/vms/{name}/channel?port={}", banger_agent_proto::CONTROL_PORT);
        let stream = self.client.upgrade(&path, PATIENCE).await.unwrap();
        AgentClient::connect(stream).await.unwrap()
    }

    /// Runs a command in a guest; returns its output and its end.
    pub async fn exec(&self, name: &str, argv: &[&[u8]]) -> (Vec<u8>, ExecEvent) {
        let start = ExecStart {
            argv: argv.iter().map(|argument| argument.to_vec().into()).collect(),
            working_directory: b"/".to_vec().into(),
            ..ExecStart::default()
        };
        let mut session = self.guest(name).await.exec(start, PATIENCE).await.unwrap();
        let mut output = Vec::new();
        loop {
            match session.next().await.unwrap().expect("an end comes first") {
                ExecEvent::Stdout(bytes) => output.extend_from_slice(&bytes),
                end @ (ExecEvent::Exited(_) | ExecEvent::Failed { .. }) => return (output, end),
                ExecEvent::Started { .. } | ExecEvent::Stderr(_) => {}
            }
        }
    }

    /// The machines that run, whoever knows of them.
    pub fn processes(&self) -> Vec<ProcessIdentity> {
        processes_of(&self.home)
    }

    /// Waits until no machine runs: one whose start was given up takes a moment to end.
    pub async fn no_process_is_left(&self) {
        let waiting = async {
            while !self.processes().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("a machine is left");
    }

    /// Directories of VMs, and of what clients keep about them.
    pub fn directories(&self) -> Vec<PathBuf> {
        let parents = [self.paths.vm(""), self.paths.vm_runtime("")];
        parents
            .iter()
            .flat_map(|parent| std::fs::read_dir(parent).into_iter().flatten())
            .map(|entry| entry.unwrap().path())
            .collect()
    }

    pub async fn nothing_is_left(&self) {
        assert_eq!(self.vms().await, []);
        assert!(self.directories().is_empty(), "{:?}", self.directories());
        self.no_process_is_left().await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.crash_daemon();
        processes_of(&self.home).into_iter().for_each(kill);
    }
}

/// Takes the daemon's place as soon as it is free: a process that another test is just starting has inherited the lock
/// of the daemon before, up to its `execve`.
fn take_place(paths: &Paths) -> FileLock {
    let begun = Instant::now();
    loop {
        match Daemon::take_place(paths) {
            Err(DaemonError::AlreadyRunning) if begun.elapsed() < PATIENCE => std::thread::yield_now(),
            taken => return taken.unwrap(),
        }
    }
}

pub fn refused(error: ClientError) -> ErrorBody {
    match error {
        ClientError::Refused(body) => *body,
        other => panic!("not an answer of the daemon: {other}"),
    }
}
