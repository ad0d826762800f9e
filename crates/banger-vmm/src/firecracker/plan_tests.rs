//! What is decided for a machine: by its plan, the user's choices and the host.

use std::path::Path;
use std::sync::Arc;

use banger_model::{GuestNetwork, NetworkAttachment};

use super::*;
use crate::contract::{
    Drive, DriveRole, KernelFiles, NetworkLauncher, NetworkProcess, SnapshotFiles, VmmKind,
};
use crate::firecracker::cell::Access;
use crate::firecracker::config::{HostParts, Tuning};
use crate::firecracker::jail_host::Jailer;
use crate::selection::{Accelerator, Choice};

/// Nothing here starts a process.
#[derive(Debug)]
struct NoNetwork;

impl NetworkLauncher for NoNetwork {
    fn guest(&self, _mac: &str) -> GuestNetwork {
        unreachable!("a plan asks for no addresses")
    }

    fn mtu(&self) -> u32 {
        1500
    }

    fn launch(
        &self,
        _attachment: NetworkAttachment,
        _directory: &Path,
        _errors: &std::fs::File,
    ) -> Result<NetworkProcess, StartError> {
        unreachable!("a plan starts nothing")
    }
}

fn driver(tuning: Tuning) -> Firecracker {
    let choice = Choice {
        vmm: VmmKind::Firecracker,
        program: "/opt/firecracker".into(),
        accelerator: Accelerator::Kvm,
        reason: String::new(),
        warnings: Vec::new(),
    };
    Firecracker::new(&choice, "/usr/bin/helper", Arc::new(NoNetwork)).with_tuning(tuning)
}

fn machine() -> MachinePlan {
    let drive = |role, path: &str| Drive { role, path: path.into() };
    MachinePlan {
        vm: "0123456789abcdef".parse().unwrap(),
        state_directory: "/state/vm".into(),
        runtime_directory: "/run/vm".into(),
        kernel: KernelFiles {
            vmlinuz: None,
            has_pvh_entry: true,
            vmlinux: "/k/vmlinux".into(),
            initramfs: "/k/initramfs".into(),
        },
        kernel_arguments: Vec::new(),
        vcpus: "2".parse().unwrap(),
        memory: "512M".parse().unwrap(),
        drives: vec![
            drive(DriveRole::Base, "/i/rootfs.ext4"),
            drive(DriveRole::Overlay, "/state/vm/overlay.ext4"),
        ],
        network: Network::UserMode { mac: "52:54:00:12:34:56".into() },
        drive_limit: None,
    }
}

fn snapshot(memory: MemorySource) -> RestorePlan {
    let snapshot = SnapshotFiles { state: "/s/state".into(), memory: "/s/memory".into() };
    RestorePlan { snapshot, memory, notes_writes: true }
}

/// A host with a jailer, or without one.
fn host(has_jailer: bool) -> Host {
    let jailer = Jailer {
        program: "/opt/jailer".into(),
        firecracker: "/opt/firecracker-v1.16.1".into(),
        controllers: vec!["pids".into()],
        cgroup: Some("/cgroup/banger/0123456789abcdef".into()),
    };
    Host {
        parts: HostParts::default(),
        devices: vec!["/dev/kvm".into()],
        jailer: if has_jailer { Ok(jailer) } else { Err("there is no `jailer` beside Firecracker".into()) },
    }
}

fn resolve(
    wish: JailWish,
    from: Option<&RestorePlan>,
    has_jailer: bool,
) -> Result<FirecrackerPlan, StartError> {
    let driver = driver(Tuning { jailer: wish, ..Tuning::default() });
    FirecrackerPlan::resolve(&driver, &machine(), from, &host(has_jailer))
}

/// What is seen inside, a line each.
fn seen(plan: &FirecrackerPlan) -> String {
    let line = |bind: &Bind| {
        let access = match bind.access {
            Access::Read => "r",
            Access::Write => "w",
        };
        format!("{access} {} {}\n", bind.from.display(), bind.to.display())
    };
    plan.seen().iter().map(line).collect()
}

#[test]
fn a_boot_sees_its_kernel_its_drives_and_devices_and_nothing_else() {
    let plan = resolve(JailWish::Never, None, true).unwrap();
    assert_eq!(
        seen(&plan),
        "w /run/vm /machine/run
w /state/vm/firecracker.log /machine/firecracker.log
w /state/vm/metrics /machine/metrics
w /state/vm/outbox /machine/outbox
r /k/vmlinux /machine/kernel
r /k/initramfs /machine/initramfs
r /i/rootfs.ext4 /machine/drives/base
w /state/vm/overlay.ext4 /machine/drives/overlay
w /dev/kvm /dev/kvm
"
    );
    assert_eq!(plan.own_drives, [PathBuf::from("/state/vm/overlay.ext4")]);
    assert!(plan.has_network && plan.paged_memory.is_none());
    assert!(matches!(&plan.orders, Orders::Boot(parts) if parts.len() == 8), "{:?}", plan.orders);
}

