//! What a Firecracker in its cell can and cannot.

use std::fs;
use std::path::Path;

use banger_conformance::{Does, Guest as _, LINE, trial, until_console_says};
use banger_vmm::{Machine, Vmm as _};
use libtest_mimic::Trial;

use super::{GUEST, driver};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("firecracker::apart::it_is_in_namespaces_of_its_own_without_any_right", namespaces),
        trial("firecracker::apart::it_sees_nothing_but_its_files", files),
        trial("firecracker::apart::shared_files_cannot_be_written", read_only),
        trial("firecracker::apart::nothing_of_ours_stays_beside_it", no_one_beside),
    ]
}

async fn running(rig: &banger_conformance::Rig) -> (Box<dyn Machine>, String) {
    let machine = driver().start(&rig.plan).await.unwrap();
    until_console_says(&machine.handle().console_log, LINE).await;
    let process = format!("/proc/{}", machine.handle().process.pid);
    (machine, process)
}

async fn namespaces() {
    let rig = GUEST.rig(Does::Halt);
    let (machine, process) = running(&rig).await;
    for name in ["user", "mnt", "net", "pid", "ipc", "uts"] {
        let of = |process: &str| fs::read_link(format!("{process}/ns/{name}")).unwrap();
        assert_ne!(of(&process), of("/proc/self"), "{name}");
    }
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    for capabilities in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(capabilities), "0000000000000000", "{capabilities}");
    }
    assert_eq!(field("NoNewPrivs:"), "1");
    // Firecracker's own filters.
    assert_eq!(field("Seccomp:"), "2");
    // Its first process, and with its own number for itself.
    assert!(field("NSpid:").ends_with("\t1"), "{status}");
    let limits = fs::read_to_string(format!("{process}/limits")).unwrap();
    assert!(limits.lines().any(|line| line.starts_with("Max core file size        0")), "{limits}");
    machine.kill().await.unwrap();
}

/// Everything below a directory, without leaving its file system or following links.
fn tree(root: &Path, below: &str) -> Vec<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{below}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            all.extend(tree(&entry.path(), &name));
        }
        all.push(name);
    }
    all.sort();
    all
}

async fn files() {
    let rig = GUEST.rig(Does::Halt);
    let (machine, process) = running(&rig).await;
    let seen = tree(&Path::new(&process).join("root"), "");
    let expected = [
        "/dev",
        "/dev/kvm",
        "/dev/net",
        "/dev/net/tun",
        "/dev/userfaultfd",
        "/firecracker",
        "/machine",
        "/machine/drives",
        "/machine/drives/base",
        "/machine/drives/overlay",
        "/machine/firecracker.log",
        "/machine/initramfs",
        "/machine/kernel",
        "/machine/metrics",
        "/machine/outbox",
        "/machine/run",
        "/machine/run/channel.sock",
        "/machine/run/channel.sock_1026",
        "/machine/run/control.sock",
    ];
    let expected: Vec<_> =
        expected.iter().filter(|name| !name.starts_with("/dev/") || Path::new(name).exists()).collect();
    assert_eq!(
        seen.iter().map(String::as_str).collect::<Vec<_>>(),
        expected.into_iter().copied().collect::<Vec<_>>()
    );
    machine.kill().await.unwrap();
}

async fn read_only() {
    let rig = GUEST.rig(Does::Halt);
    let (machine, process) = running(&rig).await;
    let mounts = fs::read_to_string(format!("{process}/mountinfo")).unwrap();
    let options = |place: &str| -> String {
        let line = mounts
            .lines()
            .find(|line| line.split(' ').nth(4) == Some(place))
            .unwrap_or_else(|| panic!("{mounts}"));
        line.split(' ').nth(5).unwrap().to_owned()
    };
    for place in ["/", "/firecracker", "/machine/kernel", "/machine/initramfs", "/machine/drives/base"] {
        assert!(options(place).split(',').any(|option| option == "ro"), "{place}: {mounts}");
    }
    for place in ["/machine/drives/overlay", "/machine/run", "/machine/outbox"] {
        assert!(options(place).split(',').any(|option| option == "rw"), "{place}: {mounts}");
    }
    machine.kill().await.unwrap();
}

async fn no_one_beside() {
    let rig = GUEST.rig(Does::Halt);
    let (machine, _) = running(&rig).await;
    assert_eq!(rig.processes(), [machine.handle().process.pid]);
    assert!(machine.handle().companions.is_empty());
    machine.kill().await.unwrap();
}
