//! Shutdown of the guest: first the init is asked, then the agent does it itself.

use std::{os::fd::OwnedFd, path::Path, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    mount::MountFlags,
    mount::UnmountFlags,
    process::Pid,
    system::RebootCommand,
};
use tokio::io::Interest;

use crate::{
    console,
    os::{
        async_fd,
        signal::{self, Mask, Target},
    },
};

/// Pause between the answer and the first step, so that the answer reaches the host.
const ANSWER_TIME: Duration = Duration::from_millis(20);

/// What a shutdown ends.
#[derive(Clone, Debug)]
pub(crate) enum Power {
    /// A machine of its own.
    Machine(Init),
    /// A process on an ordinary machine (in tests), which exits.
    Process,
}

/// The first process, by its way of being asked to shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Init {
    /// The agent's own reaper.
    Ours,
    Systemd,
    /// Accepts signals for power-off and reboot.
    Busybox,
    /// Any other init, which has its own `reboot` command.
    Other,
}

impl Init {
    /// Determines the kind from the program's path.
    pub(crate) fn of_program(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match name.as_ref() {
            "systemd" => Self::Systemd,
            "busybox" => Self::Busybox,
            _ => Self::Other,
        }
    }
}

impl Power {
    /// Tells whether the guest has a machine of its own.
    pub(crate) fn is_of_machine(&self) -> bool {
        matches!(self, Self::Machine(_))
    }

    /// Starts the shutdown and returns at once.
    pub(crate) fn begin(self, is_reboot: bool, grace: Duration) {
        tokio::spawn(async move {
            tokio::time::sleep(ANSWER_TIME).await;
            match self {
                Self::Process => std::process::exit(0),
                Self::Machine(init) => end_machine(init, is_reboot, grace).await,
            }
        });
    }
}

/// Power-off and reboot are done in the same way: a reboot ends the VMM on every platform (a power-off needs ACPI, which
/// Firecracker does not have), and the host decides what follows.
async fn end_machine(init: Init, _is_reboot: bool, grace: Duration) {
    rustix::fs::sync();
    if !grace.is_zero() {
        match init {
            Init::Ours => end_processes(grace).await,
            Init::Systemd | Init::Busybox => {
                let number = if init == Init::Systemd { signal::real_time(5) } else { libc::SIGTERM };
                if init_listens_to(number) {
                    ask_by_signal(number, grace).await;
                } else {
                    end_processes(grace).await;
                }
            }
            Init::Other => ask_by_command(grace).await,
        }
    }
    finish();
}

/// Tells whether the first process handles this signal. One that has only just started does not yet, and the signal would be
/// lost, because the kernel shields a first process from signals without a handler (`pid_namespaces(7)`).
fn init_listens_to(number: i32) -> bool {
    std::fs::read_to_string("/proc/1/status").is_ok_and(|status| takes_signal(&status, number))
}

fn takes_signal(status: &str, number: i32) -> bool {
    signal::is_in(status, &[Mask::Caught, Mask::Blocked], number)
}

/// Waits for the grace period; an init that complies ends the machine meanwhile.
async fn ask_by_signal(number: i32, grace: Duration) {
    match signal::send(Target::Process(Pid::INIT), number) {
        Ok(()) => tokio::time::sleep(grace).await,
        Err(error) => console::error(&error),
    }
}

async fn ask_by_command(grace: Duration) {
    match tokio::process::Command::new("reboot").spawn() {
        Ok(_child) => tokio::time::sleep(grace).await,
        Err(error) => console::error(&error),
    }
}

/// Asks every process to end, and waits for all of them during the grace period.
async fn end_processes(grace: Duration) {
    let processes = others();
    let _ = signal::send(Target::Everyone, libc::SIGTERM);
    let _ = signal::send(Target::Everyone, libc::SIGHUP);
    end_deaf_first_processes();
    let all_ended = async {
        for process in processes {
            if let Ok(process) = async_fd::register(process, Interest::READABLE) {
                let _ = process.readable().await;
            }
        }
    };
    let _ = tokio::time::timeout(grace, all_ended).await;
}

/// The kernel shields the first process of a PID namespace as it does that of the machine: waiting for one without a handler
/// would be in vain.
fn end_deaf_first_processes() {
    for pid in processes() {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
        if is_first_in_namespace(&status) && !takes_signal(&status, libc::SIGTERM) {
            let _ = signal::send(Target::Process(pid), libc::SIGKILL);
        }
    }
}

/// `NSpid` lists the numbers of a process from our namespace inwards.
fn is_first_in_namespace(status: &str) -> bool {
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    let numbers: Vec<_> = numbers.split_ascii_whitespace().collect();
    matches!(numbers.as_slice(), [_, .., "1"])
}

/// Every process, including threads of the kernel.
fn processes() -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

