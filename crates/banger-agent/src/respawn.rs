//! Restarts the agent if it is killed: root's `kill -9 -1` ends every process but the first, and the first is the image's
//! init, which does not know about the agent.
//!
//! The kernel does this, whatever the init is. A thread of the agent that only sleeps is alone in a cgroup of a hierarchy
//! without controllers; when the agent dies the cgroup is empty, and the kernel runs the hierarchy's release agent, which is
//! the agent's own program. Only children of the sleeping thread would be born into that cgroup, and it has none, so
//! commands cost nothing more. Sources: `cgroup-v1/cgroups.rst` of Linux (1.4), `fsopen(2)`.
//!
//! The state that a new agent needs from the old one is in our own directory below `/run`.

use std::{
    convert::Infallible,
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{fs::OpenOptionsExt as _, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use banger_agent_proto::{IdentifyRequest, Message as _};
use rustix::{
    fs::{FlockOperation, Mode, OFlags},
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags},
};

use crate::invocation::{AGAIN, ARGUMENT, NAME, NO_INIT, RELEASED};

/// The path of the agent's program, where the first process puts it.
pub(crate) const PROGRAM: &str = "/run/banger/agent";

/// The default search path for programs of the guest.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const DIRECTORY: &str = "/run/banger";
const LOCK: &str = "/run/banger/lock";
const IDENTIFIED: &str = "/run/banger/identified";

/// The agent cannot be set up to be restarted.
#[derive(Debug, thiserror::Error)]
#[error("a killed agent would not be started again: cannot {step}")]
pub(crate) struct ArmError {
    step: &'static str,
    source: io::Error,
}

/// Makes the kernel start the agent again when this process has ended.
pub(crate) fn arm() -> Result<(), ArmError> {
    let failed = |step| move |source: io::Error| ArmError { step, source };
    let hierarchy = hierarchy().map_err(failed("make a hierarchy of cgroups"))?;
    let cgroup = cgroup(&hierarchy).map_err(failed("make a cgroup"))?;
    let (sender, entered) = std::sync::mpsc::channel();
    std::thread::Builder::new()
        .name("sleeper".to_owned())
        .stack_size(16 * 1024)
        .spawn(move || {
            // 0 stands for the writing thread.
            let _ = sender.send(write(&cgroup, "tasks", "0"));
            drop((cgroup, hierarchy));
            loop {
                std::thread::park();
            }
        })
        .map_err(failed("start a thread"))?;
    let entered = entered.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()));
    entered.map_err(failed("enter the cgroup"))
}

/// Returns the hierarchy, which is mounted nowhere. It exists as long as it contains a cgroup.
fn hierarchy() -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen("cgroup", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_flag(&context, "none")?;
    rustix::mount::fsconfig_set_string(&context, "name", "banger")?;
    rustix::mount::fsconfig_set_string(&context, "release_agent", PROGRAM)?;
    rustix::mount::fsconfig_create(&context)?;
    Ok(rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?)
}

fn cgroup(hierarchy: &OwnedFd) -> io::Result<OwnedFd> {
    let name = RELEASED.trim_start_matches('/');
    match rustix::fs::mkdirat(hierarchy, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
    let cgroup = rustix::fs::openat(hierarchy, name, flags, Mode::empty())?;
    write(&cgroup, "notify_on_release", "1")?;
    Ok(cgroup)
}

fn write(directory: impl AsFd, name: &str, text: &str) -> io::Result<()> {
    let file = rustix::fs::openat(directory, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text.as_bytes())?;
    Ok(())
}

/// Takes the agent's lock, so that there is only one agent: waits until no other process holds it. It is held until the
/// process ends; `None` if it cannot be taken.
pub(crate) fn take_place() -> Option<fs::File> {
    // If the directory cannot be made, taking the lock fails.
    let _ = fs::create_dir_all(DIRECTORY);
    let lock = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(LOCK).ok()?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).ok().map(|()| lock)
}

/// Records that the guest has its identity, with the part of it that commands need.
pub(crate) fn note_identity(for_commands: &IdentifyRequest) {
    let note = || {
        let new = format!("{IDENTIFIED}.new");
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        io::Write::write_all(&mut file, &for_commands.encode_to_vec())?;
        fs::rename(&new, IDENTIFIED)
    };
    if let Err(error) = note() {
        crate::console::error(&error);
    }
}

/// Returns the identity that an older agent recorded; `None` if the guest has none yet.
pub(crate) fn noted_identity() -> Option<IdentifyRequest> {
    let noted = fs::read(IDENTIFIED).ok()?;
    Some(IdentifyRequest::decode(noted.as_slice()).unwrap_or_default())
}

/// Becomes the agent under its own name, without anything inherited from the starter. Returns only on failure.
pub(crate) fn become_agent() -> Result<Infallible, io::Error> {
    let init = fs::read_link("/proc/1/exe").unwrap_or_else(|_| PathBuf::from(NO_INIT));
    let error = command(Path::new(&init)).arg(AGAIN).stdout(Stdio::null()).exec();
    Err(error)
}

/// Prepares the start of an agent.
pub(crate) fn command(init: &Path) -> Command {
    // Messages that bypass the kernel's log end there as well.
    let log =
        fs::OpenOptions::new().write(true).open("/dev/kmsg").map_or_else(|_| Stdio::null(), Stdio::from);
    // The file itself may be out of reach since the switch of the root; the running program is not.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0(NAME)
        .arg(ARGUMENT)
        .arg(init)
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", "/root")
        .stdin(Stdio::null())
        .stderr(log);
    command
}
