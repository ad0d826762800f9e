//! Tells of commands that end because their guest does: the init asks every process to end before it ends the machine, and to
//! the caller that looks like any other signal.

use std::{fs, os::unix::process::ExitStatusExt as _, process::ExitStatus};

/// What systemd becomes when all services have stopped; its first argument says what for.
const LAST_PROGRAM: &str = "systemd-shutdown";

/// Returns a sentence when the command was ended by the way out of the guest.
pub(super) fn sentence(status: ExitStatus) -> Option<String> {
    let is_asked = matches!(status.signal(), Some(libc::SIGTERM | libc::SIGHUP | libc::SIGKILL));
    let line = is_asked.then(|| fs::read("/proc/1/cmdline").ok()).flatten()?;
    way_out(&String::from_utf8_lossy(&line))
        .map(|way| format!("the command was ended because the guest {way}"))
}

fn way_out(line: &str) -> Option<&'static str> {
    let mut words = line.split('\0');
    if words.next()?.rsplit('/').next()? != LAST_PROGRAM {
        return None;
    }
    match words.next()? {
        "reboot" | "kexec" => Some("reboots"),
        "poweroff" | "exit" => Some("powers off"),
        "halt" => Some("halts"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_out_is_what_the_init_has_become() {
        assert_eq!(
            way_out("/usr/lib/systemd/systemd-shutdown\0reboot\0--log-level\0info\0"),
            Some("reboots")
        );
        assert_eq!(way_out("/lib/systemd/systemd-shutdown\0poweroff\0"), Some("powers off"));
        assert_eq!(way_out("systemd-shutdown\0halt\0"), Some("halts"));
        for other in ["", "/sbin/init\0", "/lib/systemd/systemd\0reboot\0", "systemd-shutdown\0", "\0"] {
            assert_eq!(way_out(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_command_that_ended_by_itself_has_nothing_to_tell() {
        assert_eq!(sentence(ExitStatus::from_raw(0)), None);
        assert_eq!(sentence(ExitStatus::from_raw(libc::SIGTERM)), None, "this host does not shut down");
    }
}
