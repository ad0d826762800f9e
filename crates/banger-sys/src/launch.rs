//! Starts a program that outlives us: in a session of its own, with only those descriptors open that it is given, and with
//! only the environment that it needs ([`crate::inheritance`]).
//!
//! Sockets are opened here and passed by number, so that they listen before the program runs and nobody has to wait for them
//! to appear.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use rustix::fs::Mode;
use rustix::io::{Errno, FdFlags};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, waitid};
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::failpoint;
use crate::inheritance::{Heir, limit};
use crate::process::ProcessIdentity;

/// Variable that names the machine's directory, by which its processes are found; not every command line contains it.
pub const DIRECTORY_VARIABLE: &str = "BANGER_VM_DIRECTORY";

/// A program that is about to be started.
pub struct Launch {
    /// Path of the program, or its name on `PATH`.
    pub program: PathBuf,
    /// Arguments without the program's name.
    pub arguments: Vec<OsString>,
    /// The machine's state directory, by which its processes are recognised.
    pub directory: PathBuf,
    /// Stdin; empty if absent.
    pub input: Option<OwnedFd>,
    /// Destination of stdout; discarded if absent.
    pub output: Option<OwnedFd>,
    /// Destination of stderr.
    pub errors: File,
    /// Other descriptors that the program inherits.
    pub inherited: Inherited,
}

/// Descriptors that the program gets under the same numbers as here.
#[derive(Default)]
pub struct Inherited(Vec<OwnedFd>);

impl Inherited {
    /// Adds a descriptor and returns its number for the command line.
    pub fn add(&mut self, descriptor: impl Into<OwnedFd>) -> RawFd {
        let descriptor = descriptor.into();
        let number = descriptor.as_raw_fd();
        self.0.push(descriptor);
        number
    }
}

/// A started program. It is killed if this is dropped before [`Started::release`].
#[expect(missing_docs, reason = "the names say what the fields are")]
pub struct Started {
    child: Option<OurChild>,
    pub identity: ProcessIdentity,
}

/// A process that we must wait for.
pub enum OurChild {
    /// A child that we started.
    Own(Child),
    /// A process that a child of ours started as our child; a task reaps it.
    Sibling(watch::Receiver<Option<ExitStatus>>),
}

impl OurChild {
    /// Waits until the process has ended. Can be cancelled safely.
    ///
    /// # Errors
    /// If the process cannot be waited for.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        match self {
            Self::Own(child) => child.wait().await,
            Self::Sibling(end) => {
                let end = end.wait_for(Option::is_some).await.map_err(io::Error::other)?;
                end.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
            }
        }
    }
}

impl Started {
    /// Takes charge of a process that a child of ours has started with `CLONE_PARENT`. Its pid is not reused before it is
    /// reaped here.
    ///
    /// # Errors
    /// If there is no such process, or it cannot be watched.
    pub fn of_sibling(pid: u32) -> io::Result<Self> {
        let process = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
        let descriptor = pidfd_open(process, PidfdFlags::NONBLOCK)?;
        let watched = crate::event::watch(descriptor)?;
        let identity = ProcessIdentity::of(pid).unwrap_or(ProcessIdentity { pid, start_ticks: 0 });
        let (sender, end) = watch::channel(None);
        tokio::spawn(async move {
            let status = reap(&watched).await;
            if let Err(error) = &status {
                tracing::warn!(pid, %error, "cannot wait for a process");
            }
            sender.send_replace(status.ok());
        });
        Ok(Self { child: Some(OurChild::Sibling(end)), identity })
    }

    /// Waits until the program has ended. Can be cancelled safely.
    ///
    /// # Errors
    /// If the process cannot be waited for.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        match &mut self.child {
            Some(child) => child.ended().await,
            None => std::future::pending().await,
        }
    }

    /// Sends SIGKILL. An error means that the program has already ended.
    pub fn kill(&mut self) {
        match &mut self.child {
            Some(OurChild::Own(child)) => drop(child.start_kill()),
            Some(OurChild::Sibling(_)) => drop(self.identity.kill()),
            None => {}
        }
    }

    /// Lets the program keep running, whether or not anybody waits for its end.
    pub fn release(mut self) -> Option<OurChild> {
        self.child.take()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // The runtime reaps a child that is dropped unreaped.
        self.kill();
    }
}

async fn reap(process: &AsyncFd<OwnedFd>) -> io::Result<ExitStatus> {
    loop {
        let mut guard = process.readable().await?;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        match waitid(WaitId::PidFd(process.get_ref().as_fd()), options) {
            Ok(Some(status)) => return Ok(exit_status(&status)),
            Ok(None) | Err(Errno::INTR) => guard.clear_ready(),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Converts a status to the form of `wait(2)`.
fn exit_status(status: &WaitIdStatus) -> ExitStatus {
    let code = status.exit_status().map(|code| (code & 0xff) << 8);
    ExitStatus::from_raw(code.or_else(|| status.terminating_signal()).unwrap_or_default())
}

/// Starts the program. It is affected neither by its parent's death nor by a terminal.
///
/// # Errors
/// If the program cannot be run.
pub fn launch(launch: Launch) -> io::Result<Started> {
    let Launch { program, arguments, directory, input, output, errors, inherited } = launch;
    let mut command = Command::new(program);
    limit(command.as_std_mut(), Heir::Machine);
    command
        .args(arguments)
        .env(DIRECTORY_VARIABLE, directory)
        .current_dir("/")
        .stdin(input.map_or_else(Stdio::null, Stdio::from))
        .stdout(output.map_or_else(Stdio::null, Stdio::from))
        .stderr(errors);
    detach(&mut command, inherited);
    failpoint::pass("start process");
    let child = command.spawn()?;
    failpoint::pass("process started");
    // A child that has just ended is a zombie until it is waited for, so its pid is not reused yet.
    let pid = child.id().ok_or_else(|| io::Error::other("the process has no id"))?;
    let identity = ProcessIdentity::of(pid).unwrap_or(ProcessIdentity { pid, start_ticks: 0 });
    Ok(Started { child: Some(OurChild::Own(child)), identity })
}

#[expect(unsafe_code, reason = "what runs between fork and exec may only make system calls")]
fn detach(command: &mut Command, inherited: Inherited) {
    let prepare = move || {
        rustix::process::setsid()?;
        rustix::process::umask(Mode::from_raw_mode(0o077));
        for descriptor in &inherited.0 {
            rustix::io::fcntl_setfd(descriptor, FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: the closure makes plain system calls; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(prepare) };
}
