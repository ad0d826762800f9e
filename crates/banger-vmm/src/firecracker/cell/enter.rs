//! The way into a cell.

use std::convert::Infallible;
use std::io::{self, Read as _, Write as _};
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Resource, Rlimit};
use rustix::thread::UnshareFlags;

use super::inside::{ARGUMENT_ZERO, PROGRAM};
use super::plan::{Access, Bind, CellPlan};
use super::{identity, jail, root, tap};
use crate::failed::failed;

/// Sockets and files that Firecracker makes are for this user alone: it makes no directories.
const UMASK: u32 = 0o177;

/// As many descriptors as Firecracker's own jailer allows.
const DESCRIPTORS_MAX: u64 = 4096;

/// Why there is no cell.
#[derive(Debug, thiserror::Error)]
enum CellError {
    #[error("the cell's plan cannot be read")]
    Plan(#[source] io::Error),
    #[error("this user cannot create namespaces")]
    Namespaces(#[source] io::Error),
    #[error("cannot map this user into its namespace")]
    Identity(#[source] io::Error),
    #[error("cannot start the first process of the namespace")]
    Sibling(#[source] io::Error),
    #[error("cannot make the tap")]
    Tap(#[source] tap::TapError),
    #[error("cannot make the root")]
    Root(#[source] root::RootError),
    #[error("cannot set the limits of the process")]
    Limit(#[source] io::Error),
    #[error("the daemon has ended")]
    Daemon(#[source] io::Error),
    #[error("cannot start `{}`; is it a static program?", program.display())]
    Start { program: PathBuf, source: io::Error },
}

/// Becomes a cell with Firecracker in it. Returns only with what went wrong, which it has told on standard error.
pub(crate) fn run() -> std::process::ExitCode {
    enter().unwrap_or_else(|error| failed("cell: ", &error))
}

fn enter() -> Result<std::process::ExitCode, CellError> {
    let mut plan = Vec::new();
    io::stdin().read_to_end(&mut plan).map_err(CellError::Plan)?;
    let plan: CellPlan = serde_json::from_slice(&plan).map_err(|error| CellError::Plan(error.into()))?;
    let mut talk = UnixStream::from(inherited(plan.talk));
    let us = identity::Outside::of_this_process();
    let namespaces = UnshareFlags::NEWNS
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS;
    if plan.jail.is_some() {
        // The jailer makes devices, which root of the host only can.
        unshare(namespaces).map_err(CellError::Namespaces)?;
    } else {
        unshare(namespaces | UnshareFlags::NEWUSER).map_err(CellError::Namespaces)?;
        us.map_inside().map_err(CellError::Identity)?;
    }
    match identity::start_sibling().map_err(CellError::Sibling)? {
        identity::Side::Starter(sibling) => {
            talk.write_all(&sibling.to_ne_bytes()).map_err(CellError::Daemon)?;
            Ok(std::process::ExitCode::SUCCESS)
        }
        identity::Side::Sibling => match furnish_and_become(plan, talk)? {},
    }
}

/// Makes the cell, waits for the daemon, and becomes Firecracker.
fn furnish_and_become(plan: CellPlan, mut talk: UnixStream) -> Result<Infallible, CellError> {
    // It was inherited open across an exec and is handed on the same way: its closing is Firecracker's end.
    let _pager = plan.pager.map(inherited).map(ManuallyDrop::new);
    if let Some(network) = plan.network.map(inherited) {
        let owner = plan.jail.as_ref().map_or(rustix::process::geteuid().as_raw(), |jail| jail.user);
        tap::make_for(&network, owner, plan.mtu).map_err(CellError::Tap)?;
    }
    let furnished = if let Some(jail) = &plan.jail {
        jail::furnish(jail, &plan.binds, &plan.program)
    } else {
        let program = Bind { from: plan.program.clone(), to: PROGRAM.into(), access: Access::Read };
        let binds: Vec<_> = plan.binds.into_iter().chain([program]).collect();
        root::enter(&plan.cover, &binds)
    };
    furnished.map_err(CellError::Root)?;
    limit().map_err(CellError::Limit)?;
    let mut go = [0];
    talk.read_exact(&mut go).map_err(CellError::Daemon)?;
    drop(talk);
    if let Some(jail) = plan.jail {
        let source = jail::become_jailer(&jail);
        return Err(CellError::Start { program: jail.program, source });
    }
    let source = Command::new(PROGRAM).arg0(ARGUMENT_ZERO).args(plan.arguments).env_clear().exec();
    Err(CellError::Start { program: plan.program, source })
}

fn limit() -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    let descriptors = rustix::process::getrlimit(Resource::Nofile);
    let at_most =
        |limit: Option<u64>| Some(limit.map_or(DESCRIPTORS_MAX, |limit| limit.min(DESCRIPTORS_MAX)));
    let descriptors = Rlimit { current: at_most(descriptors.current), maximum: at_most(descriptors.maximum) };
    rustix::process::setrlimit(Resource::Nofile, descriptors)?;
    // A core would hold the guest's memory.
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(UMASK));
    Ok(())
}

#[expect(unsafe_code, reason = "an inherited descriptor is known by its number only")]
fn inherited(number: RawFd) -> OwnedFd {
    // SAFETY: the daemon has handed the descriptor over under this number, and nobody else here uses it.
    unsafe { OwnedFd::from_raw_fd(number) }
}

#[expect(
    unsafe_code,
    reason = "unsharing is unsafe where other threads share files with this one; there is one thread"
)]
fn unshare(namespaces: UnshareFlags) -> io::Result<()> {
    // SAFETY: descriptors stay shared with nobody, as this program has one thread and has started none.
    unsafe { rustix::thread::unshare_unsafe(namespaces) }.map_err(io::Error::from)
}
