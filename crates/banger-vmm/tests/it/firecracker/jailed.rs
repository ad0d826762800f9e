//! The contract once more with Firecracker's own jailer, and what a jailed Firecracker can and cannot.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use banger_conformance::{Does, Guest, LINE, Rig, skipped, suite, trial, until_console_says};
use banger_vmm::firecracker::{Firecracker, JailFacts, JailWish, Tuning};
use banger_vmm::{Machine, MemorySource, RestorePlan, SnapshotFiles, SnapshotKind, StartError, Vmm};
use libtest_mimic::Trial;

use super::{GUEST, IN_CELL, program};

pub(super) const SUITE: &str = "firecracker-jailed";

pub(super) fn driver() -> Arc<dyn Vmm> {
    Arc::new(jailed())
}

pub(super) fn trials() -> Vec<Trial> {
    if let Some(why) = why_not() {
        return vec![skipped("firecracker-jailed", &why)];
    }
    let guest: Arc<dyn Guest> = Arc::new(GUEST);
    let mut trials = suite(SUITE, driver, &guest);
    trials.extend([
        trial("firecracker-jailed::it_is_a_user_of_its_own_without_any_right", user),
        trial("firecracker-jailed::its_files_are_links_and_it_sees_no_others", files),
        trial("firecracker-jailed::what_it_links_to_survives_it", links),
        trial("firecracker-jailed::the_next_machine_may_be_in_a_cell_or_a_jail", next_machine),
        trial("firecracker-jailed::a_snapshot_is_taken_and_restored", snapshot),
        trial("firecracker-jailed::a_jailer_that_refuses_is_told_in_its_words", refusal),
    ]);
    trials
}

/// Returns why nothing can be jailed here.
pub(super) fn why_not() -> Option<String> {
    JailFacts::look(&program().expect("looked for before")).judge().err()
}

pub(super) fn jailed() -> Firecracker {
    super::driver().with_tuning(Tuning { jailer: JailWish::Always, ..IN_CELL })
}

async fn running(rig: &Rig) -> (Box<dyn Machine>, String) {
    let machine = jailed().start(&rig.plan).await.unwrap();
    until_console_says(&machine.handle().console_log, LINE).await;
    let process = format!("/proc/{}", machine.handle().process.pid);
    (machine, process)
}

async fn user() {
    let rig = GUEST.rig(Does::Halt);
    let (machine, process) = running(&rig).await;
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    for (name, wanted) in
        [("CapInh:", "0000000000000000"), ("CapPrm:", "0000000000000000"), ("CapEff:", "0000000000000000")]
    {
        assert_eq!(field(name), wanted, "{name}");
    }
    let users: Vec<u32> = field("Uid:").split_whitespace().map(|user| user.parse().unwrap()).collect();
    assert!(users[0] > 1_000_000_000 && users.iter().all(|user| *user == users[0]), "{users:?}");
    assert_eq!((field("NoNewPrivs:"), field("Seccomp:"), field("Groups:")), ("1", "2", ""));
    assert!(field("NSpid:").ends_with("\t1"), "{status}");
    for name in ["mnt", "net", "pid", "ipc", "uts"] {
        let of = |process: &str| fs::read_link(format!("{process}/ns/{name}")).unwrap();
        assert_ne!(of(&process), of("/proc/self"), "{name}");
    }
    machine.kill().await.unwrap();
}

/// What a process sees below its root, without directories.
fn tree(root: &Path, below: &str) -> Vec<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{below}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            all.extend(tree(&entry.path(), &name));
        } else {
            all.push(name);
        }
    }
    all.sort();
    all
}

