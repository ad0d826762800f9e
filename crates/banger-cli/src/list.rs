//! `vm list`, `ps` and `vm show`.

use std::fmt::Display;

use banger_api::{ImageView, KernelView, ListQuery, PendingWork, VmCommandView, VmView, route};
use banger_client::Client;
use banger_model::{PauseReason, VmSizes, VmState};
use banger_sys::paths::Paths;
use jiff::Timestamp;

use crate::ensure::ensure;
use crate::error::CliError;
use crate::exec::find;
use crate::form::Form;
use crate::render::{self, ago, until};
use crate::shell_words;

/// Characters of an id that a table shows; any unique beginning is understood.
const SHORT_ID_CHARS: usize = 8;

/// Lists all VMs.
pub(crate) async fn list(paths: &Paths, form: Form) -> Result<(), CliError> {
    let client = ensure(paths).await?;
    if form == Form::Json {
        // A thousand VMs need not become values here to be written out again.
        let pretty = route::LIST_VMS.asking(&ListQuery { pretty: true });
        return render::print_json_text(&client.get_text(pretty).await?);
    }
    let vms: Vec<VmView> = client.get(route::LIST_VMS).await?;
    form.print_all(&vms, |vm| vm.id.as_str(), || vm_table(&vms, Timestamp::now()))
}

/// Shows one VM.
pub(crate) async fn show(paths: &Paths, typed: &str, form: Form) -> Result<(), CliError> {
    let client = ensure(paths).await?;
    let vm = match find(&client, typed).await {
        Err(error) if error.is_missing() => return Err(point_elsewhere(&client, typed, error).await),
        found => found?,
    };
    form.print(&vm, vm.id.as_str(), || vm_sheet(&vm, Timestamp::now()))
}

/// Names the command that shows what has this name and is no VM.
async fn point_elsewhere(client: &Client, typed: &str, error: CliError) -> CliError {
    let images: Vec<ImageView> = client.get(route::LIST_IMAGES).await.unwrap_or_default();
    let kernels: Vec<KernelView> = client.get(route::LIST_KERNELS).await.unwrap_or_default();
    let (article, kind) = if images.iter().any(|image| image.name.as_str() == typed) {
        ("an", "image")
    } else if kernels.iter().any(|kernel| kernel.name.as_str() == typed) {
        ("a", "kernel")
    } else {
        return error;
    };
    error.with_hint(format!("`{typed}` is {article} {kind}; to show it: banger {kind} show {typed}"))
}

/// Returns the table of VMs.
pub(crate) fn vm_table(vms: &[VmView], now: Timestamp) -> String {
    let mut head = vec!["ID", "NAME", "STATE", "IMAGE", "VCPU", "MEM", "DISK", "CREATED"];
    // Most VMs live for ever.
    let has_expiry = vms.iter().any(|vm| vm.expires_at.is_some());
    if has_expiry {
        head.push("EXPIRES");
    }
    let row = |vm: &VmView| {
        let mut row = vec![
            vm.id.as_str().chars().take(SHORT_ID_CHARS).collect(),
            vm.name.to_string(),
            state_text(vm),
            vm.image.to_string(),
            now_and_next(vm, |sizes| sizes.vcpus, vm.vcpus, " -> "),
            now_and_next(vm, |sizes| sizes.memory, vm.memory_mib, " -> "),
            now_and_next(vm, |sizes| sizes.work_disk, vm.disk_bytes, " -> "),
            ago(&vm.created_at, now),
        ];
        if has_expiry {
            row.push(vm.expires_at.as_deref().map(|moment| until(moment, now)).unwrap_or_default());
        }
        row
    };
    render::table(&head, &vms.iter().map(row).collect::<Vec<_>>())
}

fn vm_sheet(vm: &VmView, now: Timestamp) -> String {
    let moment = |moment: &str| format!("{} ({moment})", ago(moment, now));
    let lines = [
        ("name", Some(vm.name.to_string())),
        ("id", Some(vm.id.to_string())),
        ("state", Some(state_text(vm))),
        ("paused", vm.paused.map(|reason| paused_text(reason).to_owned())),
        ("disks", vm.disk_trouble.map(|trouble| trouble.as_str().to_owned())),
        ("network", vm.network_trouble.map(|trouble| trouble.as_str().to_owned())),
        ("socket", vm.lost_socket.map(|lost| lost.as_str().to_owned())),
        ("image", Some(vm.image.to_string())),
        ("kernel", Some(vm.kernel.to_string())),
        ("command", vm.command.as_ref().map(|command| command_text(command, now))),
        ("vcpus", Some(now_and_next(vm, |sizes| sizes.vcpus, vm.vcpus, NEXT))),
        ("memory", Some(now_and_next(vm, |sizes| sizes.memory, vm.memory_mib, NEXT))),
        ("disk /", Some(now_and_next(vm, |sizes| sizes.overlay_disk, vm.overlay_bytes, NEXT))),
        ("disk /root", Some(now_and_next(vm, |sizes| sizes.work_disk, vm.disk_bytes, NEXT))),
        (
            "sizes",
            // Of a machine of an older version it is not known what it has now.
            (vm.needs_restart && vm.running.is_none())
                .then(|| "changed; the new ones apply at the next start".to_owned()),
        ),
        ("created", Some(moment(&vm.created_at))),
        ("started", vm.started_at.as_deref().map(moment)),
        ("expires", vm.expires_at.as_deref().map(|moment| format!("{} ({moment})", until(moment, now)))),
        ("vmm", vm.vmm.clone()),
        ("pid", vm.pid.map(|pid| pid.to_string())),
        ("boot id", vm.boot_id.clone()),
        ("last error", vm.last_error.clone()),
    ];
    render::sheet(12, lines.into_iter().filter_map(|(name, value)| Some((name, value?))))
}

