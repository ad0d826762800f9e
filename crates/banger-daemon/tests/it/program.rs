//! `bangerd` as a program: how it starts, how it ends, and what it says when it does not.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use banger_api::DaemonInfo;
use banger_client::Client;
use banger_model::Hint;
use banger_sys::lock_holder::LockHolder;
use banger_sys::paths::Paths;
use banger_sys::process::ProcessIdentity;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const BANGERD: &str = env!("CARGO_BIN_EXE_bangerd");

/// A `bangerd` of our own; ended with the test.
struct Program {
    child: Child,
    /// What it said about its start.
    said: String,
}

impl Program {
    fn start(file: &Path, home: &Path) -> Self {
        Self::with_errors(file, home, Stdio::null())
    }

    #[expect(unsafe_code, reason = "what the child inherits is decided between fork and exec")]
    fn with_errors(file: &Path, home: &Path, errors: Stdio) -> Self {
        let (mut ours, theirs) = std::io::pipe().unwrap();
        let mut command = Command::new(file);
        command.arg("--ready-fd").arg(theirs.as_raw_fd().to_string()).env("BANGER_HOME", home);
        command.env_remove("BANGER_LOG_LEVEL").stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        // SAFETY: one system call, which allocates nothing.
        unsafe { command.pre_exec(move || Ok(fcntl_setfd(&theirs, FdFlags::empty())?)) };
        let child = loop {
            match command.spawn() {
                // A process that another test is just starting has inherited the writing end of our copy.
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
                spawned => break spawned.unwrap(),
            }
        };
        // The command holds the last copy of their end.
        drop(command);
        let mut said = String::new();
        ours.read_to_string(&mut said).unwrap();
        Self { child, said }
    }

    fn of(home: &Path) -> Self {
        Self::start(Path::new(BANGERD), home)
    }

