//! What a machine leaves when it ends, for whoever wants to know why: the end of its console, and what its VMM said.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::contract::{MachineHandle, VmmKind};
use crate::machine::{error_log, network_log};

/// How much of a log's end is looked at.
const TAIL_BYTES: u64 = 16 * 1024;
/// Lines of the VMM that are kept.
const LINES_MAX: usize = 12;

/// What a machine has left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastWords {
    /// The end of the console log.
    pub console: String,
    /// Whether the guest had a console to write to.
    pub has_console: bool,
    /// The last lines that the VMM and the processes beside it said, without control characters.
    pub vmm: Vec<String>,
}

impl LastWords {
    /// Reads them. What cannot be read is empty.
    #[must_use]
    pub fn of(handle: &MachineHandle) -> Self {
        let console = tail(&handle.console_log);
        let has_console = match handle.vmm {
            VmmKind::Qemu => true,
            VmmKind::Firecracker => !console.starts_with(crate::firecracker::NO_CONSOLE),
        };
        let vmm = vmm_logs(handle).iter().map(|log| tail(&log.path)).collect::<Vec<_>>().join("\n");
        Self { console, has_console, vmm: lines(&vmm) }
    }
}

/// A log of a machine, and the program that writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramLog {
    /// The program, as users know it.
    pub program: &'static str,
    /// The file. It may be missing.
    pub path: PathBuf,
}

/// Returns the logs of a machine's VMM and of the processes beside it; what comes last tells most.
#[must_use]
pub fn vmm_logs(handle: &MachineHandle) -> Vec<ProgramLog> {
    let errors = error_log(&handle.console_log);
    let network = ProgramLog { program: "network", path: network_log(&handle.console_log) };
    match handle.vmm {
        VmmKind::Qemu => vec![network, ProgramLog { program: "qemu", path: errors }],
        VmmKind::Firecracker => {
            let own = errors.with_file_name(crate::firecracker::LOG_FILE);
            let of_vmm = [errors, own].map(|path| ProgramLog { program: "firecracker", path });
            [network].into_iter().chain(of_vmm).collect()
        }
    }
}

fn tail(log: &Path) -> String {
    let read = || -> io::Result<Vec<u8>> {
        // The directory is the machine's: nothing in it is followed as a link.
        let mut file = File::from(rustix::fs::open(
            log,
            rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )?);
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

/// Keeps the last lines that say something. A log that was shortened under its writer begins with zeros.
fn lines(text: &str) -> Vec<String> {
    let said = text.lines().map(|line| line.trim().chars().filter(|c| !c.is_control()).collect::<String>());
    let mut said: Vec<_> = said.filter(|line| !line.is_empty()).collect();
    said.split_off(said.len().saturating_sub(LINES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_a_vmm_are_kept_and_carry_no_commands_for_a_terminal() {
        let text: String = (0..20).map(|number| format!("line {number}\n\n")).collect();
        let kept = lines(&format!("\0\0{text}\u{1b}[31mKVM internal error. Suberror: 1\r\n"));
        assert_eq!(kept.len(), LINES_MAX);
        assert_eq!(kept.last().unwrap(), "[31mKVM internal error. Suberror: 1");
    }

    #[test]
    fn nothing_that_the_machine_left_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("vmm.log");
        std::os::unix::fs::symlink("/etc/passwd", &log).unwrap();
        assert_eq!(tail(&log), "");
        std::fs::remove_file(&log).unwrap();
        std::fs::write(&log, "x".repeat(20_000)).unwrap();
        assert_eq!(tail(&log).len(), 16 * 1024);
    }
}
