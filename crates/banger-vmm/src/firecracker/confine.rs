//! Starts Firecracker where it sees nothing but its files: in a cell, and where root can, in a jail.

use std::fs::File;
use std::io;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_sys::launch::{Inherited, Launch, Started, launch};
use banger_sys::process::ProcessIdentity;
use rustix::fs::MemfdFlags;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tracing::warn;

use super::cell::{self, CellPlan};
use super::driver::Firecracker;
use super::jail::{self, Jail};
use super::names::{CELL_ARGUMENT, PROGRAM_NAME};
use super::places::Places;
use super::plan::FirecrackerPlan;
use crate::contract::StartError;
use crate::machine::{clean_up, last_words};

/// A cell is made in a few milliseconds, unless the host starts many at once.
const READY_DEADLINE: Duration = Duration::from_secs(30);

/// Firecracker's process, which waits to be let go.
pub(super) struct Confined {
    pub(super) process: Started,
    talk: UnixStream,
    /// Dropped after the process, which it waits for.
    pub(super) undo: CgroupUndo,
}

/// Removes the cgroup that a jailer may have made, once its process has ended: whoever starts a machine may be gone by then. It
/// lies outside of the VM's own directories, so nobody else would.
pub(super) struct CgroupUndo(Option<(PathBuf, ProcessIdentity)>);

impl CgroupUndo {
    /// The machine stands, and its end removes the cgroup.
    pub(super) fn release(mut self) {
        self.0 = None;
    }
}

impl Drop for CgroupUndo {
    fn drop(&mut self) {
        let (Some((cgroup, process)), Ok(runtime)) = (self.0.take(), Handle::try_current()) else { return };
        runtime.spawn(async move {
            match process.open() {
                Ok(Some(process)) => drop(process.ended().await),
                Ok(None) => {}
                Err(error) => warn!(pid = process.pid, %error, "cannot wait for a jailer"),
            }
            clean_up(&[], vec![cgroup]).await;
        });
    }
}

impl Confined {
    /// Lets it go. What it may do from here on, `machine.json` tells of.
    pub(super) async fn go(&mut self) -> io::Result<()> {
        self.talk.write_all(&[cell::GO]).await
    }
}

/// Sockets to the processes beside a machine, for its cell.
#[derive(Default)]
pub(super) struct Ends {
    /// To the network's process, which waits for its tap.
    pub(super) network: Option<OwnedFd>,
    /// To the pager: open as long as Firecracker lives.
    pub(super) pager: Option<OwnedFd>,
}

/// Starts a cell.
pub(super) async fn in_cell(
    driver: &Firecracker,
    plan: &FirecrackerPlan,
    ends: Ends,
) -> Result<Confined, StartError> {
    let failed = |source| StartError::Spawn { program: PROGRAM_NAME, source };
    let places = &plan.places;
    match plan.jail() {
        Some(jail) => make_jail(jail, places)?,
        None => take_back(&plan.own_drives).map_err(failed)?,
    }
    let (talk, far_talk) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
    let mut inherited = Inherited::default();
    let cell_plan = CellPlan {
        program: plan.program.clone(),
        arguments: plan.arguments.clone(),
        binds: plan.seen(),
        cover: places.state.clone(),
        talk: inherited.add(far_talk),
        network: ends.network.map(|network| inherited.add(network)),
        mtu: driver.network.mtu(),
        pager: ends.pager.map(|pager| inherited.add(pager)),
        jail: plan.jail().map(|jail| jail.plan.clone()),
    };
    let log = |path: &Path| File::options().append(true).open(path);
    let mut starter = launch(Launch {
        program: driver.helper.clone(),
        directory: places.state.clone(),
        arguments: [CELL_ARGUMENT, "--id", plan.vm.as_str()].map(Into::into).into(),
        input: Some(in_memory(&cell_plan).map_err(failed)?),
        output: Some(log(&places.console_log).map_err(failed)?.into()),
        errors: log(&places.error_log).map_err(failed)?,
        inherited,
    })
    .map_err(failed)?;
    talk.set_nonblocking(true).map_err(failed)?;
    let mut talk = UnixStream::from_std(talk).map_err(failed)?;
    let mut pid = [0; size_of::<u32>()];
    match tokio::time::timeout(READY_DEADLINE, talk.read_exact(&mut pid)).await {
        Ok(Ok(_)) => {}
        // It closes its end when it fails, and has said why.
        Ok(Err(_ended)) => {
            let stderr = last_words(&places.error_log);
            return Err(StartError::Refused { program: PROGRAM_NAME, stderr });
        }
        Err(_late) => {
            return Err(StartError::NotReady { program: PROGRAM_NAME, deadline: READY_DEADLINE });
        }
    }
    let process = Started::of_sibling(u32::from_ne_bytes(pid)).map_err(failed)?;
    // It ends by itself: waited for, so that it is no zombie.
    let _ = starter.ended().await;
    let cgroup = plan.jail().and_then(|jail| jail.cgroup.clone());
    let undo = CgroupUndo(cgroup.map(|cgroup| (cgroup, process.identity)));
    Ok(Confined { process, talk, undo })
}

/// Makes the root of a jail.
fn make_jail(jail: &Jail, places: &Places) -> Result<(), StartError> {
    jail.make().map_err(|source| StartError::Prepare { path: jail.directory.clone(), source })?;
    // The agent's ring comes from the jail's user.
    let bell = std::os::unix::fs::chown(&places.bell, Some(jail.plan.user), None);
    bell.map_err(|source| StartError::Prepare { path: places.bell.clone(), source })
}

/// Takes drives back from the user of an earlier jail. In a cell not even root may open what is another's.
fn take_back(drives: &[PathBuf]) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    for drive in drives {
        if jail::is_a_jails_user(std::fs::metadata(drive)?.uid()) {
            std::os::unix::fs::chown(drive, Some(0), Some(0))?;
        }
    }
    Ok(())
}

/// Hands over a plan as a file without a name.
fn in_memory(plan: &CellPlan) -> io::Result<OwnedFd> {
    let mut file = File::from(rustix::fs::memfd_create("banger-cell", MemfdFlags::CLOEXEC)?);
    serde_json::to_writer(&file, plan)?;
    file.flush()?;
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
    Ok(file.into())
}