async fn files() {
    let rig = GUEST.rig(Does::Halt);
    let (machine, process) = running(&rig).await;
    let mut seen = tree(&Path::new(&process).join("root"), "");
    seen.retain(|name| !name.starts_with("/dev/") && !name.starts_with("/firecracker"));
    assert_eq!(
        seen,
        [
            "/machine/drives/base",
            "/machine/drives/overlay",
            "/machine/firecracker.log",
            "/machine/initramfs",
            "/machine/kernel",
            "/machine/metrics",
            "/machine/run/channel.sock",
            "/machine/run/channel.sock_1026",
            "/machine/run/control.sock",
        ]
    );
    let drives: Vec<_> = rig.plan.drives.iter().map(|drive| fs::metadata(&drive.path).unwrap()).collect();
    assert_eq!(drives.iter().map(MetadataExt::nlink).collect::<Vec<_>>(), [2, 2]);
    // The shared one stays root's: the machine's user can but read it.
    assert_eq!((drives[0].uid(), drives[0].mode() & 0o022), (0, 0));
    assert_ne!(drives[1].uid(), 0);
    machine.kill().await.unwrap();
    assert_eq!(fs::metadata(&rig.plan.drives[1].path).unwrap().nlink(), 1);
}

/// A Firecracker that its guest has taken over can make links where it may write; who cleans up does not follow them.
async fn links() {
    let rig = GUEST.rig(Does::Halt);
    let (machine, _) = running(&rig).await;
    let jail: PathBuf = machine.handle().jail.clone().unwrap();
    let precious = rig.path("precious");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("file"), "content").unwrap();
    let root =
        fs::read_dir(jail.join(program().unwrap().file_name().unwrap())).unwrap().next().unwrap().unwrap();
    for directory in [root.path().join("root"), rig.plan.state_directory.join("outbox")] {
        symlink(&precious, directory.join("state")).unwrap();
        symlink(precious.join("file"), directory.join("memory")).unwrap();
    }
    machine.kill().await.unwrap();
    assert!(!jail.exists());
    assert_eq!(fs::read_to_string(precious.join("file")).unwrap(), "content");
    assert_eq!(fs::metadata(precious.join("file")).unwrap().uid(), 0);
}

async fn next_machine() {
    let rig = GUEST.rig(Does::Drives);
    for is_jailed in [true, false, true] {
        let driver = if is_jailed { jailed() } else { super::driver() };
        let machine = driver.start(&rig.plan).await.unwrap();
        assert_eq!(machine.handle().jail.is_some(), is_jailed);
        until_console_says(&machine.handle().console_log, ": written").await;
        machine.kill().await.unwrap();
    }
}

async fn snapshot() {
    let rig = GUEST.rig(Does::Tick);
    let (machine, _) = running(&rig).await;
    let files = SnapshotFiles { state: rig.path("state"), memory: rig.path("memory") };
    machine.pause().await.unwrap();
    machine.snapshot(&files, SnapshotKind::Full).await.unwrap();
    machine.kill().await.unwrap();
    for memory in [MemorySource::File, MemorySource::Pager] {
        let from = RestorePlan { snapshot: files.clone(), memory, notes_writes: false };
        let restored = jailed().restore(&rig.plan, &from).await.unwrap();
        // Pages are handed over by a process that a jailer would cut off.
        assert_eq!(restored.handle().jail.is_some(), memory == MemorySource::File);
        restored.resume().await.unwrap();
        until_console_says(&restored.handle().console_log, ".").await;
        restored.kill().await.unwrap();
    }
}

async fn refusal() {
    let rig = GUEST.rig(Does::Halt);
    fs::copy(program().unwrap(), rig.path("firecracker")).unwrap();
    let words = b"#!/bin/sh\necho no room in this jail >&2; exit 1\n";
    banger_sys::files::write_atomic(&rig.path("jailer"), words, 0o755).unwrap();
    let driver = super::driver_of(rig.path("firecracker"));
    // Where it need not be, the cell does.
    let either = driver.clone().with_tuning(Tuning { jailer: JailWish::Auto, ..IN_CELL });
    let machine = either.start(&rig.plan).await.unwrap();
    assert_eq!(machine.handle().jail, None);
    assert!(machine.warnings()[0].ends_with("no room in this jail"), "{:?}", machine.warnings());
    machine.kill().await.unwrap();
    let driver = driver.with_tuning(Tuning { jailer: JailWish::Always, ..IN_CELL });
    match driver.start(&rig.plan).await.err() {
        Some(StartError::Refused { stderr, .. }) => assert_eq!(stderr, "no room in this jail"),
        other => panic!("{other:?}"),
    }
    assert_eq!((rig.processes(), rig.runtime_names()), (vec![], vec![]));
    assert!(!rig.plan.state_directory.join("jail").exists());
}