/// Every process of user space except the first and this one.
fn others() -> Vec<OwnedFd> {
    processes()
        .filter(|pid| *pid != Pid::INIT && *pid != rustix::process::getpid())
        .filter(|pid| {
            std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()))
                .is_ok_and(|line| !line.is_empty())
        })
        .filter_map(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::NONBLOCK).ok())
        .collect()
}

/// Syncs everything to disk and ends the machine.
pub(crate) fn finish() {
    freeze_init();
    let processes = others();
    let _ = signal::send(Target::Everyone, libc::SIGKILL);
    rustix::fs::sync();
    // Processes with files open for writing would keep the file systems from becoming read-only.
    for process in processes {
        let mut entry = [PollFd::new(&process, PollFlags::IN)];
        if poll(&mut entry, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })) == Ok(0) {
            break;
        }
    }
    let _ = rustix::mount::unmount("/root", UnmountFlags::empty());
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for place in ["/"].into_iter().chain(on_drives(&mounts)) {
        let _ = rustix::mount::mount_remount(place, MountFlags::RDONLY, "");
    }
    rustix::fs::sync();
    restart();
}

/// Returns the mount points of ext4 file systems: a bind mount of a drive's directory represents its whole file system.
/// Mount points with characters that the list escapes are never ours.
fn on_drives(mounts: &str) -> impl Iterator<Item = &str> {
    mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (place, kind) = (fields.next()?, fields.next()?);
        (kind == "ext4").then_some(place)
    })
}

/// A running init would restart what is killed, and would crash if a drive is gone when the machine restarts.
fn freeze_init() {
    if rustix::process::getpid() == Pid::INIT {
        return;
    }
    let cgroup = Path::new("/sys/fs/cgroup/banger/ended");
    let freeze = || {
        std::fs::create_dir_all(cgroup)?;
        std::fs::write(cgroup.join("cgroup.procs"), "1")?;
        std::fs::write(cgroup.join("cgroup.freeze"), "1")?;
        let events = std::fs::File::open(cgroup.join("cgroup.events"))?;
        // Reading arms the wait.
        while !read(&events)?.windows(8).any(|word| word == b"frozen 1") {
            let mut entry = [PollFd::new(&events, PollFlags::PRI)];
            if poll(&mut entry, Some(&Timespec { tv_sec: 0, tv_nsec: 200_000_000 }))? == 0 {
                break;
            }
        }
        Ok::<(), std::io::Error>(())
    };
    if let Err(error) = freeze() {
        console::error(&error);
    }
}

fn read(events: &std::fs::File) -> std::io::Result<Vec<u8>> {
    let mut text = vec![0; 256];
    let count = std::os::unix::fs::FileExt::read_at(events, &mut text, 0)?;
    text.truncate(count);
    Ok(text)
}

/// Restarts the machine at once. With the VMM's settings, this ends it.
pub(crate) fn restart() {
    if let Err(error) = rustix::system::reboot(RebootCommand::Restart) {
        console::error(&error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_init_that_has_only_just_begun_takes_no_signal_yet() {
        let just_begun = "Name:\tsystemd\nSigBlk:\t0000000000000000\nSigCgt:\t0000000000000000\n";
        let systemd = "Name:\tsystemd\nSigBlk:\t7be3c0fe28014a03\nSigCgt:\t00000001000004ec\n";
        let restart = signal::real_time(5);
        assert!(!takes_signal(just_begun, restart));
        assert!(takes_signal(systemd, restart));
        assert!(takes_signal("SigCgt:\t0000000000004000\n", libc::SIGTERM));
        assert!(!takes_signal("SigCgt:\tnonsense\n", libc::SIGTERM));
        assert!(!takes_signal("", libc::SIGTERM));
    }

    #[test]
    fn every_drive_is_found_wherever_it_is_mounted() {
        let mounts = "overlay / overlay rw,noatime 0 0\n/dev/vdd /var/roothome ext4 rw 0 0\nproc /proc proc rw 0 0\n\n\
            /dev/vdc /var/lib/docker ext4 rw,noatime 0 0\n";
        assert_eq!(on_drives(mounts).collect::<Vec<_>>(), ["/var/roothome", "/var/lib/docker"]);
    }

    #[test]
    fn the_first_process_of_a_namespace_is_known() {
        assert!(is_first_in_namespace("Pid:\t88\nNSpid:\t88\t1\n"));
        for other in ["NSpid:\t1\n", "NSpid:\t88\t11\n", "NSpid:\t1\t2\n", "NSpid:\n", ""] {
            assert!(!is_first_in_namespace(other), "{other:?}");
        }
    }

    #[test]
    fn the_init_is_known_by_its_program() {
        assert_eq!(Init::of_program(Path::new("/usr/lib/systemd/systemd")), Init::Systemd);
        assert_eq!(Init::of_program(Path::new("/bin/busybox")), Init::Busybox);
        assert_eq!(Init::of_program(Path::new("/sbin/openrc-init")), Init::Other);
    }
}
