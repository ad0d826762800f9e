//! The guest's way out: whoever shuts it down, the host is told before the guest is gone, because the end of a machine alone
//! does not show whether its guest rebooted, powered off or crashed.
//!
//! systemd is watched in two places. A slice of ours conflicts with every shutdown, so its cgroup is removed first of all,
//! and from then on new sessions should not be let in. At its very end systemd becomes another program, whose argument says
//! what follows; the opening of that program is an event. Other inits first send `SIGTERM` to every process; what follows is
//! not known then.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use banger_agent_proto::way_out::{Promise, WayOut};
use tokio::sync::watch;

use crate::{
    console,
    os::{
        inotify::{Watch, WatchFlags},
        signal_from_init::{self, SignalFromInit},
    },
};

/// The program that systemd becomes when all services have stopped; its first argument says what follows.
const LAST_PROGRAM: &str = "systemd-shutdown";

/// A unit without processes, where systemd looks for units of the running system.
const SLICE: &str = "run/systemd/system/banger.slice";
const WANTED: &str = "run/systemd/system/sysinit.target.wants/banger.slice";
const SLICE_UNIT: &str = "\
[Unit]
Description=Gone as soon as this guest shuts down
DefaultDependencies=no
Conflicts=shutdown.target
IgnoreOnIsolate=yes
";
/// The cgroup of the slice.
pub(crate) const SLICE_CGROUP: &str = "/sys/fs/cgroup/banger.slice";

/// Maximum time from the opening of a program to its start.
const START_DEADLINE: Duration = Duration::from_secs(1);
const LOOK_PAUSE: Duration = Duration::from_millis(2);

/// The announced way out of the guest, and those who wait for it.
#[derive(Debug)]
pub(crate) struct WayOutBoard {
    taken: watch::Sender<Option<WayOut>>,
    promise: watch::Sender<Promise>,
}

impl WayOutBoard {
    pub(crate) fn new() -> Self {
        Self { taken: watch::Sender::new(None), promise: watch::Sender::new(Promise { is_for_all: false }) }
    }

    /// Returns what the host may rely on.
    pub(crate) fn promise(&self) -> Promise {
        *self.promise.borrow()
    }

    /// Records that the guest is shutting down. Earlier knowledge is kept; only a known kind replaces an unknown one.
    pub(crate) fn note(&self, way: WayOut) {
        self.taken.send_if_modified(|taken| {
            let is_news = taken.is_none_or(|before| before == WayOut::Unknown && way != WayOut::Unknown);
            if is_news {
                *taken = Some(way);
            }
            is_news
        });
    }

    /// Records that the guest stays up after all. A known kind is final.
    fn retract_unknown(&self) {
        self.taken.send_if_modified(|taken| taken.take_if(|before| *before == WayOut::Unknown).is_some());
    }

