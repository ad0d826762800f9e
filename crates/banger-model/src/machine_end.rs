//! How a machine ended, decided from what it left behind: the exit of its VMM, the last line of the guest's kernel on the
//! console, the VMM's output, and what the guest's agent announced. The rules take these facts; the caller collects them.

use std::time::Duration;

/// How the VMM's process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmmExit {
    /// It exited with this status.
    Status(i32),
    /// It was killed by this signal.
    Signal(i32),
    /// It was not our child, so its exit status is not known.
    Unknown,
}

/// The last message of the guest's kernel before the machine ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelWord {
    /// The kernel restarts.
    Restart,
    /// The kernel switches the power off.
    PowerOff,
    /// The kernel stops its processors and leaves the machine on.
    Halt,
    /// The kernel panicked, for this reason.
    Panic(String),
}

/// What a guest that shuts down in order does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayOut {
    /// It switches the power off.
    PowerOff,
    /// It reboots.
    Reboot,
    /// It stops its processors and leaves the power on.
    Halt,
    /// Its init did not say which.
    Unknown,
}

/// What the guest's agent announced about the guest's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Announced {
    /// The host did not hear the agent, or the agent does not announce every end: its silence means nothing.
    #[default]
    Unheard,
    /// The agent announces every orderly end, was connected to the last, and announced nothing.
    Nothing,
    /// The guest was shutting down.
    WayOut(WayOut),
}

/// Whether the VMM ended because the host was out of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemoryKill {
    /// There is no sign of it.
    #[default]
    No,
    /// A process that shared the VMM's limits was killed for lack of memory while the machine ran.
    Likely,
    /// The host's kernel reported it.
    Certain,
}

/// The known facts about a machine that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndFacts {
    /// How the VMM's process ended.
    pub exit: VmmExit,
    /// The kernel's last message on the console; absent if there was none.
    pub kernel: Option<KernelWord>,
    /// What the guest's agent announced.
    pub announced: Announced,
    /// Whether the guest had a console on which the kernel could print.
    pub has_console: bool,
    /// The last lines of the VMM's output.
    pub vmm_words: String,
    /// Whether the host was out of memory.
    pub memory: MemoryKill,
}

/// The known facts about a guest that gives no sign of life while its VMM runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilentFacts<'a> {
    /// The kernel's last message on the console; absent if there was none.
    pub kernel: Option<KernelWord>,
    /// What the guest's agent announced.
    pub announced: Announced,
    /// The VMM's output.
    pub vmm_words: &'a str,
    /// How long the VMM has used next to no processor time.
    pub still_for: Duration,
}

/// A guest that is shutting down and has done nothing for this long has ended.
const STILL_MIN: Duration = Duration::from_secs(8);

/// Why a machine ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// The guest powered off.
    PoweredOff,
    /// The guest stopped its processors for good.
    Halted,
    /// The guest wants to reboot.
    Rebooted,
    /// The guest's kernel panicked.
    Panicked {
        /// The reason that the kernel printed.
        reason: String,
    },
    /// The guest's processor was reset, and its kernel printed nothing.
    Reset,
    /// The guest's processor was reset while the guest was working; its kernel had no console to print to.
    ResetAtWork,
    /// As `Reset`, but the kernel had no console to print to. Most likely the guest rebooted.
    ResetUnseen,
    /// A process of the host sent a signal to the VMM.
    Killed {
        /// The signal's number.
        signal: i32,
        /// The process that sent it; absent if the VMM could not tell.
        by: Option<String>,
    },
    /// The host's kernel killed the VMM because memory ran out.
    OutOfMemory {
        /// `false` if it is only likely.
        is_certain: bool,
    },
    /// The processor could not continue the guest, because of an error inside KVM.
    ProcessorError,
    /// The VMM crashed.
    Crashed {
        /// The signal's number.
        signal: i32,
    },
    /// The VMM exited with an error.
    Failed {
        /// The VMM's exit status.
        status: i32,
    },
    /// The reason is not known.
    Unknown,
}

/// Signals that a program causes itself by a fault (`signal(7)`): ILL, TRAP, ABRT, BUS, FPE, SEGV, SYS.
const FAULTS: [i32; 7] = [4, 5, 6, 7, 8, 11, 31];
const KILL: i32 = 9;

