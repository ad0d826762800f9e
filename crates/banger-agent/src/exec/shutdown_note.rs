//! Detects commands that end because their guest does: the init asks every process to end before it ends the machine, and to
//! the caller that looks like any other signal.

use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

use banger_agent_proto::way_out::WayOut;

use crate::way_out;

/// Returns a sentence if the command was ended by the guest's shutdown, whose kind may be known already.
pub(super) fn sentence(status: ExitStatus, known: Option<WayOut>) -> Option<String> {
    let is_asked = matches!(status.signal(), Some(libc::SIGTERM | libc::SIGHUP | libc::SIGKILL));
    // The host's stop is carried out as a reboot, so what is known comes before what the first process says.
    let way = is_asked.then(|| known.or_else(way_out::of_first_process)).flatten()?;
    let does = match way {
        WayOut::Reboot => "is rebooting",
        WayOut::PowerOff => "is powering off",
        WayOut::Halt => "is halting",
        WayOut::Unknown => "is shutting down",
    };
    Some(format!("the command was ended because the guest {does}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_ended_by_itself_has_nothing_to_tell() {
        assert_eq!(sentence(ExitStatus::from_raw(0), Some(WayOut::Reboot)), None);
        let ended = ExitStatus::from_raw(libc::SIGTERM);
        assert_eq!(sentence(ended, None), None, "this host does not shut down");
        let told = sentence(ended, Some(WayOut::PowerOff)).unwrap();
        assert_eq!(told, "the command was ended because the guest is powering off");
    }
}
