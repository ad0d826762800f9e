//! Starts a machine, makes one from a snapshot, takes one over. Every process is killed on the way out until the machine
//! stands: see [`banger_sys::launch::Started`].

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_model::NetworkAttachment;
use banger_sys::companions::Companions;
use banger_sys::files::{create_private_directory, remove_any};
use banger_sys::launch::{Inherited, Launch, launch};
use banger_sys::process::ProcessIdentity;
use banger_sys::socket::{self, listen_async};
use rustix::fs::inotify;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use super::api::{
    Action, Api, ApiError, MemoryBackend, MemoryBackendType, NetworkOverride, SnapshotLoad, VsockOverride,
};
use super::config::{INTERFACE, added_bytes, kernel_command_line, parts};
use super::confine::{self, Confined, Given};
use super::control::FirecrackerControl;
use super::driver::Firecracker;
use super::jail::JailWish;
use super::names::{NO_CONSOLE, PROGRAM_NAME};
use super::places::Places;
use super::version::{OLDEST_TEXT, Version};
use super::{bell, cell, host_parts, jail, metrics, pager};
use crate::contract::{
    AdoptError, MachineHandle, MachinePlan, MemorySource, NETWORK, Network, RestorePlan, StartError, VmmKind,
};
use crate::machine::{Listener, Presence, RunningMachine, clean_up, create_log, last_words};
use crate::{handle, plan_check};

/// Firecracker listens after a few milliseconds; a host that starts many at once takes its time.
const READY_DEADLINE: Duration = Duration::from_secs(30);

/// How long a request may take: the start reads the kernel, and all of a snapshot's state.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);

/// How soon a socket that is there but does not listen yet is tried again: two calls of Firecracker lie between.
const LISTEN_PAUSE: Duration = Duration::from_millis(1);

/// How long Firecracker may take to end once its API broke.
const END_DEADLINE: Duration = Duration::from_secs(1);

/// How often what Firecracker has counted is added up, so that its file stays small: it grows by a line a minute.
const METRICS_PERIOD: Duration = Duration::from_secs(600);

const PAGER_PROGRAM: &str = "pager";

/// A machine that may not stand yet.
struct Attempt {
    confined: Confined,
    companions: Companions,
    handle: MachineHandle,
    places: Places,
    bell: UnixListener,
    api: Api,
    /// Tells of names that appear among the sockets.
    appears: AsyncFd<OwnedFd>,
}

impl Attempt {
    /// Ends all that was started, and removes what it left.
    async fn undo(self) {
        let Self { mut confined, companions, handle, places, .. } = self;
        drop(companions);
        confined.process.kill();
        // One that does not end is killed all the same: nobody waits longer for it.
        let _ = tokio::time::timeout(END_DEADLINE, confined.process.ended()).await;
        clean_up(&[], leftovers(&handle, &places)).await;
    }
}

pub(super) async fn start(driver: &Firecracker, plan: &MachinePlan) -> Result<RunningMachine, StartError> {
    let places = Places::of_plan(plan);
    let command_line = kernel_command_line(plan, driver.tuning);
    plan_check::check(plan, &places.sockets(), &command_line, added_bytes(plan))?;
    in_a_jail_or_cell(driver, plan, None).await
}

pub(super) async fn restore(
    driver: &Firecracker,
    plan: &MachinePlan,
    from: &RestorePlan,
) -> Result<RunningMachine, StartError> {
    let places = Places::of_plan(plan);
    let snapshot = [from.snapshot.state.as_path(), &from.snapshot.memory];
    plan_check::check_restore(plan, &places.sockets(), &snapshot)?;
    in_a_jail_or_cell(driver, plan, Some(from)).await
}

/// Starts a machine in a jail where it is to have one; in its cell alone where that does not work and need not be.
async fn in_a_jail_or_cell(
    driver: &Firecracker,
    plan: &MachinePlan,
    from: Option<&RestorePlan>,
) -> Result<RunningMachine, StartError> {
    check_helper(driver)?;
    let jailer = confine::jailer_for(driver, plan, from, &Places::of_plan(plan))?;
    let may_do_without = jailer.is_some() && driver.tuning.jailer == JailWish::Auto;
    match run(driver, plan, from, jailer).await {
        Err(error) if may_do_without && may_be_of_the_jail(&error) => {
            let machine = run(driver, plan, from, None).await?;
            Ok(machine.with_warning(format!("Firecracker runs without its jailer: {error}")))
        }
        outcome => outcome,
    }
}

