//! Commands that end the guest's system. They return before the init has begun to: whoever hears of their end, and then wants
//! something of the guest, would meet the services that are about to stop.

use std::time::Duration;

use banger_agent_proto::ExecStart;

use crate::way_out::WayOutBoard;

/// Between the end of such a command and the first act of the init. One that is scheduled for later, or only asks, takes it all.
const BEGIN_DEADLINE: Duration = Duration::from_secs(2);

const PROGRAMS: [&str; 4] = ["reboot", "poweroff", "halt", "shutdown"];
/// Verbs of `systemctl` that end the system.
const VERBS: [&str; 5] = ["reboot", "poweroff", "halt", "kexec", "soft-reboot"];
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "zsh", "ash", "busybox"];
const WRAPPERS: [&str; 6] = ["sudo", "env", "timeout", "nohup", "setsid", "nice"];

/// Waits until the shutdown that a command asked for has begun.
pub(super) async fn wait_for_begin(way_out: &WayOutBoard) {
    let mut known = way_out.subscribe();
    let _ = tokio::time::timeout(BEGIN_DEADLINE, known.wait_for(Option::is_some)).await;
}

/// Tells whether a command ends the system.
pub(super) fn ends_system(start: &ExecStart) -> bool {
    let words: Vec<_> = start.argv.iter().map(|argument| String::from_utf8_lossy(argument)).collect();
    is_power_command(&words.iter().map(AsRef::as_ref).collect::<Vec<&str>>())
}

fn is_power_command(words: &[&str]) -> bool {
    let Some((program, rest)) = words.split_first() else { return false };
    let program = program.rsplit('/').next().unwrap_or(program);
    if PROGRAMS.contains(&program) || is_power_verb(program, rest) {
        return true;
    }
    if WRAPPERS.contains(&program) {
        return (0..rest.len()).any(|first| rest.get(first..).is_some_and(is_power_command));
    }
    // Where a command may begin in a script.
    let begins = |text: &&str| {
        text.split([';', '&', '|', '\n', '(', '{'])
            .any(|part| is_power_command(&part.split_whitespace().collect::<Vec<_>>()))
    };
    SHELLS.contains(&program) && rest.iter().any(begins)
}

/// Tells whether these are words of `systemctl` that end the system.
pub(super) fn is_power_verb(program: &str, arguments: &[&str]) -> bool {
    program == "systemctl" && arguments.iter().any(|word| VERBS.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_end_the_system_are_known() {
        for words in [
            &["reboot"][..],
            &["/sbin/poweroff", "-p"],
            &["shutdown", "-h", "now"],
            &["systemctl", "--no-block", "reboot"],
            &["sudo", "-n", "halt"],
            &["env", "A=1", "systemctl", "poweroff"],
            &["sh", "-c", "sync; reboot"],
            &["bash", "-ec", "make && sudo reboot\n"],
        ] {
            assert!(is_power_command(words), "{words:?}");
        }
        for words in [
            &[][..],
            &["echo", "reboot"],
            &["systemctl", "status", "reboot.target"],
            &["sh", "-c", "grep reboot log; echo poweroff"],
            &["sh", "/root/reboot.sh"],
            &["last", "reboot"],
        ] {
            assert!(!is_power_command(words), "{words:?}");
        }
    }
}
