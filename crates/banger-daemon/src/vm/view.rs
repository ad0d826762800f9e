//! A VM as clients see it.

use banger_api::VmView;
use banger_store::VmRow;
use jiff::Timestamp;

/// Returns the view of a row, with the process of its machine when it runs.
pub(super) fn view(row: &VmRow, pid: Option<u32>) -> VmView {
    VmView {
        id: row.id.clone(),
        name: row.name.clone(),
        state: row.state,
        image: row.spec.image.clone(),
        kernel: row.spec.kernel.clone(),
        vcpus: row.spec.vcpus,
        memory_mib: row.spec.memory,
        disk_bytes: row.spec.work_disk,
        created_at: time_text(row.created_at_ms),
        started_at: row.started_at_ms.map(time_text),
        vmm: row.vmm.clone(),
        pid,
        boot_id: row.boot_id.clone(),
        last_error: row.last_error.clone(),
    }
}

/// Returns a time as RFC 3339 text.
pub(crate) fn time_text(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds).unwrap_or_default().to_string()
}
