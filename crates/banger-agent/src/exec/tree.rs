//! All processes of one command: those in its own cgroup if there is one, otherwise those in the leader's session.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::process::Pid;
use tokio::io::Interest;

use crate::os::{
    async_fd,
    signal::{self, Target},
};

/// The directory below which every command gets its cgroup.
#[derive(Debug)]
pub(crate) struct TreeNursery {
    parent: Option<PathBuf>,
    next: AtomicU64,
}

impl TreeNursery {
    /// `parent` must be a directory of cgroup v2. With `None`, commands are distinguished by session only.
    pub(crate) fn new(parent: Option<PathBuf>) -> Self {
        Self { parent, next: AtomicU64::new(1) }
    }

    /// Makes the cgroup of the next command; if that fails, the command still runs.
    pub(crate) fn cgroup(&self) -> Option<CommandCgroup> {
        let parent = self.parent.as_ref()?;
        sweep(parent);
        let path = parent.join(format!("exec-{}", self.next.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir(&path).ok()?;
        Some(CommandCgroup { path })
    }
}

/// The cgroup of one command; the directory is removed with it if it is empty.
#[derive(Debug)]
pub(crate) struct CommandCgroup {
    path: PathBuf,
}

impl CommandCgroup {
    /// Opens the file through which a process moves itself into this cgroup.
    pub(crate) fn door(&self) -> io::Result<std::os::fd::OwnedFd> {
        Ok(fs::OpenOptions::new().write(true).open(self.path.join("cgroup.procs"))?.into())
    }

    fn processes(&self) -> Vec<Pid> {
        let list = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        list.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect()
    }

    async fn emptied(&self) -> io::Result<()> {
        let events = fs::File::open(self.path.join("cgroup.events"))?;
        let events = async_fd::register(events.into(), Interest::PRIORITY)?;
        loop {
            let mut text = [0; 256];
            let count = rustix::io::pread(events.get_ref(), &mut text, 0)?;
            let mut lines = text.get(..count).unwrap_or_default().split(|b| *b == b'\n');
            if lines.any(|line| line == b"populated 0") {
                return Ok(());
            }
            events.ready(Interest::PRIORITY).await?.clear_ready();
        }
    }
}

impl Drop for CommandCgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.path);
    }
}

/// The processes of a started command.
#[derive(Debug)]
pub(crate) struct ProcessTree {
    leader: Pid,
    cgroup: Option<CommandCgroup>,
}

impl ProcessTree {
    pub(crate) fn new(leader: Pid, cgroup: Option<CommandCgroup>) -> Self {
        Self { leader, cgroup }
    }

    /// Sends a signal to every process. It is not an error if some have ended.
    pub(crate) fn signal(&self, number: i32) {
        for pid in self.members() {
            let _ = signal::send(Target::Process(pid), number);
        }
    }

    /// Kills every process, including those that are born meanwhile.
    pub(crate) fn kill(&self) {
        if let Some(cgroup) = &self.cgroup
            && fs::write(cgroup.path.join("cgroup.kill"), "1").is_ok()
        {
            return;
        }
        // Without cgroup.kill, this is repeated as long as the list contains new processes.
        let mut known = Vec::new();
        loop {
            let members = self.members();
            let is_news = members.iter().any(|pid| !known.contains(pid));
            for pid in &members {
                let _ = signal::send(Target::Process(*pid), libc::SIGKILL);
            }
            if !is_news {
                return;
            }
            known = members;
        }
    }

    /// Waits until no process is left. Without a cgroup this cannot be determined, so it returns at once.
    pub(crate) async fn emptied(&self) {
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.emptied().await;
        }
    }

    fn members(&self) -> Vec<Pid> {
        match &self.cgroup {
            Some(cgroup) => cgroup.processes(),
            None => session_members(self.leader),
        }
    }
}

/// Removes the cgroups of commands that left processes behind which have ended since.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(b"exec-") {
            // The kernel refuses while a process is in it.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

fn session_members(leader: Pid) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .filter(|pid| {
            let stat = fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
            session_of(&stat) == Some(leader.as_raw_nonzero().get())
        })
        .collect()
}

/// Parses the session from a line of `/proc/<pid>/stat`: `pid (name) state parent group session …`.
fn session_of(stat: &[u8]) -> Option<i32> {
    let after_name = stat.rsplit(|b| *b == b')').next()?;
    std::str::from_utf8(after_name).ok()?.split_ascii_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_hide_the_session() {
        assert_eq!(session_of(b"12 (a) b (c)) S 1 12 77 34816 12 4194304"), Some(77));
        assert_eq!(session_of(b""), None);
    }
}
