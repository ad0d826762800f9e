//! Finds machines that no `machine.json` tells of.
//!
//! The handle is written right after the VMM was started. A daemon that is killed between the two leaves a process
//! that nobody knows; its command line holds the machine's state directory or the VM's id, and that is how it is found. A
//! companion needs no search: it ends when its socket to the VMM closes.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use banger_model::VmId;
use banger_sys::process::ProcessIdentity;

use crate::contract::{MachineHandle, VmmKind};
use crate::firecracker;
use crate::handle::{self, HandleError};

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
    orphan.kill()
}

/// Tells whether this process was started for this machine: its command line names one of the machine's directories, or,
/// as Firecracker sees no directory of the host, the VM.
pub(crate) fn belongs_to(process: ProcessIdentity, handle: &MachineHandle) -> bool {
    let Ok(command_line) = fs::read(format!("/proc/{}/cmdline", process.pid)) else { return false };
    match handle.vmm {
        VmmKind::Firecracker => firecrackers_id(&command_line) == Some(handle.vm.as_str()),
        VmmKind::Qemu => names_a_directory_of(&command_line, handle),
    }
}

fn names_a_directory_of(command_line: &[u8], handle: &MachineHandle) -> bool {
    // QEMU writes a comma of a path as two.
    let command_line = String::from_utf8_lossy(command_line).replace(",,", ",");
    [&handle.console_log, &handle.channel_socket].into_iter().filter_map(|path| path.parent()).any(
        |directory| {
            let name = directory.to_string_lossy().replace(",,", ",");
            command_line.contains(&name)
        },
    )
}

/// Finds the state directory of a VMM's machine.
fn state_directory(command_line: &[u8], state_root: &Path) -> Option<PathBuf> {
    if let Some(id) = firecrackers_id(command_line) {
        // Ids are random: a directory of that name is this machine's, or a copy of it.
        let id: VmId = id.parse().ok()?;
        let directory = state_root.join(id.as_str());
        let is_copy = matches!(handle::load(&directory), Err(HandleError::Elsewhere { .. }));
        return (directory.is_dir() && !is_copy).then_some(directory);
    }
    qemus_state_directory(command_line, state_root)
}

/// Takes the VM's id from the command line of a Firecracker, or of a cell that is about to become one.
fn firecrackers_id(command_line: &[u8]) -> Option<&str> {
    let mut arguments = command_line.split(|byte| *byte == 0);
    let program = Path::new(OsStr::from_bytes(arguments.next()?)).file_name()?;
    let mut arguments = arguments.map(|argument| std::str::from_utf8(argument).unwrap_or_default());
    // In a jail it has the name of its file, which may have a version behind it, as the jailer's.
    let is_firecracker = [firecracker::PROGRAM_NAME, firecracker::JAILER_NAME]
        .iter()
        .any(|name| program.as_bytes().starts_with(name.as_bytes()));
    if !is_firecracker && arguments.next() != Some(firecracker::CELL_ARGUMENT) {
        return None;
    }
    while let Some(argument) = arguments.next() {
        // The jailer writes both in one.
        if let Some(id) = argument.strip_prefix("--id=") {
            return Some(id);
        }
        if argument == "--id" {
            return arguments.next();
        }
    }
    None
}

/// Takes it from where QEMU was told to write its console log.
fn qemus_state_directory(command_line: &[u8], state_root: &Path) -> Option<PathBuf> {
    let mut arguments = command_line.split(|byte| *byte == 0);
    let program = Path::new(OsStr::from_bytes(arguments.next()?)).file_name()?;
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

    #[test]
    fn a_firecracker_is_known_by_its_vm() {
        let id = |line: &str| firecrackers_id(line.as_bytes()).map(str::to_owned);
        let vm = "0123456789abcdef";
        for line in [
            format!("firecracker\0--id\0{vm}\0--api-sock\0/machine/run/control.sock\0"),
            format!("/firecracker\0--id={vm}\0--start-time-us=1\0"),
            format!("/usr/bin/bangerd\0cell\0--id\0{vm}\0"),
            format!("/opt/jailer\0--id\0{vm}\0--exec-file\0/opt/firecracker\0"),
            format!("/opt/jailer-v1.15.1-x86_64\0--id\0{vm}\0"),
            format!("/firecracker-v1.15.1-x86_64\0--id\0{vm}\0"),
        ] {
            assert_eq!(id(&line).as_deref(), Some(vm), "{line}");
        }
        for line in ["vi\0--id\0x\0", "bangerd\0", "firecracker\0--api-sock\0/x\0", "firecracker\0--id"] {
            assert_eq!(id(line), None, "{line}");
        }
    }

    #[test]
    fn only_a_firecracker_of_a_vm_below_the_state_root_is_ours() {
        let root = tempfile::tempdir().unwrap();
        let (ours, theirs) = ("0123456789abcdef", "fedcba9876543210");
        std::fs::create_dir(root.path().join(ours)).unwrap();
        let find = |id: &str| state_directory(format!("firecracker\0--id\0{id}\0").as_bytes(), root.path());
        assert_eq!(find(ours), Some(root.path().join(ours)));
        assert_eq!(find(theirs), None);
        assert_eq!(find(".."), None);
        // A copy of the original's directory has the same name, and its machine is not ours.
        let (original, copy) = (tempfile::tempdir().unwrap(), root.path().join(ours));
        let frozen = include_str!("../testdata/machine-1.json");
        let handle: MachineHandle = serde_json::from_str(frozen).unwrap();
        handle::store(original.path(), &handle).unwrap();
        std::fs::copy(original.path().join(handle::HANDLE_FILE), copy.join(handle::HANDLE_FILE)).unwrap();
        assert_eq!(find(ours), None);
    }
}