#[test]
fn a_restored_machine_sees_its_snapshot_and_its_memory_only_where_it_maps_it() {
    for (memory, is_mapped) in [(MemorySource::File, true), (MemorySource::Pager, false)] {
        let plan = resolve(JailWish::Never, Some(&snapshot(memory)), false).unwrap();
        let seen = seen(&plan);
        assert!(seen.contains("r /s/state /machine/snapshot/state\n"), "{seen}");
        assert!(!seen.contains("/k/"), "{seen}");
        assert_eq!(seen.contains("r /s/memory /machine/snapshot/memory\n"), is_mapped, "{seen}");
        assert_eq!(plan.paged_memory.is_none(), is_mapped);
        assert!(matches!(plan.orders, Orders::Load(_)));
    }
}

#[test]
fn the_jail_follows_the_wish_the_host_and_the_pager() {
    use JailWish::{Always, Auto, Never};
    let pager = snapshot(MemorySource::Pager);
    let file = snapshot(MemorySource::File);
    for (wish, from, has_jailer, is_jailed, may_do_without) in [
        (Auto, None, true, true, true),
        (Auto, None, false, false, false),
        (Auto, Some(&file), true, true, true),
        (Auto, Some(&pager), true, false, false),
        (Always, None, true, true, false),
        (Always, Some(&pager), true, false, false),
        (Never, None, true, false, false),
        (Never, None, false, false, false),
    ] {
        let plan = resolve(wish, from, has_jailer).unwrap();
        let case = format!("{wish:?} {from:?} {has_jailer}");
        assert_eq!(plan.jail().is_some(), is_jailed, "{case}");
        assert_eq!(plan.without_jail().is_some(), may_do_without, "{case}");
    }
    let refused = resolve(Always, None, false).unwrap_err().to_string();
    assert!(
        refused
            .ends_with("the jailer is required for Firecracker, but there is no `jailer` beside Firecracker"),
        "{refused}"
    );
}

#[test]
fn a_jail_has_no_devices_of_the_host_and_the_cell_after_it_has() {
    let plan = resolve(JailWish::Auto, None, true).unwrap();
    assert!(!seen(&plan).contains("/dev/"), "{}", seen(&plan));
    let jail = plan.jail().unwrap();
    assert_eq!(jail.plan.root, Path::new("/state/vm/jail/firecracker-v1.16.1/0123456789abcdef/root"));
    assert_eq!(jail.cgroup.as_deref(), Some(Path::new("/cgroup/banger/0123456789abcdef")));
    let user = jail.plan.user;
    assert_eq!(
        jail.plan.arguments.join(" "),
        format!(
            "--id 0123456789abcdef --exec-file /opt/firecracker-v1.16.1 --uid {user} --gid 1879048191 \
             --chroot-base-dir /state/vm/jail --resource-limit no-file=4096 --cgroup-version 2 --parent-cgroup banger \
             --cgroup pids.max=66 -- --api-sock /machine/run/control.sock --log-path /machine/firecracker.log \
             --level Warning --metrics-path /machine/metrics"
        )
    );
    let cell = plan.without_jail().unwrap();
    assert!(seen(&cell).ends_with("w /dev/kvm /dev/kvm\n"), "{}", seen(&cell));
}

#[test]
fn a_console_log_says_why_it_is_empty() {
    for (serial_console, head) in [(false, NO_CONSOLE), (true, "")] {
        let driver = driver(Tuning { serial_console, ..Tuning::default() });
        let plan = FirecrackerPlan::resolve(&driver, &machine(), None, &host(false)).unwrap();
        assert_eq!(plan.console_head, head);
    }
}

#[test]
fn a_snapshot_is_loaded_in_the_words_of_each_version() {
    let request = |memory, has_network, version: &str| {
        let load = Load { memory, notes_writes: true, has_network };
        let version = Version::of_output(&format!("Firecracker v{version}")).unwrap();
        serde_json::to_string(&load.request(version)).unwrap()
    };
    let old = request(MemorySource::File, true, "1.8.0");
    assert!(old.contains(r#""enable_diff_snapshots":true"#) && !old.contains("track_dirty_pages"), "{old}");
    assert!(!old.contains("overrides") && old.contains(r#""backend_type":"File""#), "{old}");
    let new = request(MemorySource::Pager, true, "1.16.1");
    assert!(new.contains(r#""track_dirty_pages":true"#) && !new.contains("enable_diff_snapshots"), "{new}");
    assert!(new.contains(r#""network_overrides":[{"#) && new.contains(r#""backend_type":"Uffd""#), "{new}");
    assert!(!request(MemorySource::File, false, "1.16.1").contains("network_overrides"));
}