    /// Returns a receiver for the announced way out, now and from now on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<WayOut>> {
        self.taken.subscribe()
    }

    /// Watches the cgroup of a slice that systemd ends as soon as it shuts the guest down.
    pub(crate) async fn watch_slice(&self, cgroup: &Path) {
        if let Err(error) = self.watch_cgroup(cgroup).await {
            console::error(&error);
        }
    }

    /// Watches the parent directory, because a cgroup sends no event about its own removal.
    async fn watch_cgroup(&self, cgroup: &Path) -> Result<(), WatchError> {
        let failed = |source| WatchError { path: cgroup.to_owned(), source };
        let watch = Watch::new().map_err(failed)?;
        let above = cgroup.parent().unwrap_or(cgroup);
        watch.add(above, WatchFlags::CREATE | WatchFlags::DELETE).map_err(|errno| failed(errno.into()))?;
        let mut was_there = false;
        loop {
            let is_there = cgroup.exists();
            match (was_there, is_there) {
                (true, false) => self.note(WayOut::Unknown),
                // The slice was started again: it was not a shutdown, or one of user space only.
                (false, true) => self.retract_unknown(),
                (true, true) | (false, false) => {}
            }
            was_there = is_there;
            watch.events().await.map_err(failed)?;
        }
    }

    /// Watches systemd as init, until the guest is shutting down.
    pub(crate) async fn watch_systemd(&self, init: &Path) {
        if let Err(error) = self.watch_last_program(&init.with_file_name(LAST_PROGRAM)).await {
            console::error(&error);
        }
        self.promise.send_replace(Promise { is_for_all: false });
    }

    async fn watch_last_program(&self, program: &Path) -> Result<(), WatchError> {
        let failed = |source| WatchError { path: program.to_owned(), source };
        let watch = Watch::new().map_err(failed)?;
        watch.add(program, WatchFlags::OPEN).map_err(|errno| failed(errno.into()))?;
        self.promise.send_replace(Promise { is_for_all: true });
        loop {
            // Checked after the watch began, because an agent that was restarted may come late.
            if let Some(way) = of_first_process() {
                self.note(way);
                std::future::pending::<()>().await;
            }
            watch.events().await.map_err(failed)?;
            // Any program may have opened it; then nothing follows.
            let _ = tokio::time::timeout(START_DEADLINE, self.note_start()).await;
        }
    }

    async fn note_start(&self) {
        loop {
            if let Some(way) = of_first_process() {
                return self.note(way);
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    /// Waits until the first process tells of a shutdown. Ours says what for; any other one only ends all processes.
    pub(crate) async fn hear_init(&self, signal: &SignalFromInit, is_ours: bool) -> io::Result<WayOut> {
        loop {
            if let Some(way) = of_signal(signal.heard().await?, is_ours) {
                self.note(way);
                return Ok(way);
            }
        }
    }

    /// Returns the kind of shutdown, if one has begun and its kind is known.
    pub(crate) fn kind(&self) -> Option<WayOut> {
        self.taken.borrow().filter(|way| *way != WayOut::Unknown)
    }
}

/// The host cannot be told of every end.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch `{}`: a shutdown is not told to the host", path.display())]
struct WatchError {
    path: PathBuf,
    source: io::Error,
}

/// Adds the unit that systemd ends first. Called before systemd starts.
pub(crate) fn add_slice(root: &Path) {
    let add = || {
        let (slice, wanted) = (root.join(SLICE), root.join(WANTED));
        fs::create_dir_all(wanted.parent().unwrap_or(root))?;
        fs::write(slice, SLICE_UNIT)?;
        std::os::unix::fs::symlink("../banger.slice", wanted)
    };
    if let Err(source) = add() {
        console::error(&WatchError { path: root.join(SLICE), source });
    }
}

/// Returns what systemd as init is about to do, once it has reached its end.
pub(crate) fn of_first_process() -> Option<WayOut> {
    let line = fs::read("/proc/1/cmdline").ok()?;
    of_command_line(&String::from_utf8_lossy(&line))
}

fn of_signal(number: i32, is_ours: bool) -> Option<WayOut> {
    match number {
        signal_from_init::REBOOT if !is_ours => Some(WayOut::Unknown),
        signal_from_init::REBOOT => Some(WayOut::Reboot),
        signal_from_init::HALT if is_ours => Some(WayOut::Halt),
        signal_from_init::POWER_OFF if is_ours => Some(WayOut::PowerOff),
        _ => None,
    }
}

fn of_command_line(line: &str) -> Option<WayOut> {
    let mut words = line.split('\0');
    if words.next()?.rsplit('/').next()? != LAST_PROGRAM {
        return None;
    }
    match words.next()? {
        "reboot" | "kexec" => Some(WayOut::Reboot),
        "poweroff" | "exit" => Some(WayOut::PowerOff),
        "halt" => Some(WayOut::Halt),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_out_is_what_the_init_has_become() {
        assert_eq!(
            of_command_line("/usr/lib/systemd/systemd-shutdown\0reboot\0--log-level\0info\0"),
            Some(WayOut::Reboot)
        );
        assert_eq!(of_command_line("/lib/systemd/systemd-shutdown\0poweroff\0"), Some(WayOut::PowerOff));
        assert_eq!(of_command_line("systemd-shutdown\0halt\0"), Some(WayOut::Halt));
        for other in ["", "/sbin/init\0", "/lib/systemd/systemd\0reboot\0", "systemd-shutdown\0", "\0"] {
            assert_eq!(of_command_line(other), None, "{other:?}");
        }
    }

    #[test]
    fn only_our_own_first_process_says_what_for() {
        use signal_from_init::{HALT, POWER_OFF, REBOOT};
        let ours = [REBOOT, HALT, POWER_OFF].map(|number| of_signal(number, true));
        assert_eq!(ours, [WayOut::Reboot, WayOut::Halt, WayOut::PowerOff].map(Some));
        let others = [REBOOT, HALT, POWER_OFF].map(|number| of_signal(number, false));
        assert_eq!(others, [Some(WayOut::Unknown), None, None]);
    }

    #[test]
    fn the_first_kind_that_is_known_stays() {
        let board = WayOutBoard::new();
        let known = board.subscribe();
        board.note(WayOut::Unknown);
        assert_eq!(*known.borrow(), Some(WayOut::Unknown));
        for way in [WayOut::Reboot, WayOut::Unknown, WayOut::Halt] {
            board.note(way);
            board.retract_unknown();
            assert_eq!(*known.borrow(), Some(WayOut::Reboot));
        }
    }

    #[tokio::test]
    async fn a_guest_is_on_its_way_out_while_the_cgroup_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let (board, cgroup) = (WayOutBoard::new(), directory.path().join("banger.slice"));
        let mut known = board.subscribe();
        let watching = board.watch_cgroup(&cgroup);
        let acting = async {
            for _ in 0..2 {
                fs::create_dir(&cgroup).unwrap();
                // Nothing reports that the directory was seen, and one that is removed at once may be missed.
                for _ in 0..1000 {
                    tokio::task::yield_now().await;
                }
                fs::remove_dir(&cgroup).unwrap();
                known.wait_for(Option::is_some).await.unwrap();
                fs::create_dir(&cgroup).unwrap();
                known.wait_for(Option::is_none).await.unwrap();
                fs::remove_dir(&cgroup).unwrap();
                known.wait_for(Option::is_some).await.unwrap();
            }
        };
        tokio::select! {
            ended = watching => panic!("{ended:?}"),
            () = acting => {}
        }
    }

    #[tokio::test]
    async fn somebody_who_only_reads_the_last_program_is_no_way_out() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join(LAST_PROGRAM);
        fs::write(&program, "x").unwrap();
        let board = WayOutBoard::new();
        let init = directory.path().join("systemd");
        let watching = board.watch_systemd(&init);
        tokio::pin!(watching);
        assert!(futures::poll!(&mut watching).is_pending());
        assert!(board.promise().is_for_all);
        let _ = fs::read(&program).unwrap();
        assert!(futures::poll!(&mut watching).is_pending());
        assert_eq!(*board.taken.borrow(), None);
    }

    #[tokio::test]
    async fn without_the_last_program_nothing_is_promised() {
        let board = WayOutBoard::new();
        board.watch_systemd(Path::new("/nonexistent/systemd")).await;
        assert!(!board.promise().is_for_all);
    }
}