/// Stands between what a machine has and what its next one will have.
const NEXT: &str = ", at the next start ";

/// Returns a size; where the machine that runs has another one, both.
fn now_and_next<T: Copy + PartialEq + Display>(
    vm: &VmView,
    of: impl FnOnce(&VmSizes) -> T,
    next: T,
    between: &str,
) -> String {
    match vm.running.as_ref().map(of).filter(|now| *now != next) {
        Some(now) => format!("{now}{between}{next}"),
        None => next.to_string(),
    }
}

/// The state as people see it: work in its middle and a guest that hangs are no states of the VM, but what counts.
fn state_text(vm: &VmView) -> String {
    let word = match (vm.pending, vm.paused) {
        (Some(PendingWork::Delete), _) => "deleting",
        (Some(PendingWork::Create), _) if vm.state == VmState::Created => "creating",
        (Some(PendingWork::Reboot), _) => "rebooting",
        (Some(PendingWork::Create) | None, Some(reason)) => return format!("paused: {reason}"),
        (Some(PendingWork::Create) | None, None) if vm.is_unresponsive => "unresponsive",
        (Some(PendingWork::Create) | None, None) if vm.disk_trouble.is_some() => "running, writes lost",
        (Some(PendingWork::Create) | None, None) if vm.network_trouble.is_some() => "running, no network",
        (Some(PendingWork::Create) | None, None) => match &vm.command {
            // As docker's `Exited (3)`, but the VM goes on without its command.
            Some(command) if vm.state == VmState::Running && !command.is_running => {
                return match command.exit_code.or(command.signal.and_then(status_of_signal)) {
                    Some(status) => format!("running, command ended ({status})"),
                    None => "running, command ended".to_owned(),
                };
            }
            Some(_) | None => vm.state.as_str(),
        },
    };
    word.to_owned()
}

