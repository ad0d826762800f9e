//! What must be true whenever a daemon has started: rows, processes and files agree.

use std::collections::BTreeSet;
use std::time::Duration;

use banger_api::VmView;
use banger_model::VmState;
use banger_sys::files::is_staging;

use crate::gate::PATIENCE;
use crate::sandbox::Sandbox;

/// No process without a row, no row without its process, no file without an owner, no work in its middle.
pub async fn assert_rows_are_true(sandbox: &Sandbox, place: &str) {
    let vms = settled(sandbox, place).await;
    for vm in &vms {
        assert_eq!(vm.pending, None, "{place}: {vm:?}");
        assert_eq!(vm.state == VmState::Running, vm.pid.is_some(), "{place}: {vm:?}");
        assert!(!matches!(vm.state, VmState::Starting | VmState::Stopping), "{place}: {vm:?}");
    }
    let ids: BTreeSet<String> = vms.iter().map(|vm| vm.id.to_string()).collect();
    for directory in sandbox.directories() {
        let name = directory.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(ids.contains(&name), "{place}: {} has no owner", directory.display());
        for entry in std::fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap().file_name().into_string().unwrap();
            assert!(!is_staging(&entry), "{place}: {entry} is left in {}", directory.display());
        }
    }
}

/// Returns the VMs once the processes that run are those of their rows. A process to which a dead daemon has sent a
/// signal may end a moment after its successor has found it alive; that end is an event then.
async fn settled(sandbox: &Sandbox, place: &str) -> Vec<VmView> {
    let mut last = (Vec::new(), BTreeSet::new());
    let settling = async {
        loop {
            let vms = sandbox.vms().await;
            let known: BTreeSet<u32> = vms.iter().filter_map(|vm| vm.pid).collect();
            let running: BTreeSet<u32> = sandbox.processes().iter().map(|process| process.pid).collect();
            if known == running {
                return vms;
            }
            last = (vms, running);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let Ok(vms) = tokio::time::timeout(PATIENCE, settling).await else {
        panic!("{place}: {:?} run, and the rows say {:?}", last.1, last.0);
    };
    vms
}
