//! One scenario, in a process and a process group of its own. Its output goes to a file, so that nothing of it is lost or
//! mixed with that of others, whatever it starts and however it ends.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::interrupt::Groups;

/// The end of a process, with all its output.
#[derive(Debug)]
pub(super) struct Ended {
    /// The failure; absent if it succeeded.
    pub(super) failure: Option<String>,
    /// Both output streams, in order.
    pub(super) output: String,
}

/// Runs the process to its end, or kills it and its children after the deadline.
pub(super) fn run(mut command: Command, output: &Path, deadline: Duration, groups: &Groups) -> Ended {
    let failure = match start(&mut command, output) {
        Err(error) => Some(format!("cannot be started: {error}")),
        Ok(mut child) => {
            let group = group_of(&child);
            groups.add(group);
            let failure = wait(&mut child, deadline);
            groups.remove(group);
            failure.unwrap_or_else(|error| Some(format!("cannot be waited for: {error}")))
        }
    };
    let output = fs::read(output).unwrap_or_default();
    Ended { failure, output: String::from_utf8_lossy(&output).into_owned() }
}

fn start(command: &mut Command, output: &Path) -> io::Result<Child> {
    let file = File::options().append(true).create(true).open(output)?;
    let same = file.try_clone()?;
    command.stdin(Stdio::null()).stdout(file).stderr(same).process_group(0).spawn()
}

fn group_of(child: &Child) -> Pid {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("the id of a process fits")
}

fn wait(child: &mut Child, deadline: Duration) -> io::Result<Option<String>> {
    let process = pidfd_open(group_of(child), PidfdFlags::empty())?;
    let timeout = Timespec::try_from(deadline).ok();
    loop {
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(0) => {
                let _ = kill_process_group(group_of(child), Signal::KILL);
                child.wait()?;
                return Ok(Some(format!("did not end within {} s", deadline.as_secs())));
            }
            Ok(_) => break,
        }
    }
    let status = child.wait()?;
    Ok(match (status.success(), status.signal()) {
        (true, _) => None,
        (false, Some(signal)) => Some(format!("was ended by signal {signal}")),
        (false, None) => Some(format!("failed with status {}", status.code().unwrap_or(-1))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, deadline: Duration) -> Ended {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run(command, &directory.path().join("output"), deadline, &Groups::default())
    }

    #[test]
    fn both_streams_are_kept_in_order_and_the_status_is_told() {
        let ended = shell("echo one; echo two >&2; echo three; exit 3", Duration::from_secs(60));
        assert_eq!(ended.output, "one\ntwo\nthree\n");
        assert_eq!(ended.failure.as_deref(), Some("failed with status 3"));
        assert_eq!(shell("true", Duration::from_secs(60)).failure, None);
    }

    #[test]
    fn one_that_hangs_is_ended_with_what_it_has_started() {
        let directory = tempfile::tempdir().unwrap();
        let held = directory.path().join("held");
        let script = format!("exec 9>{}; flock 9; echo begun; sleep 1000 & wait", held.display());
        let ended = shell(&script, Duration::from_secs(1));
        assert_eq!(ended.failure.as_deref(), Some("did not end within 1 s"));
        assert_eq!(ended.output, "begun\n");
        // Its child held the lock as well, so it is free only when both are gone.
        let free = Command::new("flock").args(["-w", "60"]).arg(&held).arg("true").status().unwrap();
        assert!(free.success());
    }

    #[test]
    fn a_death_by_signal_is_no_success() {
        let ended = shell("kill -9 $$", Duration::from_secs(60));
        assert_eq!(ended.failure.as_deref(), Some("was ended by signal 9"));
    }
}
