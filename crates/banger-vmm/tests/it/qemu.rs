//! The QEMU driver against the contract. QEMU is a declared host package: without it these tests fail.

use std::path::PathBuf;
use std::sync::Arc;

use banger_conformance::{Does, Driver, Guest, TinyGuest, network, suite, trial};
use banger_model::WantedVmm;
use banger_vmm::qemu::Qemu;
use banger_vmm::selection::{FirecrackerPlace, HostFacts, choose};
use banger_vmm::{ControlError, RestorePlan, SnapshotFiles, SnapshotKind, StartError, Vmm};
use libtest_mimic::Trial;

const SUITE: &str = "qemu";

/// The suite's driver and guest.
pub(crate) fn of_suite(name: &str) -> Option<(Driver, Arc<dyn Guest>)> {
    let guest: Arc<dyn Guest> = Arc::new(TinyGuest { has_vsock: false });
    (name == SUITE).then_some((qemu, guest))
}

pub(crate) fn trials() -> Vec<Trial> {
    let guest: Arc<dyn Guest> = Arc::new(TinyGuest { has_vsock: false });
    let mut trials = suite(SUITE, qemu, &guest);
    trials.push(trial("qemu::a_snapshot_is_refused_in_words", no_snapshots));
    trials
}

fn qemu() -> Arc<dyn Vmm> {
    let choice = choose(WantedVmm::Qemu, &HostFacts::look(&FirecrackerPlace::Installed(PathBuf::new())))
        .unwrap_or_else(|error| panic!("{error}; these tests need the package qemu-system-x86"));
    Arc::new(Qemu::new(&choice, network()))
}

async fn no_snapshots() {
    let rig = TinyGuest { has_vsock: false }.rig(Does::Halt);
    let qemu = qemu();
    let machine = qemu.start(&rig.plan).await.unwrap();
    let files = SnapshotFiles { state: rig.path("state"), memory: rig.path("memory") };
    let refused = machine.snapshot(&files, SnapshotKind::Full).await.unwrap_err();
    assert!(matches!(refused, ControlError::NotSupported { .. }));
    assert_eq!(refused.to_string(), "QEMU cannot take a snapshot; only Firecracker can");
    machine.kill().await.unwrap();
    let from = RestorePlan { snapshot: files, memory: banger_vmm::MemorySource::File, notes_writes: false };
    let refused = qemu.restore(&rig.plan, &from).await.err().expect("QEMU restores nothing");
    assert!(matches!(refused, StartError::NoSnapshots { .. }), "{refused}");
}
