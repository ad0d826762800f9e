//! Commands that end the guest's system. They return before the init has begun the shutdown, so a caller that sees their end
//! and then makes another request would meet services that are about to stop.

use std::time::Duration;

use banger_agent_proto::ExecStart;

use crate::way_out::WayOutBoard;

/// Maximum time between the end of such a command and the first action of the init. A shutdown that is scheduled for later,
/// or a mere query, takes all of it.
const BEGIN_DEADLINE: Duration = Duration::from_secs(2);

const PROGRAMS: [&str; 4] = ["reboot", "poweroff", "halt", "shutdown"];
/// Verbs of `systemctl` that end the system.
const VERBS: [&str; 5] = ["reboot", "poweroff", "halt", "kexec", "soft-reboot"];
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "zsh", "ash", "busybox"];
const WRAPPERS: [&str; 6] = ["sudo", "env", "timeout", "nohup", "setsid", "nice"];

/// Waits until the requested shutdown has begun.
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
    // Words after which a command may begin in a script.
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