/// Maximum number of characters of a panic's reason that are kept.
const REASON_CHARS_MAX: usize = 200;

impl EndCause {
    /// Decides why a machine ended.
    #[must_use]
    pub fn of(facts: EndFacts) -> Self {
        // A cause outside the VMM takes precedence over what the guest was about to do.
        if let Some(cause) = Self::from_outside(&facts) {
            return cause;
        }
        if let Some(cause) = Self::from_inside(facts.kernel, facts.announced, facts.has_console) {
            return cause;
        }
        match (facts.exit, facts.announced) {
            (VmmExit::Status(_), _) if facts.has_console => Self::Reset,
            (VmmExit::Status(_), Announced::Nothing) => Self::ResetAtWork,
            (VmmExit::Status(_), Announced::Unheard | Announced::WayOut(_)) => Self::ResetUnseen,
            (VmmExit::Signal(_) | VmmExit::Unknown, _) => Self::Unknown,
        }
    }

    /// Tells whether a guest that gives no sign of life has ended although its VMM still runs, and why.
    #[must_use]
    pub fn of_silent(facts: &SilentFacts<'_>) -> Option<Self> {
        match (&facts.kernel, facts.announced) {
            (Some(KernelWord::Halt | KernelWord::PowerOff), announced) => {
                return Self::from_inside(facts.kernel.clone(), announced, true);
            }
            // The announcement comes before the last writes to the disks, so only a guest that has become idle has ended.
            (None, Announced::WayOut(WayOut::PowerOff)) if facts.still_for >= STILL_MIN => {
                return Some(Self::PoweredOff);
            }
            (None, Announced::WayOut(WayOut::Halt | WayOut::Unknown)) if facts.still_for >= STILL_MIN => {
                return Some(Self::Halted);
            }
            (Some(KernelWord::Restart | KernelWord::Panic(_)) | None, _) => {}
        }
        tells_processor_error(facts.vmm_words).then_some(Self::ProcessorError)
    }

    /// Returns the cause that the guest itself gave, if there is one.
    fn from_inside(kernel: Option<KernelWord>, announced: Announced, has_console: bool) -> Option<Self> {
        let way = match announced {
            Announced::WayOut(way) => Some(way),
            Announced::Unheard | Announced::Nothing => None,
        };
        Some(match (kernel, way) {
            (Some(KernelWord::Panic(reason)), _) => Self::Panicked { reason },
            // A kernel that cannot switch the power off halts, and our agent ends every machine by a restart.
            (Some(KernelWord::Restart | KernelWord::Halt) | None, Some(WayOut::PowerOff))
            | (Some(KernelWord::PowerOff), _) => Self::PoweredOff,
            (Some(KernelWord::Restart) | None, Some(WayOut::Halt)) | (Some(KernelWord::Halt), _) => {
                Self::Halted
            }
            (Some(KernelWord::Restart), _) | (None, Some(WayOut::Reboot)) => Self::Rebooted,
            // With a console the kernel would have said so.
            (None, Some(WayOut::Unknown)) if !has_console => Self::Rebooted,
            (None, Some(WayOut::Unknown) | None) => return None,
        })
    }

    fn from_outside(facts: &EndFacts) -> Option<Self> {
        match facts.exit {
            VmmExit::Signal(signal) if FAULTS.contains(&signal) => return Some(Self::Crashed { signal }),
            VmmExit::Signal(KILL) if facts.memory != MemoryKill::No => {
                return Some(Self::OutOfMemory { is_certain: facts.memory == MemoryKill::Certain });
            }
            VmmExit::Signal(signal) => return Some(Self::Killed { signal, by: None }),
            // How the process ended is not known, but the host's kernel reported that it killed it.
            VmmExit::Unknown if facts.memory == MemoryKill::Certain => {
                return Some(Self::OutOfMemory { is_certain: true });
            }
            VmmExit::Status(_) | VmmExit::Unknown => {}
        }
        if let Some((signal, by)) = terminated(&facts.vmm_words) {
            return Some(Self::Killed { signal, by });
        }
        if tells_processor_error(&facts.vmm_words) {
            return Some(Self::ProcessorError);
        }
        match facts.exit {
            VmmExit::Status(status) if status != 0 => Some(Self::Failed { status }),
            VmmExit::Status(_) | VmmExit::Signal(_) | VmmExit::Unknown => None,
        }
    }