/// Returns a VM's command, and how it ended.
fn command_text(command: &VmCommandView, now: Timestamp) -> String {
    let words = shell_words::quoted(&command.argv);
    let how = match (command.exit_code, command.signal) {
        _ if command.is_running => {
            return format!("{words} (running, started {})", ago(&command.started_at, now));
        }
        (Some(status), _) => format!("ended with status {status}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    };
    let when =
        command.ended_at.as_deref().map(|moment| format!(", {}", ago(moment, now))).unwrap_or_default();
    let note = command.note.as_deref().map(|note| format!(": {note}")).unwrap_or_default();
    format!("{words} ({how}{when}{note})")
}

/// Returns the exit status by which shells report a signal.
fn status_of_signal(signal: u32) -> Option<u8> {
    u8::try_from(signal).ok()?.checked_add(128)
}

/// What it means that a VM is paused.
fn paused_text(reason: PauseReason) -> &'static str {
    match reason {
        PauseReason::HostDiskFull => {
            "the host's disk is full; the guest resumes by itself when space is free"
        }
        PauseReason::HostDiskError => {
            "the host's disk returns errors for the guest's writes; they are retried"
        }
    }
}

#[cfg(test)]
mod tests {
    use banger_model::{DiskTrouble, LostSocket, NetworkTrouble};

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
    fn a_list_says_when_vms_expire_if_any_does() {
        let expiring = VmView { expires_at: Some("2026-01-01T09:30:00Z".into()), ..vm() };
        insta::assert_snapshot!(vm_table(&[expiring.clone(), vm()], "2026-01-01T02:00:00Z".parse().unwrap()), @r"
        ID        NAME  STATE   IMAGE            VCPU  MEM    DISK  CREATED      EXPIRES
        01234567  dev   failed  debian-bookworm  2     1536M  8G    2 hours ago  in 7 hours
        01234567  dev   failed  debian-bookworm  2     1536M  8G    2 hours ago  -
        ");
        let sheet = vm_sheet(&expiring, "2026-01-01T02:00:00Z".parse().unwrap());
        assert!(sheet.contains("expires     in 7 hours (2026-01-01T09:30:00Z)\n"), "{sheet}");
    }

    #[test]
    fn work_in_its_middle_and_a_hung_guest_show_in_the_state() {
        let running = VmView { state: VmState::Running, ..vm() };
        let created = VmView { state: VmState::Created, ..vm() };
        let pending = |vm: &VmView, work| VmView { pending: Some(work), ..vm.clone() };
        let texts = [
            state_text(&running),
            state_text(&VmView { is_unresponsive: true, ..running.clone() }),
            state_text(&VmView { network_trouble: Some(NetworkTrouble::Lost), ..running.clone() }),
            state_text(&VmView { disk_trouble: Some(DiskTrouble::HostDiskFull), ..running.clone() }),
            state_text(&VmView { paused: Some(PauseReason::HostDiskFull), ..running.clone() }),
            state_text(&pending(&created, PendingWork::Create)),
            state_text(&pending(&VmView { state: VmState::Starting, ..vm() }, PendingWork::Create)),
            state_text(&pending(&running, PendingWork::Delete)),
        ];
        assert_eq!(
            texts,
            [
                "running",
                "unresponsive",
                "running, no network",
                "running, writes lost",
                "paused: host disk full",
                "creating",
                "starting",
                "deleting"
            ]
        );
    }

    #[test]
    fn the_command_of_a_vm_shows_as_long_as_the_vm_is_there() {
        let now = "2026-01-01T02:00:00Z".parse().unwrap();
        let command = |more: serde_json::Value| {
            let mut command = serde_json::json!({
                "argv": ["sh", "-c", "it's all; exit 3"], "is_running": false, "started_at": "2026-01-01T00:00:00Z"
            });
            command.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let command: VmCommandView = serde_json::from_value(command).unwrap();
            let vm = VmView { state: VmState::Running, command: Some(command), ..vm() };
            let sheet = vm_sheet(&vm, now);
            let line = sheet.lines().find(|line| line.starts_with("command")).unwrap().to_owned();
            format!("{}\n{line}\n", state_text(&vm))
        };
        let texts = [
            command(serde_json::json!({ "is_running": true })),
            command(serde_json::json!({ "exit_code": 3, "ended_at": "2026-01-01T01:00:00Z" })),
            command(
                serde_json::json!({ "signal": 9, "ended_at": "2026-01-01T01:00:00Z", "note": "out of\u{7} memory" }),
            ),
            command(serde_json::json!({ "note": "the VM was stopped" })),
        ];
        insta::assert_snapshot!(texts.concat(), @r"
        running
        command     sh -c 'it'\''s all; exit 3' (running, started 2 hours ago)
        running, command ended (3)
        command     sh -c 'it'\''s all; exit 3' (ended with status 3, 1 hour ago)
        running, command ended (137)
        command     sh -c 'it'\''s all; exit 3' (ended by signal 9, 1 hour ago: out of\x07 memory)
        running, command ended
        command     sh -c 'it'\''s all; exit 3' (ended: the VM was stopped)
        ");
    }

    #[test]
    fn a_removed_socket_says_what_to_do() {
        let vm = VmView {
            state: VmState::Running,
            is_unresponsive: true,
            lost_socket: Some(LostSocket::VmmChannel),
            ..vm()
        };
        let sheet = vm_sheet(&vm, "2026-01-01T02:00:00Z".parse().unwrap());
        let told = "socket      the socket of the guest channel was removed; the guest cannot be reached until the VM is restarted\n";
        assert!(sheet.contains(told), "{sheet}");
    }

    #[test]
    fn both_sizes_are_shown_where_the_next_start_changes_them() {
        let now = "2026-01-01T02:00:00Z".parse().unwrap();
        let running = serde_json::json!({
            "vcpus": 1, "memory_mib": 1536, "disk_bytes": 8_589_934_592_u64, "overlay_bytes": 4_294_967_296_u64
        });
        let vm = VmView {
            state: VmState::Running,
            running: serde_json::from_value(running).unwrap(),
            needs_restart: true,
            ..vm()
        };
        insta::assert_snapshot!(vm_table(std::slice::from_ref(&vm), now), @r"
        ID        NAME  STATE    IMAGE            VCPU    MEM    DISK  CREATED
        01234567  dev   running  debian-bookworm  1 -> 2  1536M  8G    2 hours ago
        ");
        let sheet = vm_sheet(&vm, now);
        assert!(sheet.contains("vcpus       1, at the next start 2\n"), "{sheet}");
        assert!(sheet.contains("disk /      4G, at the next start 8G\ndisk /root  8G\n"), "{sheet}");
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
        disk /      8G
        disk /root  8G
        created     2 hours ago (2026-01-01T00:00:00Z)
        last error  the guest never said hello
        ");
    }
}