    fn end(&mut self, signal: Signal) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn home() -> (TempDir, Paths) {
    let home = tempfile::tempdir().unwrap();
    let paths = Paths::under(home.path()).unwrap();
    (home, paths)
}

async fn info(paths: &Paths) -> DaemonInfo {
    Client::new(&paths.daemon_socket()).get("/v1/info").await.unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn it_says_ready_when_it_listens_and_ends_when_told() {
    let (home, paths) = home();
    let mut program = Program::of(home.path());
    assert_eq!(program.said, "ready\n");
    assert_eq!(
        (mode(&paths.daemon_socket()), mode(&paths.runtime), mode(&paths.state)),
        (0o600, 0o700, 0o700)
    );
    let info = info(&paths).await;
    assert_eq!((info.pid, info.is_outdated, info.work_in_progress), (program.child.id(), false, 0));
    assert!(info.resident_bytes > 0);
    let begun = Instant::now();
    assert!(program.end(Signal::TERM).success());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(!paths.daemon_socket().exists());
}

#[test]
fn its_last_words_go_to_the_log_unless_somebody_takes_them() {
    let (home, paths) = home();
    let errors = |program: &Program| fs::read_link(format!("/proc/{}/fd/2", program.child.id())).unwrap();
    assert_eq!(errors(&Program::of(home.path())), paths.daemon_log());
    let (_reader, writer) = std::io::pipe().unwrap();
    let taken = Program::with_errors(Path::new(BANGERD), home.path(), writer.into());
    assert!(errors(&taken).to_string_lossy().starts_with("pipe:"), "{}", errors(&taken).display());
}

#[tokio::test]
async fn a_shutdown_is_answered_before_the_end() {
    let (home, paths) = home();
    let mut program = Program::of(home.path());
    Client::new(&paths.daemon_socket()).post::<()>("/v1/shutdown", &()).await.unwrap();
    assert!(program.child.wait().unwrap().success());
}

#[tokio::test]
async fn the_second_one_says_that_it_is_already_running() {
    let (home, paths) = home();
    let first = Program::of(home.path());
    let mut second = Program::of(home.path());
    assert_eq!(second.said, "error: already running\n");
    assert_eq!(second.child.wait().unwrap().code(), Some(1));
    assert_eq!(info(&paths).await.pid, first.child.id());
}

#[tokio::test]
async fn a_killed_one_is_followed_by_the_next() {
    let (home, paths) = home();
    let mut first = Program::of(home.path());
    assert_eq!(first.end(Signal::KILL).signal(), Some(9));
    let second = Program::of(home.path());
    assert_eq!(second.said, "ready\n");
    assert_eq!(info(&paths).await.pid, second.child.id());
}

fn holder(paths: &Paths) -> Option<LockHolder> {
    LockHolder::of(&paths.daemon_lock()).unwrap()
}

#[test]
fn its_lock_names_its_process_and_its_socket_for_as_long_as_it_runs() {
    let (home, paths) = home();
    let mut program = Program::of(home.path());
    let process = ProcessIdentity::of(program.child.id()).unwrap();
    assert_eq!(holder(&paths), Some(LockHolder { process, socket: Some(paths.daemon_socket()) }));
    assert!(program.end(Signal::TERM).success());
    assert_eq!(holder(&paths), None);
    let said = fs::read_to_string(paths.daemon_lock()).unwrap();
    assert!(said.starts_with("pid ") && !said.contains("socket"), "no socket is named at the end: {said}");
}

/// Asks a daemon for its process as soon as it listens.
async fn pid_once_it_listens(paths: &Paths) -> u32 {
    let begun = Instant::now();
    loop {
        match Client::new(&paths.daemon_socket()).get::<DaemonInfo>("/v1/info").await {
            Ok(info) => return info.pid,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(10), "{error}"),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_socket_that_is_gone_is_made_anew_at_a_hangup() {
    let (home, paths) = home();
    let program = Program::of(home.path());
    let pid = program.child.id();
    let hang_up = || kill_process(Pid::from_child(&program.child), Signal::HUP).unwrap();
    hang_up();
    assert_eq!(info(&paths).await.pid, pid, "a hangup alone changes nothing");
    fs::remove_dir_all(&paths.runtime).unwrap();
    hang_up();
    assert_eq!(pid_once_it_listens(&paths).await, pid);
    assert_eq!((mode(&paths.daemon_socket()), mode(&paths.runtime)), (0o600, 0o700));
    fs::remove_file(paths.daemon_socket()).unwrap();
    fs::write(paths.daemon_socket(), "in its place").unwrap();
    hang_up();
    assert_eq!(pid_once_it_listens(&paths).await, pid);
}

/// As after a user's last logout: the directory is gone, and only root can make it again.
#[tokio::test]
async fn a_daemon_whose_runtime_directory_cannot_be_made_again_listens_in_its_state_directory() {
    let (home, paths) = home();
    let program = Program::of(home.path());
    fs::remove_dir_all(&paths.runtime).unwrap();
    fs::write(&paths.runtime, "in its place").unwrap();
    kill_process(Pid::from_child(&program.child), Signal::HUP).unwrap();
    let moved =
        Paths { runtime: paths.daemon_socket_in_state().parent().unwrap().to_owned(), ..paths.clone() };
    assert_eq!(pid_once_it_listens(&moved).await, program.child.id());
    assert_eq!(mode(&moved.runtime), 0o700);
    // It says so before it listens there for others.
    assert_eq!(holder(&paths).unwrap().socket, Some(moved.daemon_socket()));
}

#[test]
fn a_configuration_that_never_ends_is_refused() {
    let (home, paths) = home();
    fs::create_dir_all(&paths.config).unwrap();
    let file = paths.config_file();
    rustix::fs::mkfifoat(rustix::fs::CWD, &file, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let refused = format!(
        "error: cannot read the configuration `{}`: it is a pipe, socket or device, not a regular file\n",
        file.display()
    );
    assert_eq!(Program::of(home.path()).said, refused);
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
    assert_eq!(Program::of(home.path()).said, refused);
}

/// What a VM's making is answered with, by a daemon that was configured so.
async fn refusal_of_a_vm(config: &str, vmm: Option<&str>) -> String {
    let (home, paths) = home();
    fs::create_dir_all(&paths.config).unwrap();
    fs::write(paths.config_file(), config).unwrap();
    let _program = Program::of(home.path());
    let request = serde_json::json!({ "vmm": vmm });
    let client = Client::new(&paths.daemon_socket());
    let answer = client.post::<banger_api::OperationView>("/v1/vms", &request).await;
    let refused = crate::sandbox::refused(answer.unwrap_err());
    let vms: Vec<banger_api::VmView> = client.get("/v1/vms").await.unwrap();
    assert!(vms.is_empty(), "refused before anything is made");
    let Some(Hint::Advice { text }) = refused.hint else { panic!("{refused:?}") };
    format!("{}; {text}", refused.message)
}

#[tokio::test]
async fn a_configured_firecracker_that_is_not_there_is_refused_with_its_key_and_path() {
    let config = "firecracker_bin = '/nowhere/firecracker'\ndisk_floor = '64M'";
    for vmm in [None, Some("auto"), Some("firecracker")] {
        assert_eq!(
            refusal_of_a_vm(config, vmm).await,
            "no VMM can run a VM on this host: `firecracker_bin` in the configuration cannot be used: `/nowhere/firecracker` does \
             not exist; correct `firecracker_bin` in config.toml, or remove it"
        );
    }
}

#[test]
fn a_wrong_configuration_is_told_with_its_file_line_and_key() {
    let (home, paths) = home();
    fs::create_dir_all(&paths.config).unwrap();
    fs::write(paths.config_file(), "vmm = \"qemu\"\ndefault_imge = \"x\"\n").unwrap();
    let mut program = Program::of(home.path());
    let file = paths.config_file();
    let told = format!(
        "error: the configuration `{}` is invalid in line 2 (`default_imge = \"x\"`): unknown key `default_imge`",
        file.display()
    );
    assert!(program.said.starts_with(&told), "{}", program.said);
    assert_eq!(program.said.lines().count(), 1, "{}", program.said);
    assert_eq!(program.child.wait().unwrap().code(), Some(1));
    assert!(!paths.daemon_socket().exists());
}

#[test]
fn a_database_of_a_newer_version_is_refused_and_left_alone() {
    let (home, paths) = home();
    drop(Program::of(home.path()));
    write_user_version(&paths.database(), 99);
    let program = Program::of(home.path());
    assert!(program.said.contains("was written by a newer version of banger"), "{}", program.said);
    let before = fs::read(paths.database()).unwrap();
    assert!(Program::of(home.path()).said.starts_with("error: "));
    assert_eq!(fs::read(paths.database()).unwrap(), before);
}

/// Writes the version into the database's header (bytes 60 to 63), where no log is left that would say otherwise.
fn write_user_version(database: &Path, version: u32) {
    for log in ["-wal", "-shm"] {
        let mut path = database.as_os_str().to_owned();
        path.push(log);
        let _ = fs::remove_file(PathBuf::from(path));
    }
    let mut bytes = fs::read(database).unwrap();
    bytes[60..64].copy_from_slice(&version.to_be_bytes());
    fs::write(database, bytes).unwrap();
}

#[tokio::test]
async fn a_program_that_was_replaced_says_that_it_is_outdated() {
    let (home, paths) = home();
    let file = home.path().join("bangerd");
    fs::copy(env!("CARGO_BIN_EXE_bangerd"), &file).unwrap();
    let _program = Program::start(&file, home.path());
    assert!(!info(&paths).await.is_outdated);
    let newer = home.path().join("bangerd.new");
    fs::copy(&file, &newer).unwrap();
    fs::rename(&newer, &file).unwrap();
    assert!(info(&paths).await.is_outdated);
}
