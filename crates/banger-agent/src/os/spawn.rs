//! Starts a program with exactly the given argument list, environment, user, directory and descriptors.
//!
//! The child performs its steps between fork and execve, and reports the first failing one by number through a pipe, because
//! an errno alone cannot distinguish a missing program from a missing directory.
#![allow(unsafe_code, reason = "the steps between fork and execve are async-signal-safe calls only")]

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::Stdio,
};

use rustix::{
    fs::{Mode, OFlags},
    pipe::PipeFlags,
    process::{Gid, Uid},
};

use super::namespaces::{InChild, Place};

/// The program to start.
#[derive(Debug)]
pub(crate) struct Program {
    /// Paths to try, in order: the path itself, or the name in each directory of PATH.
    pub(crate) candidates: Vec<CString>,
    pub(crate) argv: Vec<CString>,
    pub(crate) environment: Vec<CString>,
    /// Opened with `O_PATH`, and entered as the user that the program runs as.
    pub(crate) working_directory: OwnedFd,
    /// Its path, for a program that sees other mounts than we do.
    pub(crate) working_directory_path: CString,
    /// The processes that it sees.
    pub(crate) place: Place,
    /// `None` keeps our own.
    pub(crate) credentials: Option<Credentials>,
    /// `cgroup.procs` of the cgroup to run in.
    pub(crate) cgroup: Option<OwnedFd>,
    /// Whether standard input becomes the controlling terminal.
    pub(crate) is_on_terminal: bool,
}

/// The user and groups of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// All groups, including the primary one.
    pub(crate) groups: Vec<u32>,
}

/// The program's first three descriptors.
#[derive(Debug)]
pub(crate) struct StandardStreams {
    pub(crate) stdin: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// The step that failed in the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Step {
    Fork,
    Session,
    Terminal,
    Cgroup,
    Namespace,
    Credentials,
    WorkingDirectory,
    Execute,
}

/// The program could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the program")]
pub(crate) struct SpawnError {
    pub(crate) step: Step,
    pub(crate) source: io::Error,
}

/// Starts `program` in a session of its own.
pub(crate) fn spawn(program: Program, streams: StandardStreams) -> Result<tokio::process::Child, SpawnError> {
    let in_parent = |source| SpawnError { step: Step::Fork, source };
    let (reader, writer) =
        rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).map_err(|e| in_parent(e.into()))?;
    let mut command = std::process::Command::new("/");
    command
        .stdin(Stdio::from(streams.stdin))
        .stdout(Stdio::from(streams.stdout))
        .stderr(Stdio::from(streams.stderr));
    let child = Child {
        image: Image::new(program.argv, program.environment),
        program_rest: Rest {
            candidates: program.candidates,
            working_directory: program.working_directory,
            working_directory_path: program.working_directory_path,
            place: program.place.in_child().map_err(in_parent)?,
            credentials: program.credentials,
            cgroup: program.cgroup,
            is_on_terminal: program.is_on_terminal,
        },
    };
    // SAFETY: `run` makes system calls on memory that was prepared before the fork; it neither allocates nor locks.
    unsafe {
        command.pre_exec(move || {
            let (step, error) = child.run();
            let _ = rustix::io::write(&writer, &[step as u8]);
            Err(error.into())
        });
    }
    let mut command = tokio::process::Command::from(command);
    let place =
        program.place.enter_for_children().map_err(|source| SpawnError { step: Step::Namespace, source })?;
    let spawned = command.spawn();
    drop(place);
    match spawned {
        Ok(child) => Ok(child),
        Err(source) => {
            let mut step = [Step::Fork as u8];
            let _ = rustix::io::read(&reader, &mut step);
            Err(SpawnError { step: Step::from_number(step[0]), source })
        }
    }
}

impl Step {
    fn from_number(number: u8) -> Self {
        [
            Self::Session,
            Self::Terminal,
            Self::Cgroup,
            Self::Namespace,
            Self::Credentials,
            Self::WorkingDirectory,
            Self::Execute,
        ]
        .into_iter()
        .find(|step| *step as u8 == number)
        .unwrap_or(Self::Fork)
    }
}

struct Rest {
    candidates: Vec<CString>,
    working_directory: OwnedFd,
    working_directory_path: CString,
    place: InChild,
    credentials: Option<Credentials>,
    cgroup: Option<OwnedFd>,
    is_on_terminal: bool,
}

struct Child {
    image: Image,
    program_rest: Rest,
}

