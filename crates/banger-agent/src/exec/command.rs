//! One command, from its start to its last reply.

use std::{
    ffi::CString,
    os::{
        fd::OwnedFd,
        unix::{fs::OpenOptionsExt as _, process::ExitStatusExt as _},
    },
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use banger_agent_proto::{
    EnvironmentVariable, ExecExited, ExecFailed, ExecReply, ExecRequest, ExecStart, ExecStarted,
    ProcessDefaults, exec_exited::Outcome, exec_failed::Reason, exec_reply::Reply, exec_request::Request,
};
use futures::{Stream as MessageStream, StreamExt as _};
use rustix::{
    fs::{AtFlags, Gid, Mode, Uid},
    pipe::PipeFlags,
    process::Pid,
};
use tokio::{
    process::Child,
    sync::{Notify, watch},
    task::JoinHandle,
};
use tonic::Status;

use super::{
    account::{Account, AccountFiles, below},
    defaults::{FilledIn, filled_in},
    images_command::ImagesCommand,
    init_wait::InitWait,
    input::{self, Input},
    leader::Leader,
    memory_kill,
    output::{self, Channel, Stream},
    plan::{self, PlanError},
    power_command,
    replies::ReplySender,
    session, shutdown_note,
    start_error::{Attempt, StartError},
    terminal,
    tree::{ProcessTree, TreeNursery},
    vm_command::{self, Recorder, VmCommandBoard},
};
use crate::control::Init;
use crate::os::{
    namespaces::{self, Namespaces, Place},
    spawn::{self, Program, StandardStreams},
};
use crate::way_out::WayOutBoard;

/// Time between SIGHUP and SIGKILL after the caller went away.
const HANG_UP_GRACE: Duration = Duration::from_millis(500);

/// Starts commands and counts the running ones.
#[derive(Debug)]
pub(crate) struct Commands {
    root: PathBuf,
    nursery: TreeNursery,
    running: AtomicU32,
    ended: Notify,
    /// The first process, with which some commands communicate.
    init: Init,
    /// Announces the end of the system, if it is known before it happens.
    way_out: Option<Arc<WayOutBoard>>,
    init_program: Option<PathBuf>,
    /// The image's command while it runs as the first process of a PID namespace. Locked only briefly.
    first: Mutex<Option<Pid>>,
    /// The image's process settings. Locked only briefly.
    defaults: Mutex<Option<ProcessDefaults>>,
    /// Variables of every command, over which image and caller take precedence. Locked only briefly.
    session_variables: Mutex<Vec<EnvironmentVariable>>,
    vm_command: Arc<VmCommandBoard>,
}

/// The agent's ends of the command's streams.
enum Ends {
    Pipes {
        stdin: Stream,
        stdout: Stream,
        stderr: Stream,
    },
    Terminal(Arc<Stream>),
    Detached,
    /// Of a detached command whose output is kept.
    Kept(Stream),
}

struct Running {
    child: Child,
    tree: ProcessTree,
    leader: Pid,
    ends: Ends,
    is_detached: bool,
    is_first: bool,
    /// The image's command, whose namespaces this command shares.
    beside: Option<Pid>,
    recorder: Option<Recorder>,
}

impl Commands {
    /// `root` contains account files and homes; `cgroups` is the directory for the cgroups of commands.
    pub(crate) fn new(root: PathBuf, cgroups: Option<PathBuf>) -> Self {
        Self {
            root,
            nursery: TreeNursery::new(cgroups),
            running: AtomicU32::new(0),
            ended: Notify::new(),
            init: Init::Ours,
            way_out: None,
            init_program: None,
            first: Mutex::default(),
            defaults: Mutex::default(),
            session_variables: Mutex::default(),
            vm_command: Arc::new(VmCommandBoard::new()),
        }
    }

    /// Sets the first process, its program if that is not ours, and the announcement of its shutdown.
    pub(crate) fn with_init(
        mut self,
        init: Init,
        program: Option<PathBuf>,
        way_out: Option<Arc<WayOutBoard>>,
    ) -> Self {
        (self.init, self.init_program, self.way_out) = (init, program, way_out);
        self
    }

    /// Sets the image's process settings, which apply to commands from now on unless their callers override them.
    pub(crate) fn set_defaults(&self, defaults: Option<ProcessDefaults>) {
        *self.defaults.lock().unwrap_or_else(PoisonError::into_inner) = defaults;
    }

    /// Returns the locale of a session that begins elsewhere: the image's, or the caller's if the guest has it.
    pub(crate) fn locale(&self, callers: &[EnvironmentVariable]) -> Vec<EnvironmentVariable> {
        let defaults = self.defaults.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let images = defaults.map(|defaults| defaults.environment).unwrap_or_default();
        let said: Vec<_> = images.into_iter().filter(|v| session::is_of_language(&v.name)).collect();
        if said.is_empty() { session::locale(&self.root, &[], callers) } else { said }
    }

    /// Sets variables for commands from now on, over which image and caller take precedence.
    pub(crate) fn set_session_variables(&self, variables: Vec<EnvironmentVariable>) {
        *self.session_variables.lock().unwrap_or_else(PoisonError::into_inner) = variables;
    }

    /// Returns what is known of the VM's command.
    pub(crate) fn vm_command(&self) -> &Arc<VmCommandBoard> {
        &self.vm_command
    }

    /// Returns the path of the guest's root.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns root's home.
    pub(crate) fn home_of_root(&self) -> PathBuf {
        let home =
            AccountFiles::read(&self.root).resolve("").map_or_else(|_| b"/root".to_vec(), |root| root.home);
        below(&self.root, &home)
    }

    /// Returns the number of running commands.
    pub(crate) fn running(&self) -> u32 {
        self.running.load(Ordering::Relaxed)
    }

    /// Waits until a command has ended; one that ended before this call counts as well.
    pub(crate) async fn one_ended(&self) {
        self.ended.notified().await;
    }

    /// Serves one call: reads `start`, runs the command, ends with `exited` or `failed`.
    pub(crate) async fn serve(
        &self,
        mut requests: impl MessageStream<Item = Result<ExecRequest, Status>> + Unpin + Send + 'static,
        replies: ReplySender,
    ) {
        let start = match requests.next().await {
            Some(Ok(ExecRequest { request: Some(Request::Start(start)) })) => start,
            Some(Ok(_)) => {
                let _ =
                    replies.send(Err(Status::invalid_argument("the first message must be `start`"))).await;
                return;
            }
            Some(Err(_)) | None => return,
        };
        let mut filled = {
            let defaults = self.defaults.lock().unwrap_or_else(PoisonError::into_inner);
            filled_in(start, defaults.as_ref())
        };
        let is_first = self.is_to_be_first(&mut filled);
        filled.start = session::settled(filled.start, &self.root);
        let beneath = self.session_variables.lock().unwrap_or_else(PoisonError::into_inner).clone();
        filled.start.environment.splice(0..0, beneath);
        if !self.wait_for_init(&filled.start, &replies).await {
            return;
        }
        let reply = match self.start(&filled, is_first) {
            Ok(running) => {
                self.running.fetch_add(1, Ordering::Relaxed);
                let outcome = run(running, requests, &replies, self.way_out.as_deref()).await;
                self.running.fetch_sub(1, Ordering::Relaxed);
                if is_first {
                    self.set_first(None);
                }
                self.ended.notify_one();
                if let Some(way_out) = &self.way_out
                    && has_succeeded(&outcome)
                    && power_command::ends_system(&filled.start)
                {
                    power_command::wait_for_begin(way_out).await;
                }
                outcome
            }
            Err(error) => Reply::Failed(error.reply()),
        };
        let _ = replies.send(Ok(ExecReply { reply: Some(reply) })).await;
    }

    /// Makes a command wait if it communicates with the init; `false` if its caller has gone meanwhile.
    async fn wait_for_init(&self, start: &ExecStart, replies: &ReplySender) -> bool {
        let Some(wait) = InitWait::of(start, self.init, &self.root) else { return true };
        // An init that waits for this command's end would otherwise be waited for in vain.
        self.ended.notify_one();
        tokio::select! {
            () = wait.wait() => true,
            () = replies.closed() => false,
        }
    }

    /// Decides about the image's command. An init that runs already is replaced by a shell.
    fn is_to_be_first(&self, filled: &mut FilledIn) -> bool {
        if !filled.is_images_command {
            return false;
        }
        match ImagesCommand::of(&filled.start.argv, &self.root, self.init_program.as_deref()) {
            ImagesCommand::FirstProcess => namespaces::are_there(),
            ImagesCommand::Shell => false,
            ImagesCommand::Init => {
                filled.start.argv.clear();
                // The init is what was requested, so it does not wait for the shell's end.
                self.ended.notify_one();
                false
            }
        }
    }

    /// Commands are born into the namespaces of the image's command, as in a container.
    fn place(&self, is_first: bool) -> Place {
        match self.first().map(Namespaces::of) {
            _ if is_first => Place::First,
            Some(Ok(namespaces)) => Place::Beside(namespaces),
            // It has just ended.
            Some(Err(_)) | None => Place::Ours,
        }
    }

    fn first(&self) -> Option<Pid> {
        *self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_first(&self, leader: Option<Pid>) {
        *self.first.lock().unwrap_or_else(PoisonError::into_inner) = leader;
    }

    fn start(&self, filled: &FilledIn, is_first: bool) -> Result<Running, StartError> {
        let start = &filled.start;
        let account = AccountFiles::read(&self.root).resolve(&start.user).map_err(PlanError::from)?;
        let account = self.at_home(account);
        let image = plan::image(start, &account, filled.shell)?;
        if filled.is_images_directory {
            plan::make_working_directory(Path::new("/"), &start.working_directory)?;
        }
        let program_name = start
            .argv
            .first()
            .map_or_else(|| plan::shell_of(&account, filled.shell).to_vec(), |program| program.to_vec());
        let working_directory = plan::working_directory(start, &below(&PathBuf::from("/"), &account.home))?;
        let is_root = rustix::process::geteuid().is_root();
        let credentials = is_root.then_some(account.credentials);
        let (streams, ends) = open_streams(start, credentials.as_ref())?;
        let cgroup = self.nursery.cgroup();
        let attempt = Attempt {
            is_shell: start.argv.is_empty(),
            is_there: is_any_there(&working_directory, &image.candidates),
            directory: String::from_utf8_lossy(match start.working_directory.as_ref() {
                [] => &account.home,
                directory => directory,
            })
            .into_owned(),
            program: String::from_utf8_lossy(&program_name).into_owned(),
        };
        let program = Program {
            candidates: image.candidates,
            argv: image.argv,
            environment: image.environment,
            working_directory_path: plan::path_of(&working_directory),
            working_directory,
            place: self.place(is_first),
            credentials,
            cgroup: cgroup.as_ref().and_then(|cgroup| cgroup.door().ok()),
            is_on_terminal: start.terminal.is_some() && !start.detached,
        };
        let beside = matches!(program.place, Place::Beside(_)).then(|| self.first()).flatten();
        let child = spawn::spawn(program, streams).map_err(|error| StartError::of_spawn(attempt, error))?;
        let leader = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).unwrap_or(Pid::INIT);
        if is_first {
            self.set_first(Some(leader));
        }
        let tree = ProcessTree::new(leader, cgroup);
        let recorder = matches!(ends, Ends::Kept(_)).then(|| self.vm_command.begin(&start.argv));
        Ok(Running { child, tree, leader, ends, is_detached: start.detached, is_first, beside, recorder })
    }

    /// If the root is not `/` (in a test guest), homes are below it.
    fn at_home(&self, mut account: Account) -> Account {
        use std::os::unix::ffi::OsStrExt as _;
        if self.root != std::path::Path::new("/") {
            account.home = below(&self.root, &account.home).as_os_str().as_bytes().to_vec();
        }
        account
    }
}

async fn run(
    mut running: Running,
    requests: impl MessageStream<Item = Result<ExecRequest, Status>> + Unpin + Send + 'static,
    replies: &ReplySender,
    way_out: Option<&WayOutBoard>,
) -> Reply {
    let pid = running.leader.as_raw_nonzero().get().unsigned_abs();
    let _ = replies.send(Ok(ExecReply { reply: Some(Reply::Started(ExecStarted { pid })) })).await;
    let memory = memory_kill::Watch::begin(running.leader);
    let leader = Arc::new(Leader::new(running.leader, running.is_first));
    let (exit, exited) = watch::channel(false);
    let (input, outputs) = attach(running.ends, running.recorder.as_ref(), replies, &exited);
    let input = tokio::spawn(input::pump(requests, input, Arc::clone(&leader)));
    let status = if running.is_detached {
        running.child.wait().await
    } else {
        wait_or_hang_up(&mut running.child, &running.tree, replies).await
    };
    leader.forget();
    input.abort();
    let _ = exit.send(true);
    for output in outputs {
        let _ = output.await;
    }
    match status.map(|status| leader.seen(status)) {
        Ok(status) => {
            let note = memory
                .sentence(status)
                .or_else(|| shutdown_note::sentence(status, way_out.and_then(WayOutBoard::kind)))
                .or_else(|| went_along(status, running.beside))
                .unwrap_or_default();
            let exited = ExecExited { outcome: Some(outcome(status)), note };
            if let Some(recorder) = running.recorder {
                recorder.exited(exited.clone());
            }
            Reply::Exited(exited)
        }
        Err(error) => Reply::Failed(ExecFailed {
            reason: Reason::Other.into(),
            message: format!("cannot wait for the command: {error}"),
        }),
    }
}

fn has_succeeded(reply: &Reply) -> bool {
    matches!(reply, Reply::Exited(ExecExited { outcome: Some(Outcome::Code(0)), .. }))
}

/// The kernel ends all processes of a namespace with its first one, which has no mounts of its own any more by then.
fn went_along(status: ExitStatus, beside: Option<Pid>) -> Option<String> {
    let is_gone = |first| Namespaces::of(first).is_err();
    let sentence =
        "the command was ended because the image's command, whose process namespace it shared, has ended";
    (status.signal() == Some(libc::SIGKILL) && beside.is_some_and(is_gone)).then(|| sentence.to_owned())
}

fn attach(
    ends: Ends,
    recorder: Option<&Recorder>,
    replies: &ReplySender,
    exited: &watch::Receiver<bool>,
) -> (Input, Vec<JoinHandle<()>>) {
    let printed = Arc::new(Notify::new());
    let output = |stream: Arc<Stream>, channel| {
        tokio::spawn(output::pump(stream, channel, replies.clone(), exited.clone(), Arc::clone(&printed)))
    };
    match ends {
        Ends::Pipes { stdin, stdout, stderr } => {
            let outputs =
                vec![output(Arc::new(stdout), Channel::Stdout), output(Arc::new(stderr), Channel::Stderr)];
            (Input::Pipe(stdin), outputs)
        }
        Ends::Terminal(master) => {
            let outputs = vec![output(Arc::clone(&master), Channel::Stdout)];
            (Input::Terminal { master, printed }, outputs)
        }
        Ends::Kept(output) => {
            let keep = |recorder: &Recorder| {
                tokio::spawn(vm_command::keep(output, recorder.clone(), exited.clone()))
            };
            (Input::None, recorder.map(keep).into_iter().collect())
        }
        Ends::Detached => (Input::None, Vec::new()),
    }
}

/// Waits for the exit; if the caller goes away first, ends the whole tree.
async fn wait_or_hang_up(
    child: &mut Child,
    tree: &ProcessTree,
    replies: &ReplySender,
) -> std::io::Result<ExitStatus> {
    tokio::select! {
        biased;
        status = child.wait() => return status,
        () = replies.closed() => {}
    }
    tree.signal(libc::SIGHUP);
    // A stopped process would not receive the first signal.
    tree.signal(libc::SIGCONT);
    let all_gone = async { tokio::join!(child.wait(), tree.emptied()) };
    let _ = tokio::time::timeout(HANG_UP_GRACE, all_gone).await;
    tree.kill();
    child.wait().await
}

fn open_streams(
    start: &ExecStart,
    owner: Option<&spawn::Credentials>,
) -> Result<(StandardStreams, Ends), StartError> {
    if start.detached && !start.kept {
        return Ok((detached_streams(start)?, Ends::Detached));
    }
    if start.detached {
        return kept_streams(owner);
    }
    if let Some(size) = start.terminal {
        let failed = |source: std::io::Error| StartError::OpenTerminal { source };
        let (master, streams) = terminal::open(size, owner).map_err(|e| failed(e.into()))?;
        return Ok((streams, Ends::Terminal(Arc::new(output::stream(master).map_err(failed)?))));
    }
    let failed = |source: std::io::Error| StartError::OpenPipe { source };
    let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|e| failed(e.into()));
    let ((stdin, stdin_end), (stdout_end, stdout), (stderr_end, stderr)) = (pipe()?, pipe()?, pipe()?);
    if let Some(owner) = owner {
        for end in [&stdin, &stdout, &stderr] {
            give(end, owner).map_err(|e| failed(e.into()))?;
        }
    }
    let ends = Ends::Pipes {
        stdin: output::stream(stdin_end).map_err(failed)?,
        stdout: output::stream(stdout_end).map_err(failed)?,
        stderr: output::stream(stderr_end).map_err(failed)?,
    };
    Ok((StandardStreams { stdin, stdout, stderr }, ends))
}

