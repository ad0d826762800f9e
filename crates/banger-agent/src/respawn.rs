//! Starts the agent again when somebody kills it: `kill -9 -1` of root ends every process but the first, and the first is
//! the image's init, which knows nothing of us.
//!
//! The kernel does it, whatever the init is. A thread of the agent that only sleeps is alone in a cgroup of a hierarchy
//! that has no controllers; when the agent dies the cgroup is empty, and the kernel runs the hierarchy's release agent,
//! which is the agent's own program. Only threads that the sleeper starts would be born into that cgroup, and it starts none:
//! commands cost nothing more. Sources: `cgroup-v1/cgroups.rst` of Linux (1.4), `fsopen(2)`.
//!
//! What a new agent has to know of the old one is in a directory of ours below `/run`.

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

/// Where the agent's program can be found again. The first process puts it there.
pub(crate) const PROGRAM: &str = "/run/banger/agent";

/// Where programs of the guest are looked for when nobody says where.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const DIRECTORY: &str = "/run/banger";
const LOCK: &str = "/run/banger/lock";
const IDENTIFIED: &str = "/run/banger/identified";

/// The agent will not be started again.
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
            // 0 is the thread that writes.
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

/// Returns the hierarchy, mounted nowhere. It stays as long as there is a cgroup in it.
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

/// Takes the agent's place, of which there is one: waits until nobody else has it. Held until the process ends; `None`: it cannot
/// be had.
pub(crate) fn take_place() -> Option<fs::File> {
    // Where it cannot be made, the lock says so.
    let _ = fs::create_dir_all(DIRECTORY);
    let lock = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(LOCK).ok()?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).ok().map(|()| lock)
}

/// Notes that the guest has its identity, with the part of it that commands need.
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

/// Returns what an older agent has noted; `None`: the guest has no identity yet.
pub(crate) fn noted_identity() -> Option<IdentifyRequest> {
    let noted = fs::read(IDENTIFIED).ok()?;
    Some(IdentifyRequest::decode(noted.as_slice()).unwrap_or_default())
}

/// Becomes the agent under its own name, with nothing of whoever started it. Returns only when it fails.
pub(crate) fn become_agent() -> Result<Infallible, io::Error> {
    let init = fs::read_link("/proc/1/exe").unwrap_or_else(|_| PathBuf::from(NO_INIT));
    let error = command(Path::new(&init)).arg(AGAIN).stdout(Stdio::null()).exec();
    Err(error)
}

/// Prepares the start of an agent.
pub(crate) fn command(init: &Path) -> Command {
    // Messages that go past the kernel's log end there as well.
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
