//! Finds machines that no `machine.json` tells of.
//!
//! The handle is written right after the VMM was started. A daemon that is killed between the two leaves a process
//! that nobody knows; its command line holds the machine's state directory, and that is how it is found. A companion
//! needs no search: it ends when its socket to the VMM closes.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use banger_sys::process::ProcessIdentity;

use crate::contract::MachineHandle;
use crate::launch::kill_process;

/// Returns this user's VMM processes whose command line names a path below `state_root`, with the machine's state
/// directory.
///
/// Run it at the daemon's start, before anything is started: whoever is found and stands in no handle is an orphan.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn find_orphans(
    state_root: &Path,
    known: &[ProcessIdentity],
) -> std::io::Result<Vec<(ProcessIdentity, PathBuf)>> {
    let mut orphans = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Some(identity) = ProcessIdentity::of(pid) else { continue };
        if known.contains(&identity) {
            continue;
        }
        // Other users' processes and those that end meanwhile are not ours to judge.
        let Ok(command_line) = fs::read(entry.path().join("cmdline")) else { continue };
        if let Some(directory) = state_directory(&command_line, state_root) {
            orphans.push((identity, directory));
        }
    }
    Ok(orphans)
}

/// Ends a process that [`find_orphans`] found.
///
/// # Errors
/// As `pidfd_send_signal(2)`.
pub fn end_orphan(orphan: ProcessIdentity) -> std::io::Result<()> {
    kill_process(orphan)
}

/// Tells whether this process was started for this machine: its command line names one of the machine's directories.
pub(crate) fn belongs_to(process: ProcessIdentity, handle: &MachineHandle) -> bool {
    let Ok(command_line) = fs::read(format!("/proc/{}/cmdline", process.pid)) else { return false };
    // QEMU writes a comma of a path as two.
    let command_line = String::from_utf8_lossy(&command_line).replace(",,", ",");
    [&handle.console_log, &handle.channel_socket].into_iter().filter_map(|path| path.parent()).any(
        |directory| {
            let name = directory.to_string_lossy().replace(",,", ",");
            command_line.contains(&name)
        },
    )
}

/// Takes the state directory from where the VMM was told to write its console log.
fn state_directory(command_line: &[u8], state_root: &Path) -> Option<PathBuf> {
    let mut arguments = command_line.split(|byte| *byte == 0);
    let program = Path::new(std::ffi::OsStr::from_bytes(arguments.next()?)).file_name()?;
    if !program.as_bytes().starts_with(b"qemu-system-") {
        return None;
    }
    let chardev = arguments.find_map(|argument| {
        let text = std::str::from_utf8(argument).ok()?;
        text.strip_prefix("file,id=console,path=")?.strip_suffix(",append=on")
    })?;
    let directory = Path::new(&chardev.replace(",,", ",")).parent()?.to_owned();
    directory.starts_with(state_root).then_some(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_vmm_below_the_state_root_is_ours() {
        let line = |program: &str, log: &str| {
            format!("{program}\0-chardev\0file,id=console,path={log},append=on\0").into_bytes()
        };
        let root = Path::new("/home/a,b/vms");
        let find = |line: &[u8]| state_directory(line, root);
        assert_eq!(
            find(&line("/usr/bin/qemu-system-x86_64", "/home/a,,b/vms/1/console.log")),
            Some(PathBuf::from("/home/a,b/vms/1"))
        );
        assert_eq!(find(&line("qemu-system-x86_64", "/home/other/vms/1/console.log")), None);
        assert_eq!(find(&line("vi", "/home/a,,b/vms/1/console.log")), None);
        assert_eq!(find(b""), None);
    }
}
