//! Finds machines that no `machine.json` tells of.
//!
//! The handle is written right after the VMM was started. A daemon that is killed between the two leaves a process
//! that nobody knows; its command line holds the machine's state directory or the VM's id, and that is how it is found. The
//! directory may be written in another way than today, through a link that is gone by now: the files that the process has
//! open tell its real path. A companion needs no search: it ends when its socket to the VMM closes.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use banger_model::VmId;
use banger_sys::process::ProcessIdentity;

use crate::contract::{MachineHandle, VmmKind};
use crate::firecracker;
use crate::handle::{self, DirectoryIdentity, HandleError};

/// Returns this user's VMM processes whose machine has its state directory in `state_root`, with this directory.
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
        if let Some(directory) = state_directory(&entry.path(), &command_line, state_root) {
            orphans.push((identity, directory));
        }
    }
    Ok(orphans)
}

/// Returns the VMM processes of the machines that have these state directories, each with its directory.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn find_machines_of(directories: &[PathBuf]) -> std::io::Result<Vec<(ProcessIdentity, PathBuf)>> {
    let state_roots: BTreeSet<&Path> =
        directories.iter().filter_map(|directory| directory.parent()).collect();
    let mut found = Vec::new();
    for state_root in state_roots {
        found.extend(find_orphans(state_root, &[])?);
    }
    found.retain(|(_, of)| directories.contains(of));
    Ok(found)
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

/// Finds the state directory of a VMM's machine, whose directory in `/proc` is `process`.
fn state_directory(process: &Path, command_line: &[u8], state_root: &Path) -> Option<PathBuf> {
    if let Some(id) = firecrackers_id(command_line) {
        // Ids are random: a directory of that name is this machine's, or a copy of it.
        let id: VmId = id.parse().ok()?;
        let directory = state_root.join(id.as_str());
        let is_copy = matches!(handle::load(&directory), Err(HandleError::Elsewhere { .. }));
        return (directory.is_dir() && !is_copy).then_some(directory);
    }
    qemus_state_directory(process, command_line, state_root)
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

/// Takes it from where QEMU was told to write its console log, and from what it has open there.
fn qemus_state_directory(process: &Path, command_line: &[u8], state_root: &Path) -> Option<PathBuf> {
    let mut arguments = command_line.split(|byte| *byte == 0);
    let program = Path::new(OsStr::from_bytes(arguments.next()?)).file_name()?;
    if !program.as_bytes().starts_with(b"qemu-system-") {
        return None;
    }
    let chardev = arguments.find_map(|argument| {
        let text = std::str::from_utf8(argument).ok()?;
        text.strip_prefix("file,id=console,path=")?.strip_suffix(",append=on")
    })?;
    let written = Path::new(&chardev.replace(",,", ",")).parent()?.to_owned();
    let name = written.file_name()?;
    let real = open_directory(process, name);
    // Compared by identity: the root can be reached by several paths, and a copy of it has others.
    let found_in = DirectoryIdentity::of(real.as_deref().unwrap_or(&written).parent()?).ok()?;
    (DirectoryIdentity::of(state_root).ok()? == found_in).then(|| state_root.join(name))
}

/// Returns the real path of the directory of this name in which a process has a file open, even a removed one.
fn open_directory(process: &Path, name: &OsStr) -> Option<PathBuf> {
    let open = fs::read_dir(process.join("fd")).ok()?.flatten();
    let directories = open.filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.parent()?.to_owned()));
    directories.into_iter().find(|directory| directory.file_name() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The command line of a QEMU that writes its console log there.
    fn qemu(program: &str, log: &Path) -> Vec<u8> {
        let log = log.display().to_string().replace(',', ",,");
        format!("{program}\0-chardev\0file,id=console,path={log},append=on\0").into_bytes()
    }

    #[test]
    fn only_a_vmm_below_the_state_root_is_ours() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("a,b");
        let log = root.join("1/console.log");
        fs::create_dir(&root).unwrap();
        let find = |line: &[u8]| state_directory(Path::new("/proc/none"), line, &root);
        assert_eq!(find(&qemu("/usr/bin/qemu-system-x86_64", &log)), Some(root.join("1")));
        assert_eq!(find(&qemu("qemu-system-x86_64", &home.path().join("1/console.log"))), None);
        assert_eq!(find(&qemu("qemu-system-x86_64", Path::new("/nowhere/vms/1/console.log"))), None);
        assert_eq!(find(&qemu("vi", &log)), None);
        assert_eq!(find(b""), None);
    }

    #[test]
    fn a_qemu_is_found_after_the_link_it_was_started_through_is_gone_and_never_for_a_copy() {
        let home = tempfile::tempdir().unwrap();
        let [vms, link, copy] = ["vms", "link", "copy"].map(|name| home.path().join(name));
        let disk = vms.join("1/work.ext4");
        for root in [&vms, &copy] {
            fs::create_dir_all(root.join("1")).unwrap();
        }
        // The process has its disk open, as this one has; its arguments name the link.
        let _open = fs::File::create(&disk).unwrap();
        let command_line = qemu("qemu-system-x86_64", &link.join("1/console.log"));
        let find = |root: &Path| state_directory(Path::new("/proc/self"), &command_line, root);
        assert_eq!(find(&vms), Some(vms.join("1")));
        assert_eq!(find(&copy), None);
        // Not even when the link leads to the copy by now, or the disk was removed.
        std::os::unix::fs::symlink(&copy, &link).unwrap();
        fs::remove_file(&disk).unwrap();
        assert_eq!(find(&vms), Some(vms.join("1")));
        assert_eq!(find(&copy), None);
        // Whoever reaches the root by another path finds it as well.
        let other = home.path().join("other");
        std::os::unix::fs::symlink(&vms, &other).unwrap();
        assert_eq!(find(&other), Some(other.join("1")));
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
        let find = |id: &str| {
            let line = format!("firecracker\0--id\0{id}\0");
            state_directory(Path::new("/proc/none"), line.as_bytes(), root.path())
        };
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
