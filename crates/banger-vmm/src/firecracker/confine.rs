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

use super::cell::{self, Access, Bind, CellPlan};
use super::driver::Firecracker;
use super::jail::{self, Jail, JailFacts, JailWish};
use super::names::{CELL_ARGUMENT, PROGRAM_NAME};
use super::places::Places;
use crate::contract::{MachinePlan, MemorySource, RestorePlan, StartError};
use crate::machine::{clean_up, last_words};

/// A cell is made in a few milliseconds, unless the host starts many at once.
const READY_DEADLINE: Duration = Duration::from_secs(30);

const DEVICES: [&str; 3] = ["/dev/kvm", "/dev/net/tun", "/dev/userfaultfd"];

/// Firecracker's process, which waits to be let go.
pub(super) struct Confined {
    pub(super) process: Started,
    /// The jail's directory, which goes with the machine.
    pub(super) jail: Option<PathBuf>,
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

/// What Firecracker is given besides the plan.
pub(super) struct Given {
    /// Makes a jail of its cell.
    pub(super) jailer: Option<PathBuf>,
    /// To the network's gate.
    pub(super) gate: Option<OwnedFd>,
    /// To the pager: open as long as Firecracker lives.
    pub(super) pager: Option<OwnedFd>,
}

/// Starts a cell.
pub(super) async fn in_cell(
    driver: &Firecracker,
    plan: &MachinePlan,
    from: Option<&RestorePlan>,
    places: &Places,
    given: Given,
) -> Result<Confined, StartError> {
    let failed = |source| StartError::Spawn { program: PROGRAM_NAME, source };
    let binds = binds(plan, from, places);
    let jail = given.jailer.map(|jailer| jail(jailer, driver, plan, places)).transpose()?;
    let (jail_plan, jail) =
        jail.map_or((None, None), |Jail { plan, directory }| (Some(plan), Some(directory)));
    let binds = if jail_plan.is_some() {
        // The jailer makes the devices itself.
        binds
    } else {
        take_back(plan).map_err(failed)?;
        binds.into_iter().chain(devices()).collect()
    };
    let (talk, far_talk) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
    let mut inherited = Inherited::default();
    let cell_plan = CellPlan {
        program: driver.program.clone(),
        arguments: arguments(plan),
        binds,
        cover: places.state.clone(),
        talk: inherited.add(far_talk),
        gate: given.gate.map(|gate| inherited.add(gate)),
        mtu: driver.network.mtu(),
        pager: given.pager.map(|pager| inherited.add(pager)),
        jail: jail_plan,
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
    let cgroup = jail.as_ref().and_then(|_| jail::cgroup(&plan.vm));
    let undo = CgroupUndo(cgroup.map(|cgroup| (cgroup, process.identity)));
    Ok(Confined { process, jail, talk, undo })
}

/// Returns the jailer of a machine, where it is to have one.
pub(super) fn jailer_for(
    driver: &Firecracker,
    plan: &MachinePlan,
    from: Option<&RestorePlan>,
    places: &Places,
) -> Result<Option<PathBuf>, StartError> {
    // A jailer keeps one socket open for Firecracker, and a pager needs a second beside the network's.
    let has_pager = from.is_some_and(|from| from.memory == MemorySource::Pager);
    let wish = if has_pager { JailWish::Never } else { driver.tuning.jailer };
    let facts = JailFacts::look(&driver.program);
    jail::choose(wish, &facts, &places.state, &binds(plan, from, places))
}

/// Plans the jail.
fn jail(
    jailer: PathBuf,
    driver: &Firecracker,
    plan: &MachinePlan,
    places: &Places,
) -> Result<Jail, StartError> {
    // Firecracker is told its id by the jailer.
    let arguments = arguments(plan).split_off(2);
    let path = jail::directory(&places.state);
    let prepared = jail::prepare(jailer, &driver.program, plan, &arguments);
    let jail = prepared.map_err(|source| StartError::Prepare { path, source })?;
    // The agent's ring comes from the jail's user.
    let bell = std::os::unix::fs::chown(&places.bell, Some(jail.plan.user), None);
    bell.map_err(|source| StartError::Prepare { path: places.bell.clone(), source })?;
    Ok(jail)
}

/// Takes drives back from the user of an earlier jail. In a cell not even root may open what is another's.
fn take_back(plan: &MachinePlan) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    for drive in plan.drives.iter().filter(|drive| drive.role.is_writable()) {
        if jail::is_a_jails_user(std::fs::metadata(&drive.path)?.uid()) {
            std::os::unix::fs::chown(&drive.path, Some(0), Some(0))?;
        }
    }
    Ok(())
}

/// Firecracker's arguments: the same for a boot and a restore.
fn arguments(plan: &MachinePlan) -> Vec<String> {
    [
        "--id",
        plan.vm.as_str(),
        "--api-sock",
        cell::CONTROL,
        "--log-path",
        cell::LOG,
        "--level",
        "Warning",
        "--metrics-path",
        cell::METRICS,
    ]
    .map(str::to_owned)
    .into()
}

/// Everything that Firecracker sees, besides devices.
fn binds(plan: &MachinePlan, from: Option<&RestorePlan>, places: &Places) -> Vec<Bind> {
    let bind = |from: &Path, to: &str, access| Bind { from: from.to_owned(), to: to.into(), access };
    let mut binds = vec![
        bind(&places.runtime, cell::RUN, Access::Write),
        bind(&places.vmm_log, cell::LOG, Access::Write),
        bind(&places.metrics, cell::METRICS, Access::Write),
        bind(&places.outbox, cell::OUTBOX, Access::Write),
    ];
    match from {
        None => {
            binds.push(bind(&plan.kernel.vmlinux, cell::KERNEL, Access::Read));
            binds.push(bind(&plan.kernel.initramfs, cell::INITRAMFS, Access::Read));
        }
        Some(RestorePlan { snapshot, memory, .. }) => {
            binds.push(bind(&snapshot.state, cell::SNAPSHOT_STATE, Access::Read));
            match memory {
                MemorySource::File => {
                    binds.push(bind(&snapshot.memory, cell::SNAPSHOT_MEMORY, Access::Read));
                }
                MemorySource::Pager => {}
            }
        }
    }
    for drive in &plan.drives {
        let access = if drive.role.is_writable() { Access::Write } else { Access::Read };
        binds.push(Bind { from: drive.path.clone(), to: cell::drive(drive.role), access });
    }
    binds
}

fn devices() -> impl Iterator<Item = Bind> {
    let devices = DEVICES.map(PathBuf::from).into_iter().filter(|device| device.exists());
    devices.map(|device| Bind { from: device.clone(), to: device, access: Access::Write })
}

/// Hands over a plan as a file without a name.
fn in_memory(plan: &CellPlan) -> io::Result<OwnedFd> {
    let mut file = File::from(rustix::fs::memfd_create("banger-cell", MemfdFlags::CLOEXEC)?);
    serde_json::to_writer(&file, plan)?;
    file.flush()?;
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
    Ok(file.into())
}