/// `/dev/stdout` of a process is its own descriptor, but opening it requires permission for the pipe. The command's user
/// gets it, as does anyone that this user becomes. Nobody else can reach the pipe, because other processes' descriptors are
/// closed to them.
fn give(pipe: &OwnedFd, owner: &spawn::Credentials) -> Result<(), rustix::io::Errno> {
    rustix::fs::fchown(pipe, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
    rustix::fs::fchmod(pipe, Mode::from_raw_mode(0o666))
}

/// Stdout and stderr share one pipe, which keeps their order.
fn kept_streams(owner: Option<&spawn::Credentials>) -> Result<(StandardStreams, Ends), StartError> {
    let failed = |source: std::io::Error| StartError::OpenPipe { source };
    let (output, stdout) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
    if let Some(owner) = owner {
        give(&stdout, owner).map_err(|e| failed(e.into()))?;
    }
    let stderr = stdout.try_clone().map_err(failed)?;
    let null = PathBuf::from("/dev/null");
    let stdin =
        std::fs::File::open(&null).map_err(|source| StartError::OpenLog { path: null, source })?.into();
    Ok((StandardStreams { stdin, stdout, stderr }, Ends::Kept(output::stream(output).map_err(failed)?)))
}

fn detached_streams(start: &ExecStart) -> Result<StandardStreams, StartError> {
    use std::os::unix::ffi::OsStrExt as _;
    let null = PathBuf::from("/dev/null");
    let log = match start.log_path.as_ref() {
        [] => null.clone(),
        path => PathBuf::from(std::ffi::OsStr::from_bytes(path)),
    };
    let open = |path: &PathBuf, options: &mut std::fs::OpenOptions| {
        options
            .open(path)
            .map(OwnedFd::from)
            .map_err(|source| StartError::OpenLog { path: path.clone(), source })
    };
    let log_options = || {
        let mut options = std::fs::OpenOptions::new();
        options.append(true).create(true).mode(0o644);
        options
    };
    Ok(StandardStreams {
        stdin: open(&null, std::fs::OpenOptions::new().read(true))?,
        stdout: open(&log, &mut log_options())?,
        stderr: open(&log, &mut log_options())?,
    })
}

fn is_any_there(working_directory: &OwnedFd, candidates: &[CString]) -> bool {
    let is_there = |path| rustix::fs::statat(working_directory, path, AtFlags::empty()).is_ok();
    candidates.iter().any(is_there)
}

fn outcome(status: ExitStatus) -> Outcome {
    match (status.code(), status.signal()) {
        (Some(code), _) => Outcome::Code(code.unsigned_abs()),
        (None, Some(signal)) => Outcome::Signal(signal.unsigned_abs()),
        (None, None) => Outcome::Code(0),
    }
}