impl Child {
    /// Returns only if a step failed.
    fn run(&self) -> (Step, rustix::io::Errno) {
        let rest = &self.program_rest;
        if let Err(e) = rustix::process::setsid() {
            return (Step::Session, e);
        }
        if rest.is_on_terminal
            && let Err(e) = rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())
        {
            return (Step::Terminal, e);
        }
        if let Some(cgroup) = &rest.cgroup
            && let Err(e) = rustix::io::write(cgroup.as_fd(), b"0")
        {
            return (Step::Cgroup, e);
        }
        reset_oom_score();
        reset_signals();
        let working_directory = match self.enter_place() {
            Ok(directory) => directory,
            Err(failed) => return failed,
        };
        if let Some(credentials) = &rest.credentials
            && let Err(e) = become_user(credentials)
        {
            return (Step::Credentials, e);
        }
        let working_directory = working_directory.as_ref().unwrap_or(&rest.working_directory);
        if let Err(e) = rustix::process::fchdir(working_directory) {
            return (Step::WorkingDirectory, e);
        }
        close_on_exec_from(3);
        (Step::Execute, self.execute())
    }

    /// Returns the working directory among the mounts of another place.
    fn enter_place(&self) -> Result<Option<OwnedFd>, (Step, rustix::io::Errno)> {
        let rest = &self.program_rest;
        if !rest.place.enter().map_err(|e| (Step::Namespace, e))? {
            return Ok(None);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(&rest.working_directory_path, flags, Mode::empty())
            .map(Some)
            .map_err(|e| (Step::WorkingDirectory, e))
    }

    /// Tries the candidates as execvp does: a file that may not be executed is remembered, and the search continues.
    fn execute(&self) -> rustix::io::Errno {
        let mut outcome = rustix::io::Errno::NOENT;
        for path in &self.program_rest.candidates {
            // SAFETY: path and both lists are NUL-terminated, and live until the call replaces the process or fails.
            unsafe {
                libc::execve(path.as_ptr(), self.image.argv.as_ptr(), self.image.environment.as_ptr());
            }
            let error = rustix::io::Errno::from_io_error(&io::Error::last_os_error());
            match error {
                Some(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {}
                Some(rustix::io::Errno::ACCESS) => outcome = rustix::io::Errno::ACCESS,
                Some(other) => return other,
                None => return rustix::io::Errno::IO,
            }
        }
        outcome
    }
}

/// The starter of the agent may have left signals ignored, which would persist through execve.
fn reset_signals() {
    for number in 1..=64 {
        // SAFETY: sets the default, no handler; refused for the numbers that are nobody's to set.
        unsafe {
            libc::signal(number, libc::SIG_DFL);
        }
    }
}

/// The agent is exempt from the out-of-memory killer; programs that it starts are not.
fn reset_oom_score() {
    if let Ok(file) =
        rustix::fs::open(c"/proc/self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
    {
        let _ = rustix::io::write(&file, b"0");
    }
}

fn become_user(credentials: &Credentials) -> Result<(), rustix::io::Errno> {
    // SAFETY: the kernel reads `groups.len()` ids of 32 bits behind the pointer. The raw call changes this thread
    // only, which is the only one after fork.
    let result =
        unsafe { libc::syscall(libc::SYS_setgroups, credentials.groups.len(), credentials.groups.as_ptr()) };
    if result < 0 {
        return Err(
            rustix::io::Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(rustix::io::Errno::PERM)
        );
    }
    let gid = Gid::from_raw(credentials.gid);
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    let uid = Uid::from_raw(credentials.uid);
    rustix::thread::set_thread_res_uid(uid, uid, uid)
}

/// Every descriptor of the agent is close-on-exec already; this covers any that a library forgot.
fn close_on_exec_from(first: libc::c_uint) {
    // SAFETY: marks descriptors, closes none, touches no memory.
    unsafe {
        libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
}

/// The lists that execve takes, with the strings they point to.
struct Image {
    argv: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
    _strings: [Vec<CString>; 2],
}

// SAFETY: the pointers lead into `_strings`, which is never changed and moves with them (the heap data stays).
unsafe impl Send for Image {}
// SAFETY: as above; nothing in it is ever written.
unsafe impl Sync for Image {}

impl Image {
    fn new(argv: Vec<CString>, environment: Vec<CString>) -> Self {
        let pointers = |strings: &[CString]| {
            strings.iter().map(|s| s.as_ptr()).chain(std::iter::once(std::ptr::null())).collect::<Vec<_>>()
        };
        Self { argv: pointers(&argv), environment: pointers(&environment), _strings: [argv, environment] }
    }
}