    /// Tells whether the guest ended on purpose.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        match self {
            Self::PoweredOff | Self::Halted | Self::Rebooted | Self::ResetUnseen => true,
            Self::Panicked { .. }
            | Self::Reset
            | Self::ResetAtWork
            | Self::Killed { .. }
            | Self::OutOfMemory { .. }
            | Self::ProcessorError
            | Self::Crashed { .. }
            | Self::Failed { .. }
            | Self::Unknown => false,
        }
    }

    /// Tells whether the guest expects to be started again.
    #[must_use]
    pub fn wants_restart(&self) -> bool {
        matches!(self, Self::Rebooted | Self::ResetUnseen)
    }

    /// Tells whether the VMM's output may explain this end.
    #[must_use]
    pub fn is_of_vmm(&self) -> bool {
        matches!(self, Self::Crashed { .. } | Self::Failed { .. } | Self::ProcessorError | Self::Unknown)
    }
}

impl std::fmt::Display for EndCause {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PoweredOff => formatter.write_str("the guest powered off"),
            Self::Halted => formatter.write_str("the guest halted"),
            Self::Rebooted => formatter.write_str("the guest rebooted"),
            Self::Panicked { reason } => write!(formatter, "the guest's kernel panicked: {reason}"),
            Self::Reset => formatter.write_str(
                "the guest was reset without a message from its kernel (a triple fault or a forced reset)",
            ),
            Self::ResetAtWork => {
                formatter.write_str("the guest crashed, or was reset by force: it had not begun to shut down")
            }
            Self::ResetUnseen => formatter
                .write_str("the guest rebooted or crashed; without a serial console the cause is unknown"),
            Self::Killed { signal, by: None } => {
                write!(formatter, "its VMM was killed from outside, by signal {signal}")
            }
            Self::Killed { signal, by: Some(by) } => {
                write!(formatter, "its VMM was ended from outside, by signal {signal} from {by}")
            }
            Self::OutOfMemory { is_certain: true } => {
                formatter.write_str("the host ran out of memory and killed its VMM")
            }
            Self::OutOfMemory { is_certain: false } => {
                formatter.write_str("its VMM was killed, most likely because the host ran out of memory")
            }
            Self::ProcessorError => {
                formatter.write_str("its virtual processor stopped: an internal error of KVM")
            }
            Self::Crashed { signal } => write!(formatter, "its VMM crashed (signal {signal})"),
            Self::Failed { status } => write!(formatter, "its VMM exited with status {status}"),
            Self::Unknown => {
                formatter.write_str("its VMM ended without a message: it was killed, or it crashed")
            }
        }
    }
}

impl KernelWord {
    /// Finds the kernel's last message in the tail of a console log. Sources: `kernel/reboot.c`, `kernel/panic.c` of Linux;
    /// these messages have the highest level, so `quiet` does not hide them.
    #[must_use]
    pub fn last_in(console: &str) -> Option<Self> {
        console.lines().rev().find_map(|line| Self::of_line(without_time(line.trim())))
    }

    fn of_line(line: &str) -> Option<Self> {
        if let Some(word) = line.strip_prefix("reboot: ") {
            return match word {
                "Power down" => Some(Self::PowerOff),
                "System halted" => Some(Self::Halt),
                word if word.starts_with("Restarting system") => Some(Self::Restart),
                _ => None,
            };
        }
        // Asked for by hand (`sysrq`): the kernel resets the machine without a further word.
        if line == "sysrq: Resetting" || line == "sysrq: SysRq : Resetting" {
            return Some(Self::Restart);
        }
        let line = line.strip_prefix("---[ end ").unwrap_or(line);
        let reason = line.strip_prefix("Kernel panic - not syncing: ")?;
        Some(Self::Panic(cut(reason.trim_end_matches(" ]---"))))
    }
}