/// Tells whether what went wrong may go well without a jail.
fn may_be_of_the_jail(error: &StartError) -> bool {
    match error {
        StartError::Prepare { .. }
        | StartError::Spawn { .. }
        | StartError::Refused { .. }
        | StartError::PartRefused { .. }
        | StartError::Control { .. }
        | StartError::NotReady { .. } => true,
        StartError::Missing { .. }
        | StartError::BadPlan { .. }
        | StartError::TooOld { .. }
        | StartError::HostAddresses { .. }
        | StartError::NoSnapshots { .. } => false,
    }
}

async fn run(
    driver: &Firecracker,
    plan: &MachinePlan,
    from: Option<&RestorePlan>,
    jailer: Option<PathBuf>,
) -> Result<RunningMachine, StartError> {
    let attempt = begin(driver, plan, from, jailer).await?;
    let ordered = match from {
        None => boot(driver, plan, &attempt.api).await,
        Some(from) => load(plan, from, &attempt.api).await,
    };
    settle(attempt, ordered).await
}

async fn boot(driver: &Firecracker, plan: &MachinePlan, api: &Api) -> Result<Listener, StartError> {
    check_version(api).await?;
    let host = host_parts::look(driver.tuning, plan.memory);
    for part in parts(plan, host, &kernel_command_line(plan, driver.tuning)) {
        let put = api.put(&part.path, &part.body).await;
        put.map_err(|error| refusal(error, &part.what))?;
    }
    let started = api.put("/actions", &Action::InstanceStart).await;
    started.map(|()| Listener::Unknown).map_err(|error| refusal(error, "start"))
}

async fn load(plan: &MachinePlan, from: &RestorePlan, api: &Api) -> Result<Listener, StartError> {
    let version = check_version(api).await?;
    let loaded = api.put("/snapshot/load", &load_request(plan, from, version)).await;
    let loses_streams = version.loses_streams_after_a_snapshot();
    let listener = if loses_streams { Listener::LosesStreams } else { Listener::Unknown };
    loaded.map(|()| listener).map_err(|error| refusal(error, "snapshot"))
}

pub(super) async fn adopt(handle: &MachineHandle) -> Result<Option<RunningMachine>, AdoptError> {
    let places = Places::of_handle(handle);
    let failed = |source| AdoptError::Open { vm: handle.vm.clone(), source };
    let bell = watch::Sender::new(Listener::Unknown);
    let control = Box::new(FirecrackerControl::new(handle, bell.clone()));
    let answering = bell::answer(listen_async(&places.bell).map_err(failed)?, bell.clone());
    let adopted =
        RunningMachine::adopt(handle, leftovers(handle, &places), control, Presence::Rung(bell)).await?;
    Ok(adopted.map(|machine| attend(machine, handle, &places, answering)))
}

/// Makes files and processes, up to a Firecracker whose API answers. Nothing is left of a failure.
async fn begin(
    driver: &Firecracker,
    plan: &MachinePlan,
    from: Option<&RestorePlan>,
    jailer: Option<PathBuf>,
) -> Result<Attempt, StartError> {
    let places = Places::of_plan(plan);
    let leftovers = places.leftovers().into_iter().chain([jail::directory(&places.state)]).collect();
    let mut attempt = match make(driver, plan, from, jailer, places).await {
        Ok(attempt) => attempt,
        Err(error) => {
            clean_up(&[], leftovers).await;
            return Err(error);
        }
    };
    match let_go(&mut attempt).await {
        Ok(()) => Ok(attempt),
        Err(error) => {
            attempt.undo().await;
            Err(error)
        }
    }
}

