//! `vm list`, `ps` and `vm show`.

use banger_api::VmView;
use banger_sys::paths::Paths;
use jiff::Timestamp;

use crate::ensure::ensure;
use crate::error::CliError;
use crate::exec::find;
use crate::render::{self, ago};

/// Characters of an id that a table shows; any unique beginning is understood.
const SHORT_ID_CHARS: usize = 8;

/// Lists all VMs.
pub(crate) async fn list(paths: &Paths, as_json: bool) -> Result<(), CliError> {
    let client = ensure(paths).await?;
    let vms: Vec<VmView> = client.get("/v1/vms").await?;
    if as_json { render::print_json(&vms) } else { render::print(&vm_table(&vms, Timestamp::now())) }
}

/// Shows one VM.
pub(crate) async fn show(paths: &Paths, typed: &str, as_json: bool) -> Result<(), CliError> {
    let client = ensure(paths).await?;
    let vm = find(&client, typed).await?;
    if as_json { render::print_json(&vm) } else { render::print(&vm_sheet(&vm, Timestamp::now())) }
}

fn vm_table(vms: &[VmView], now: Timestamp) -> String {
    let head = ["ID", "NAME", "STATE", "IMAGE", "VCPU", "MEM", "DISK", "CREATED"];
    let row = |vm: &VmView| {
        vec![
            vm.id.as_str().chars().take(SHORT_ID_CHARS).collect(),
            vm.name.to_string(),
            vm.state.to_string(),
            vm.image.to_string(),
            vm.vcpus.to_string(),
            vm.memory_mib.to_string(),
            vm.disk_bytes.to_string(),
            ago(&vm.created_at, now),
        ]
    };
    render::table(&head, &vms.iter().map(row).collect::<Vec<_>>())
}

fn vm_sheet(vm: &VmView, now: Timestamp) -> String {
    let moment = |moment: &str| format!("{} ({moment})", ago(moment, now));
    let lines = [
        ("name", Some(vm.name.to_string())),
        ("id", Some(vm.id.to_string())),
        ("state", Some(vm.state.to_string())),
        ("image", Some(vm.image.to_string())),
        ("kernel", Some(vm.kernel.to_string())),
        ("vcpus", Some(vm.vcpus.to_string())),
        ("memory", Some(vm.memory_mib.to_string())),
        ("disk", Some(vm.disk_bytes.to_string())),
        ("created", Some(moment(&vm.created_at))),
        ("started", vm.started_at.as_deref().map(moment)),
        ("vmm", vm.vmm.clone()),
        ("pid", vm.pid.map(|pid| pid.to_string())),
        ("boot id", vm.boot_id.clone()),
        ("last error", vm.last_error.clone()),
    ];
    lines.into_iter().filter_map(|(name, value)| Some(format!("{name:<12}{}\n", value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm() -> VmView {
        serde_json::from_value(serde_json::json!({
            "id": "0123456789abcdef", "name": "dev", "state": "failed", "image": "debian-bookworm",
            "kernel": "debian-12", "vcpus": 2, "memory_mib": 1536, "disk_bytes": 8_589_934_592_u64,
            "created_at": "2026-01-01T00:00:00Z", "last_error": "the guest never said hello"
        }))
        .unwrap()
    }

    #[test]
    fn the_list_is_a_table() {
        let now = "2026-01-01T02:00:00Z".parse().unwrap();
        insta::assert_snapshot!(vm_table(&[vm()], now), @r"
        ID        NAME  STATE   IMAGE            VCPU  MEM    DISK  CREATED
        01234567  dev   failed  debian-bookworm  2     1536M  8G    2 hours ago
        ");
        insta::assert_snapshot!(vm_table(&[], now), @"ID  NAME  STATE  IMAGE  VCPU  MEM  DISK  CREATED");
    }

    #[test]
    fn a_vm_is_shown_with_what_is_known() {
        let now = "2026-01-01T02:00:00Z".parse().unwrap();
        insta::assert_snapshot!(vm_sheet(&vm(), now), @r"
        name        dev
        id          0123456789abcdef
        state       failed
        image       debian-bookworm
        kernel      debian-12
        vcpus       2
        memory      1536M
        disk        8G
        created     2 hours ago (2026-01-01T00:00:00Z)
        last error  the guest never said hello
        ");
    }
}
