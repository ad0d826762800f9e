//! The processes that hold a socket: `/proc/<pid>/fd/<n>` is a link to `socket:[<inode>]` (`proc_pid_fd(5)`).

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
};

use banger_agent_proto::ListenerProcess;

/// Finds the processes that hold these sockets, lowest number first. Processes that end meanwhile are left out.
pub(super) fn of(proc: &Path, inodes: &HashSet<u64>) -> HashMap<u64, Vec<ListenerProcess>> {
    let mut owners: HashMap<u64, Vec<ListenerProcess>> = HashMap::new();
    if inodes.is_empty() {
        return owners;
    }
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    let mut pids: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    for pid in pids {
        let directory = proc.join(pid.to_string());
        let held: HashSet<u64> = sockets_of(&directory).filter(|inode| inodes.contains(inode)).collect();
        if held.is_empty() {
            continue;
        }
        let name = fs::read(directory.join("comm")).unwrap_or_default();
        let name = String::from_utf8_lossy(name.strip_suffix(b"\n").unwrap_or(&name)).into_owned();
        for inode in held {
            owners.entry(inode).or_default().push(ListenerProcess { pid, name: name.clone() });
        }
    }
    owners
}

fn sockets_of(process: &Path) -> impl Iterator<Item = u64> {
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    descriptors.filter_map(|descriptor| {
        let target = fs::read_link(descriptor.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn everybody_who_holds_a_socket_is_found_once() {
        let proc = tempfile::tempdir().unwrap();
        let process = |pid: &str, comm: &[u8], links: &[&str]| {
            let directory = proc.path().join(pid);
            fs::create_dir_all(directory.join("fd")).unwrap();
            fs::write(directory.join("comm"), comm).unwrap();
            for (number, link) in links.iter().enumerate() {
                symlink(link, directory.join("fd").join(number.to_string())).unwrap();
            }
        };
        process("10", b"nginx\n", &["/dev/null", "socket:[5]", "socket:[5]", "socket:[6]"]);
        process("9", b"master\xff\n", &["socket:[5]", "pipe:[5]"]);
        process("self", b"x\n", &["socket:[5]"]);
        process("11", b"other\n", &["socket:[7]"]);
        let owners = of(proc.path(), &HashSet::from([5, 8]));
        let holders: Vec<_> = owners[&5].iter().map(|process| (process.pid, process.name.as_str())).collect();
        assert_eq!(holders, [(9, "master\u{fffd}"), (10, "nginx")]);
        assert_eq!(owners.len(), 1);
    }
}