async fn make(
    driver: &Firecracker,
    plan: &MachinePlan,
    from: Option<&RestorePlan>,
    jailer: Option<PathBuf>,
    places: Places,
) -> Result<Attempt, StartError> {
    prepare_files(driver, &places)?;
    let errors = File::options().append(true).open(&places.error_log).map_err(prepare(&places.error_log))?;
    let bell = listen_async(&places.bell).map_err(prepare(&places.bell))?;
    let mut companions = Companions::default();
    let gate = match &plan.network {
        Network::None => None,
        Network::UserMode { .. } => {
            let launched = driver.network.launch(NetworkAttachment::Tap, &plan.state_directory, &errors)?;
            companions.add(NETWORK, launched.process);
            Some(launched.socket.into())
        }
    };
    let (pager, pager_process) = match from.map(|from| (from.memory, from)) {
        Some((MemorySource::Pager, from)) => {
            let (process, lifeline) = start_pager(driver, &from.snapshot.memory, &places, &errors)?;
            let identity = process.processes().next();
            companions.append(process);
            (Some(lifeline), identity)
        }
        Some((MemorySource::File, _)) | None => (None, None),
    };
    let appears = watch_directory(&places.runtime).map_err(prepare(&places.runtime))?;
    let confined = confine::in_cell(driver, plan, from, &places, Given { jailer, gate, pager }).await?;
    let handle = MachineHandle {
        format_version: handle::FORMAT_VERSION,
        vm: plan.vm.clone(),
        vmm: VmmKind::Firecracker,
        process: confined.process.identity.into(),
        companions: companions.processes().map(Into::into).collect(),
        control_socket: places.control.clone(),
        channel_socket: places.channel.clone(),
        console_log: places.console_log.clone(),
        jail: confined.jail.clone(),
        pager: pager_process.map(Into::into),
    };
    let api = Api::new(&places.control, REQUEST_DEADLINE);
    Ok(Attempt { confined, companions, handle, places, bell, api, appears })
}

/// Lets Firecracker go, once `machine.json` tells of it, and waits for its API.
async fn let_go(attempt: &mut Attempt) -> Result<(), StartError> {
    write_handle(&attempt.places.state, &attempt.handle).await?;
    if attempt.confined.go().await.is_err() {
        // The cell could not be made after all, and has said why.
        let _ = tokio::time::timeout(END_DEADLINE, attempt.confined.process.ended()).await;
        return Err(refused(&attempt.places));
    }
    wait_for_api(attempt).await
}

fn check_helper(driver: &Firecracker) -> Result<(), StartError> {
    plan_check::require(driver.helper.is_file(), || {
        format!("the program `{}`, which isolates Firecracker, is missing", driver.helper.display())
    })
}

fn prepare_files(driver: &Firecracker, places: &Places) -> Result<(), StartError> {
    use std::io::Write as _;
    for socket in places.sockets() {
        remove_any(&socket).map_err(prepare(&socket))?;
    }
    let mut console = create_log(&places.console_log)?;
    if !driver.tuning.serial_console {
        console.write_all(NO_CONSOLE.as_bytes()).map_err(prepare(&places.console_log))?;
    }
    // Firecracker makes its files only since 1.14, and in the cell it can make none beside its sockets.
    for log in [&places.error_log, &places.vmm_log, &places.metrics] {
        create_log(log)?;
    }
    for older in [metrics::sum_file(&places.metrics), places.outbox.clone(), jail::directory(&places.state)] {
        remove_any(&older).map_err(prepare(&older))?;
    }
    create_private_directory(&places.outbox)
        .map_err(|error| StartError::Prepare { path: places.outbox.clone(), source: io::Error::other(error) })
}

fn start_pager(
    driver: &Firecracker,
    memory: &Path,
    places: &Places,
    errors: &File,
) -> Result<(Companions, OwnedFd), StartError> {
    let failed = |source| StartError::Spawn { program: PAGER_PROGRAM, source };
    let memory_file = File::open(memory).map_err(prepare(memory))?;
    let listener = socket::listen(&places.pager).map_err(prepare(&places.pager))?;
    let (lifeline, far_end) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
    let mut inherited = Inherited::default();
    let number = inherited.add(listener);
    let process = launch(Launch {
        program: driver.helper.clone(),
        directory: places.state.clone(),
        arguments: vec![pager::ARGUMENT.into(), number.to_string().into()],
        input: Some(far_end.into()),
        output: Some(memory_file.into()),
        errors: errors.try_clone().map_err(failed)?,
        inherited,
    })
    .map_err(failed)?;
    let mut companions = Companions::default();
    companions.add(PAGER_PROGRAM, process);
    Ok((companions, lifeline.into()))
}

fn prepare(path: &Path) -> impl FnOnce(io::Error) -> StartError {
    let path = path.to_owned();
    |source| StartError::Prepare { path, source }
}

