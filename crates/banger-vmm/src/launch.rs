//! Starts a program that outlives us: in a session of its own, with nothing open but what it was given.
//!
//! Sockets are opened here and handed over by number, so that they listen before the program runs: nobody has to wait
//! for them to appear.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use banger_sys::failpoint;
use banger_sys::process::ProcessIdentity;
use rustix::fs::Mode;
use rustix::io::FdFlags;
use rustix::process::Signal;
use tokio::process::{Child, Command};

use crate::contract::MachineEnd;

/// A program that is about to be started.
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// Its stdin; empty without one.
    pub(crate) input: Option<OwnedFd>,
    /// Where its stdout goes; nowhere without one.
    pub(crate) output: Option<OwnedFd>,
    /// Where its stderr goes.
    pub(crate) errors: File,
    pub(crate) inherited: Inherited,
}

/// Descriptors that the program gets under the numbers they have here.
#[derive(Default)]
pub(crate) struct Inherited(Vec<OwnedFd>);

impl Inherited {
    /// Adds one and returns its number for the command line.
    pub(crate) fn add(&mut self, descriptor: impl Into<OwnedFd>) -> RawFd {
        let descriptor = descriptor.into();
        let number = descriptor.as_raw_fd();
        self.0.push(descriptor);
        number
    }
}

/// A started program. It is killed when dropped before [`Started::release`].
pub(crate) struct Started {
    child: Option<Child>,
    pub(crate) identity: ProcessIdentity,
}

impl Started {
    /// Waits until the program has ended. Safe to drop half-way.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        match &mut self.child {
            Some(child) => child.wait().await,
            None => std::future::pending().await,
        }
    }

    /// Lets the program run on; whoever takes the child reaps it.
    pub(crate) fn release(mut self) -> Option<Child> {
        self.child.take()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // The runtime reaps what is dropped unreaped. An error means that it has ended by itself.
            let _ = child.start_kill();
        }
    }
}

/// Starts the program. Its parent's death does not reach it; no terminal does.
pub(crate) fn launch(launch: Launch) -> io::Result<Started> {
    let Launch { program, arguments, input, output, errors, inherited } = launch;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir("/")
        .stdin(input.map_or_else(Stdio::null, Stdio::from))
        .stdout(output.map_or_else(Stdio::null, Stdio::from))
        .stderr(errors);
    detach(&mut command, inherited);
    failpoint::pass("start process");
    let child = command.spawn()?;
    failpoint::pass("process started");
    // A child that has just ended is a zombie until it is waited for: its pid is still its own.
    let pid = child.id().ok_or_else(|| io::Error::other("the process has no id"))?;
    let identity = ProcessIdentity::of(pid).unwrap_or(ProcessIdentity { pid, start_ticks: 0 });
    Ok(Started { child: Some(child), identity })
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

/// Tells in the contract's words how a child ended.
pub(crate) fn end_of(status: ExitStatus) -> MachineEnd {
    match (status.code(), status.signal()) {
        (Some(code), _) => MachineEnd::Exited(code),
        (None, Some(signal)) => MachineEnd::Signaled(signal),
        (None, None) => MachineEnd::Unknown,
    }
}

/// Sends SIGKILL to this very process and no other.
pub(crate) fn kill_process(identity: ProcessIdentity) -> io::Result<()> {
    failpoint::pass("end process");
    let ended = identity.open()?.map_or(Ok(()), |process| process.signal(Signal::KILL));
    failpoint::pass("process ended");
    ended
}