/// Removes the kernel's timestamp from a line: `[    1.523976] reboot: …`.
fn without_time(line: &str) -> &str {
    let Some((time, rest)) = line.strip_prefix('[').and_then(|line| line.split_once("] ")) else {
        return line;
    };
    let is_time = time.chars().all(|character| character.is_ascii_digit() || " .TC".contains(character));
    if is_time { rest } else { line }
}

fn cut(reason: &str) -> String {
    reason.chars().filter(|character| !character.is_control()).take(REASON_CHARS_MAX).collect()
}

/// Parses QEMU's message about a signal: `qemu-system-x86_64: terminating on signal 15 from pid 4711 (kill)`.
fn terminated(words: &str) -> Option<(i32, Option<String>)> {
    let (_, said) = words.lines().rev().find_map(|line| line.split_once(": terminating on signal "))?;
    let (signal, by) = said.split_once(" from pid ").unwrap_or((said, ""));
    let by = (!by.is_empty()).then(|| format!("process {}", cut(by.trim())));
    Some((signal.trim().parse().ok()?, by))
}

/// Tells whether the VMM reports an internal error of KVM. QEMU prints `KVM internal error. Suberror: 1` and keeps running
/// with its processors stopped. Firecracker prints `Received KVM_EXIT_INTERNAL_ERROR` or `Unexpected exit reason on vcpu
/// run: InternalError`.
fn tells_processor_error(words: &str) -> bool {
    ["KVM internal error", "KVM_EXIT_INTERNAL_ERROR", "run: InternalError", "KVM: entry failed"]
        .iter()
        .any(|sign| words.contains(sign))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts(exit: VmmExit, kernel: Option<KernelWord>) -> EndFacts {
        let (announced, memory) = (Announced::Unheard, MemoryKill::No);
        EndFacts { exit, kernel, announced, has_console: true, vmm_words: String::new(), memory }
    }

    fn panic() -> KernelWord {
        KernelWord::Panic("sysrq triggered crash".into())
    }

    #[test]
    fn ends_are_told_apart() {
        use VmmExit::{Signal, Status, Unknown};
        for (exit, kernel, told) in [
            (Status(0), Some(KernelWord::Restart), "the guest rebooted"),
            (Unknown, Some(KernelWord::Restart), "the guest rebooted"),
            (Status(0), Some(KernelWord::PowerOff), "the guest powered off"),
            (Status(0), Some(KernelWord::Halt), "the guest halted"),
            (Status(0), Some(panic()), "the guest's kernel panicked: sysrq triggered crash"),
            (Unknown, Some(panic()), "the guest's kernel panicked: sysrq triggered crash"),
            (
                Status(0),
                None,
                "the guest was reset without a message from its kernel (a triple fault or a forced reset)",
            ),
            (Signal(9), None, "its VMM was killed from outside, by signal 9"),
            // A guest that is about to power off can still be killed from outside.
            (Signal(9), Some(KernelWord::PowerOff), "its VMM was killed from outside, by signal 9"),
            (Signal(15), None, "its VMM was killed from outside, by signal 15"),
            (Signal(11), None, "its VMM crashed (signal 11)"),
            (Signal(6), Some(panic()), "its VMM crashed (signal 6)"),
            (Status(1), None, "its VMM exited with status 1"),
            (Unknown, None, "its VMM ended without a message: it was killed, or it crashed"),
        ] {
            assert_eq!(EndCause::of(facts(exit, kernel)).to_string(), told);
        }
    }

    #[test]
    fn a_kill_for_want_of_memory_is_no_other_kill() {
        for (exit, memory, told) in [
            (VmmExit::Signal(9), MemoryKill::Certain, "the host ran out of memory and killed its VMM"),
            (VmmExit::Unknown, MemoryKill::Certain, "the host ran out of memory and killed its VMM"),
            (
                VmmExit::Signal(9),
                MemoryKill::Likely,
                "its VMM was killed, most likely because the host ran out of memory",
            ),
            // Another process was killed, and this one ended by itself.
            (
                VmmExit::Unknown,
                MemoryKill::Likely,
                "its VMM ended without a message: it was killed, or it crashed",
            ),
            (VmmExit::Signal(11), MemoryKill::Likely, "its VMM crashed (signal 11)"),
        ] {
            assert_eq!(EndCause::of(EndFacts { memory, ..facts(exit, None) }).to_string(), told);
        }
    }

    #[test]
    fn what_the_vmm_said_counts() {
        for (exit, words, told) in [
            (
                VmmExit::Status(0),
                "qemu-system-x86_64: terminating on signal 15 from pid 4711 (kill)",
                "its VMM was ended from outside, by signal 15 from process 4711 (kill)",
            ),
            (
                VmmExit::Unknown,
                "network: hello\nqemu-system-x86_64: terminating on signal 2",
                "its VMM was killed from outside, by signal 2",
            ),
            (
                VmmExit::Status(148),
                "[anonymous-instance:fc_vcpu 0:ERROR] Received KVM_EXIT_INTERNAL_ERROR signal",
                "its virtual processor stopped: an internal error of KVM",
            ),
            (VmmExit::Status(3), "no such device", "its VMM exited with status 3"),
        ] {
            let facts = EndFacts { vmm_words: words.into(), ..facts(exit, None) };
            assert_eq!(EndCause::of(facts).to_string(), told);
        }
    }

    #[test]
    fn a_guest_without_a_console_is_believed_to_reboot() {
        let cause = EndCause::of(EndFacts { has_console: false, ..facts(VmmExit::Status(0), None) });
        assert_eq!(cause, EndCause::ResetUnseen);
        assert!(cause.wants_restart());
        assert!(!EndCause::of(facts(VmmExit::Status(0), None)).wants_restart());
    }

    #[test]
    fn without_a_word_of_the_kernel_the_announcement_tells() {
        use Announced::{Nothing, Unheard};
        let way = Announced::WayOut;
        let exited = VmmExit::Status(0);
        for (exit, kernel, announced, has_console, cause) in [
            (exited, None, way(WayOut::Reboot), false, EndCause::Rebooted),
            (exited, None, way(WayOut::PowerOff), false, EndCause::PoweredOff),
            (exited, None, way(WayOut::Halt), false, EndCause::Halted),
            (exited, None, way(WayOut::Unknown), false, EndCause::Rebooted),
            (exited, None, Nothing, false, EndCause::ResetAtWork),
            (exited, None, Unheard, false, EndCause::ResetUnseen),
            // The next daemon did not see how the VMM exited.
            (VmmExit::Unknown, None, way(WayOut::Reboot), false, EndCause::Rebooted),
            (VmmExit::Unknown, None, way(WayOut::Unknown), false, EndCause::Rebooted),
            (VmmExit::Unknown, None, Nothing, false, EndCause::Unknown),
            (exited, None, way(WayOut::Reboot), true, EndCause::Rebooted),
            (exited, None, way(WayOut::Unknown), true, EndCause::Reset),
            (exited, None, Nothing, true, EndCause::Reset),
            // The kernel's message comes last and takes precedence.
            (exited, Some(panic()), way(WayOut::Reboot), true, EndCause::of(facts(exited, Some(panic())))),
            (exited, Some(KernelWord::PowerOff), way(WayOut::Reboot), true, EndCause::PoweredOff),
            (exited, Some(KernelWord::Restart), way(WayOut::Unknown), true, EndCause::Rebooted),
            // The kernel's own way to carry out what was announced.
            (exited, Some(KernelWord::Restart), way(WayOut::PowerOff), true, EndCause::PoweredOff),
            (exited, Some(KernelWord::Restart), way(WayOut::Halt), true, EndCause::Halted),
            (exited, Some(KernelWord::Halt), way(WayOut::PowerOff), true, EndCause::PoweredOff),
            (VmmExit::Signal(9), None, way(WayOut::Reboot), false, EndCause::Killed { signal: 9, by: None }),
        ] {
            let facts = EndFacts { announced, has_console, ..facts(exit, kernel.clone()) };
            assert_eq!(EndCause::of(facts), cause, "{exit:?} {kernel:?} {announced:?} {has_console}");
        }
    }

    #[test]
    fn a_silent_guest_is_at_its_end_when_it_said_so_and_does_nothing_any_more() {
        use Announced::{Nothing, Unheard};
        let way = Announced::WayOut;
        let (briefly, long) = (STILL_MIN / 2, STILL_MIN);
        for (kernel, announced, vmm_words, still_for, cause) in [
            (Some(KernelWord::Halt), Unheard, "", Duration::ZERO, Some(EndCause::Halted)),
            (Some(KernelWord::Halt), way(WayOut::PowerOff), "", Duration::ZERO, Some(EndCause::PoweredOff)),
            (Some(KernelWord::PowerOff), Nothing, "", Duration::ZERO, Some(EndCause::PoweredOff)),
            (None, way(WayOut::PowerOff), "", long, Some(EndCause::PoweredOff)),
            (None, way(WayOut::Halt), "", long, Some(EndCause::Halted)),
            (None, way(WayOut::Unknown), "", long, Some(EndCause::Halted)),
            // It may still write.
            (None, way(WayOut::PowerOff), "", briefly, None),
            (None, way(WayOut::Unknown), "", briefly, None),
            // A restart ends the VMM by itself.
            (None, way(WayOut::Reboot), "", long, None),
            // Busy, or paused.
            (None, Nothing, "", long, None),
            (None, Unheard, "", long, None),
            (Some(panic()), Unheard, "", long, None),
            (
                None,
                Unheard,
                "KVM internal error. Suberror: 1",
                Duration::ZERO,
                Some(EndCause::ProcessorError),
            ),
        ] {
            let facts = SilentFacts { kernel: kernel.clone(), announced, vmm_words, still_for };
            assert_eq!(EndCause::of_silent(&facts), cause, "{kernel:?} {announced:?} {still_for:?}");
        }
    }

    #[test]
    fn only_a_reboot_starts_again_and_only_what_is_meant_is_clean() {
        let of = |kernel| EndCause::of(facts(VmmExit::Status(0), kernel));
        let clean = [KernelWord::Restart, KernelWord::PowerOff, KernelWord::Halt];
        assert_eq!(clean.clone().map(|word| of(Some(word)).is_clean()), [true; 3]);
        assert_eq!(clean.map(|word| of(Some(word)).wants_restart()), [true, false, false]);
        assert!(!of(Some(panic())).is_clean() && !of(Some(panic())).wants_restart());
        assert!(!of(None).is_clean());
    }

    #[test]
    fn the_last_word_of_a_console_counts() {
        let word = |console: &str| KernelWord::last_in(console);
        assert_eq!(word("[    9.1] reboot: Restarting system\r\n"), Some(KernelWord::Restart));
        assert_eq!(word("reboot: Restarting system with command 'now'\n\n"), Some(KernelWord::Restart));
        assert_eq!(word("[    9.1][    T1] reboot: Power down\n"), None, "an unknown form is no word");
        assert_eq!(word("[    9.123456] reboot: Power down"), Some(KernelWord::PowerOff));
        assert_eq!(word("[    9.1] sysrq: Resetting\r\n"), Some(KernelWord::Restart));
        assert_eq!(word("[    9.1] sysrq: Show State"), None);
        assert_eq!(
            word("[ 1.0] reboot: Restarting system\n[ 2.0] reboot: System halted"),
            Some(KernelWord::Halt)
        );
        assert_eq!(
            word("[ 1.5] Kernel panic - not syncing: Fatal exception\u{1b}[31m\n[ 1.6] Call Trace:\n"),
            Some(KernelWord::Panic("Fatal exception[31m".into()))
        );
        assert_eq!(
            word("[ 2.5] ---[ end Kernel panic - not syncing: x ]---"),
            Some(KernelWord::Panic("x".into()))
        );
        for silent in ["", "login: reboot: Power down", "echo [x] reboot: Power down", "reboot: later"] {
            assert_eq!(word(silent), None, "{silent}");
        }
    }

    proptest! {
        #[test]
        fn any_console_and_any_words_have_an_answer(console in ".{0,300}", words in ".{0,300}", status in -2..300) {
            let kernel = KernelWord::last_in(&console);
            let facts = EndFacts { vmm_words: words, ..facts(VmmExit::Status(status), kernel) };
            prop_assert!(!EndCause::of(facts).to_string().is_empty());
        }
    }
}
