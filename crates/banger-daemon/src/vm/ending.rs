//! How a machine ended, in words: the facts are collected here, what they mean is a rule of the model.

use std::fmt;

use banger_model::{Announced, EndCause, EndFacts, KernelWord, MemoryKill, VmmExit};
use banger_sys::memory_kill::{KillCount, is_in_kernel_log};
use banger_vmm::{LastWords, MachineEnd, MachineHandle};

const KILL: i32 = 9;

/// How a machine ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Why.
    pub cause: EndCause,
    /// The last thing that its VMM said, where that may explain it.
    pub vmm_word: Option<String>,
}

impl Ending {
    /// Collects the facts about a machine that has ended. `kills` is of the time when it began.
    pub(super) fn of(
        handle: &MachineHandle,
        end: MachineEnd,
        kills: Option<&KillCount>,
        announced: Announced,
    ) -> Self {
        let words = LastWords::of(handle);
        let exit = match end {
            MachineEnd::Exited(status) => VmmExit::Status(status),
            MachineEnd::Signaled(signal) => VmmExit::Signal(signal),
            MachineEnd::Unknown => VmmExit::Unknown,
        };
        let cause = EndCause::of(EndFacts {
            exit,
            kernel: KernelWord::last_in(&words.console),
            announced,
            has_console: words.has_console,
            vmm_words: words.vmm.join("\n"),
            memory: memory_kill(exit, handle.process.pid, kills),
        });
        Self::new(cause, words.vmm.last().cloned())
    }

    /// Puts a cause and what the VMM said last together.
    #[must_use]
    pub fn new(cause: EndCause, vmm_word: Option<String>) -> Self {
        let vmm_word = vmm_word.filter(|_| cause.is_of_vmm());
        Self { cause, vmm_word }
    }

    /// Of a machine about which nothing is known.
    pub(super) fn unknown() -> Self {
        Self::new(EndCause::Unknown, None)
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.vmm_word {
            Some(word) => write!(formatter, "{}; its VMM said last: {word}", self.cause),
            None => write!(formatter, "{}", self.cause),
        }
    }
}

/// Only a kill can be one for want of memory, and only then is the kernel's log worth reading.
fn memory_kill(exit: VmmExit, pid: u32, kills: Option<&KillCount>) -> MemoryKill {
    match exit {
        VmmExit::Signal(KILL) | VmmExit::Unknown if is_in_kernel_log(pid) => MemoryKill::Certain,
        VmmExit::Signal(KILL) if kills.is_some_and(KillCount::has_grown) => MemoryKill::Likely,
        VmmExit::Signal(_) | VmmExit::Status(_) | VmmExit::Unknown => MemoryKill::No,
    }
}
