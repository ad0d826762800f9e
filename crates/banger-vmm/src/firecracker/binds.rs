//! What Firecracker sees of the host, and what it is told on its command line: pure.

use std::path::Path;

use super::cell::{self, Access, Bind};
use super::places::Places;
use crate::contract::{MachinePlan, MemorySource, RestorePlan};

/// Returns everything that Firecracker sees, besides devices.
pub(super) fn binds(plan: &MachinePlan, from: Option<&RestorePlan>, places: &Places) -> Vec<Bind> {
    let bind = |from: &Path, to: &str, access| Bind { from: from.to_owned(), to: to.into(), access };
    let mut binds = vec![
        bind(&places.runtime, cell::RUN, Access::Write),
        bind(&places.vmm_log, cell::LOG, Access::Write),
        bind(&places.metrics, cell::METRICS, Access::Write),
        bind(&places.outbox, cell::OUTBOX, Access::Write),
    ];
    match from {
        None => {
            binds.push(bind(&plan.kernel.vmlinux, cell::KERNEL, Access::Read));
            binds.push(bind(&plan.kernel.initramfs, cell::INITRAMFS, Access::Read));
        }
        Some(RestorePlan { snapshot, memory, .. }) => {
            binds.push(bind(&snapshot.state, cell::SNAPSHOT_STATE, Access::Read));
            match memory {
                MemorySource::File => {
                    binds.push(bind(&snapshot.memory, cell::SNAPSHOT_MEMORY, Access::Read));
                }
                MemorySource::Pager => {}
            }
        }
    }
    for drive in &plan.drives {
        let access = if drive.role.is_writable() { Access::Write } else { Access::Read };
        binds.push(Bind { from: drive.path.clone(), to: cell::drive(drive.role), access });
    }
    binds
}

/// Returns a device of the host, which has the same path inside.
pub(super) fn device(path: &Path) -> Bind {
    Bind { from: path.to_owned(), to: path.to_owned(), access: Access::Write }
}

/// Returns Firecracker's arguments, the same for a boot and a restore. The first two name the VM.
pub(super) fn arguments(plan: &MachinePlan) -> Vec<String> {
    [
        "--id",
        plan.vm.as_str(),
        "--api-sock",
        cell::CONTROL,
        "--log-path",
        cell::LOG,
        "--level",
        "Warning",
        "--metrics-path",
        cell::METRICS,
    ]
    .map(str::to_owned)
    .into()
}