async fn write_handle(state: &Path, handle: &MachineHandle) -> Result<(), StartError> {
    let (directory, handle) = (state.to_owned(), handle.clone());
    let written = tokio::task::spawn_blocking(move || handle::store(&directory, &handle)).await;
    let written = written.map_err(io::Error::other).and_then(|it| it.map_err(io::Error::other));
    written.map_err(|source| StartError::Prepare { path: state.join(handle::HANDLE_FILE), source })
}

/// Tells of every name that appears in a directory.
fn watch_directory(directory: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    let descriptor = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
    inotify::add_watch(&descriptor, directory, inotify::WatchFlags::CREATE)?;
    banger_sys::event::watch(descriptor)
}

/// Waits until Firecracker takes requests: its socket appears a moment before it listens.
async fn wait_for_api(attempt: &mut Attempt) -> Result<(), StartError> {
    let control = &attempt.places.control;
    let appears = &attempt.appears;
    let listening = async {
        loop {
            match socket::connect(control).await {
                Ok(_stream) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => next_event(appears).await?,
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    tokio::time::sleep(LISTEN_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    };
    tokio::select! {
        listening = tokio::time::timeout(READY_DEADLINE, listening) => match listening {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(StartError::Control { program: PROGRAM_NAME, source: source.into() }),
            Err(_late) => Err(StartError::NotReady { program: PROGRAM_NAME, deadline: READY_DEADLINE }),
        },
        _ended = attempt.confined.process.ended() => Err(refused(&attempt.places)),
    }
}

async fn next_event(appears: &AsyncFd<OwnedFd>) -> io::Result<()> {
    let mut guard = appears.readable().await?;
    let mut events = [0; 4096];
    match rustix::io::read(guard.get_inner(), &mut events) {
        Ok(_some) => Ok(()),
        Err(rustix::io::Errno::AGAIN) => {
            guard.clear_ready();
            Ok(())
        }
        Err(errno) => Err(errno.into()),
    }
}

async fn check_version(api: &Api) -> Result<Version, StartError> {
    let version = api.version().await.map_err(|error| refusal(error, "version"))?;
    if version.is_too_old() {
        let found = version.to_string();
        return Err(StartError::TooOld { program: PROGRAM_NAME, found, minimum: OLDEST_TEXT });
    }
    if version.is_untested() {
        warn!(%version, "this Firecracker is newer than all that banger was tried with");
    }
    Ok(version)
}

fn load_request(plan: &MachinePlan, from: &RestorePlan, version: Version) -> SnapshotLoad {
    let mem_backend = match from.memory {
        MemorySource::File => MemoryBackend {
            backend_type: MemoryBackendType::File,
            backend_path: cell::SNAPSHOT_MEMORY.to_owned(),
        },
        MemorySource::Pager => {
            MemoryBackend { backend_type: MemoryBackendType::Uffd, backend_path: cell::PAGER.to_owned() }
        }
    };
    // Inside, tap and socket have the names of every machine: the overrides say what a snapshot of ours says anyhow, and
    // make one of another origin fit.
    let network = match &plan.network {
        Network::UserMode { .. } if version.takes_network_overrides() => {
            vec![NetworkOverride { iface_id: INTERFACE.to_owned(), host_dev_name: cell::TAP.to_owned() }]
        }
        Network::UserMode { .. } | Network::None => Vec::new(),
    };
    let vsock = VsockOverride { uds_path: cell::CHANNEL.to_owned() };
    let by_new_name = version.knows_track_dirty_pages_at_load();
    SnapshotLoad {
        snapshot_path: cell::SNAPSHOT_STATE.to_owned(),
        mem_backend,
        track_dirty_pages: from.notes_writes && by_new_name,
        enable_diff_snapshots: from.notes_writes && !by_new_name,
        resume_vm: false,
        network_overrides: network,
        vsock_override: version.takes_a_vsock_override().then_some(vsock),
    }
}

/// Says what Firecracker does not take, in the plan's words.
fn refusal(error: ApiError, part: &str) -> StartError {
    match error {
        ApiError::Refused { reason, .. } => {
            StartError::PartRefused { program: PROGRAM_NAME, part: part.to_owned(), reason }
        }
        ApiError::Silent { deadline, .. } => StartError::NotReady { program: PROGRAM_NAME, deadline },
        error @ (ApiError::Connect(_)
        | ApiError::TooLong { .. }
        | ApiError::Encode { .. }
        | ApiError::Broken { .. }
        | ApiError::BadAnswer { .. }) => {
            StartError::Control { program: PROGRAM_NAME, source: Box::new(error) }
        }
    }
}

/// Makes a machine of an attempt whose orders were carried out; of another one nothing is left.
async fn settle(
    mut attempt: Attempt,
    ordered: Result<Listener, StartError>,
) -> Result<RunningMachine, StartError> {
    let error = match judge(&mut attempt, ordered).await {
        Ok(listener) => return Ok(stand(attempt, listener)),
        Err(error) => error,
    };
    attempt.undo().await;
    Err(error)
}

/// What goes with a machine.
fn leftovers(handle: &MachineHandle, places: &Places) -> Vec<PathBuf> {
    let mut all = places.leftovers();
    all.extend(jail::leftovers(handle));
    all
}

/// Tells how the orders went, and what is known of the agent by them.
async fn judge(attempt: &mut Attempt, ordered: Result<Listener, StartError>) -> Result<Listener, StartError> {
    let listener = match ordered {
        Ok(listener) => listener,
        // The API broke: Firecracker ends, now or in a moment, and has said why.
        Err(StartError::Control { program, source }) => {
            return match tokio::time::timeout(END_DEADLINE, attempt.confined.process.ended()).await {
                Ok(_ended) => Err(refused(&attempt.places)),
                Err(_late) => Err(StartError::Control { program, source }),
            };
        }
        Err(error) => return Err(error),
    };
    // passt reads its options long before Firecracker answers: had it refused them, it would be gone.
    match attempt.companions.missing() {
        Some(program) => Err(StartError::Refused { program, stderr: last_words(&attempt.places.error_log) }),
        None => Ok(listener),
    }
}

fn refused(places: &Places) -> StartError {
    let (cell, vmm) = (last_words(&places.error_log), last_words(&places.vmm_log));
    let stderr = [cell, vmm].into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join("\n");
    StartError::Refused { program: PROGRAM_NAME, stderr }
}

fn stand(attempt: Attempt, listener: Listener) -> RunningMachine {
    let Attempt { confined, companions, handle, places, bell: bell_socket, .. } = attempt;
    companions.release();
    confined.undo.release();
    let bell = watch::Sender::new(listener);
    let answering = bell::answer(bell_socket, bell.clone());
    let control = Box::new(FirecrackerControl::new(&handle, bell.clone()));
    let machine = RunningMachine::of_started(
        handle.clone(),
        confined.process,
        leftovers(&handle, &places),
        control,
        Presence::Rung(bell),
    );
    attend(machine, &handle, &places, answering)
}

/// Adds what is done for a machine for as long as it is held.
fn attend(
    machine: RunningMachine,
    handle: &MachineHandle,
    places: &Places,
    answering: AbortOnDropHandle<()>,
) -> RunningMachine {
    // A tap cannot be made anew from outside the cell.
    let machine = machine
        .with_network(None)
        .with_task(answering)
        .with_log(places.vmm_log.clone())
        .with_task(add_up_metrics(places.clone()));
    match handle.pager {
        Some(pager) => machine.with_task(end_without(pager.into(), handle.process.into())),
        None => machine,
    }
}

fn add_up_metrics(places: Places) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        // Not at once: a machine that is removed right after its start would find its directory written to.
        let mut ticks = tokio::time::interval_at(Instant::now() + METRICS_PERIOD, METRICS_PERIOD);
        loop {
            ticks.tick().await;
            let path = places.metrics.clone();
            let read = tokio::task::spawn_blocking(move || metrics::read(&path, false).map(drop)).await;
            if let Ok(Err(error)) = read {
                warn!(path = %places.metrics.display(), %error, "cannot add up what Firecracker has counted");
            }
        }
    }))
}

/// Ends a machine whose pager has gone: its guest stands still for ever.
fn end_without(pager: ProcessIdentity, machine: ProcessIdentity) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let gone = match pager.open() {
            Ok(Some(process)) => process.ended().await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        match gone {
            Ok(()) => {
                warn!(pid = machine.pid, "the machine's pager has gone: the machine ends");
                if let Err(error) = machine.kill() {
                    warn!(pid = machine.pid, %error, "cannot end a machine without its pager");
                }
            }
            Err(error) => warn!(pid = pager.pid, %error, "cannot watch a pager"),
        }
    }))
}
