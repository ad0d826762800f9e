//! From a machine plan to the API's requests: pure.

use std::num::NonZeroU64;
use std::path::Path;

use banger_agent_proto::DRIVES_KEY;
use serde::Serialize;
use serde_json::Value;

use super::api::{
    Balloon, BootSource, CacheType, DriveConfig, Entropy, HugePages, IoEngine, MachineConfig,
    NetworkInterface, RateLimiter, TokenBucket, Vsock,
};
use super::cell;
use super::jail::JailWish;
use crate::contract::{Drive, DriveLimit, MachinePlan, Network};

/// The guest's vsock address. Each machine has a vsock of its own, so all may have the same.
const GUEST_CID: u32 = 3;

/// The guest's interface.
pub(super) const INTERFACE: &str = "eth0";

/// Allowances are filled up once a second.
const REFILL_MILLIS: u64 = 1000;

/// What Firecracker adds to the kernel command line: `pci=off`, and a word for each device.
const ADDED_WORD_BYTES: usize = "virtio_mmio.device=4K@0xc0001000:17 ".len();

/// What the user may choose for all machines of this driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    /// Whether guests write their console to the serial port, which `vm logs` shows. It costs a part of every boot.
    pub serial_console: bool,
    /// Whether drives are read and written by `io_uring` where the host has it. Firecracker calls it a preview; it adds up to
    /// 110 ms to each drive of a boot.
    pub io_uring: bool,
    /// Whether guests get 2 MiB pages where the host has set enough of them aside.
    pub huge_pages: bool,
    /// Whether Firecracker's own jailer is used.
    pub jailer: JailWish,
}

/// What of [`Tuning`] this host has now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HostParts {
    pub(super) io_engine: IoEngine,
    pub(super) huge_pages: Option<HugePages>,
}

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    /// What it is, in words.
    pub(super) what: String,
    pub(super) path: String,
    pub(super) body: Value,
}

impl Part {
    fn new(what: impl Into<String>, path: impl Into<String>, body: impl Serialize) -> Self {
        // Every body is a plain structure of texts and numbers.
        Self { what: what.into(), path: path.into(), body: serde_json::to_value(body).unwrap_or_default() }
    }
}

/// Returns the kernel's command line.
pub(super) fn kernel_command_line(plan: &MachinePlan, tuning: Tuning) -> String {
    // A guest that reboots ends the machine by the keyboard controller, of which it needs nothing else.
    let mut words: Vec<String> =
        ["quiet", "reboot=k", "panic=1", "i8042.noaux", "i8042.nokbd"].map(str::to_owned).into();
    // Without a serial port the kernel does not look for one.
    words.push(if tuning.serial_console { "console=ttyS0" } else { "8250.nr_uarts=0" }.to_owned());
    if !plan.drives.is_empty() {
        let roles: Vec<_> = plan.drives.iter().map(|drive| drive.role.as_str()).collect();
        words.push(format!("{DRIVES_KEY}={}", roles.join(",")));
    }
    words.extend(plan.kernel_arguments.iter().cloned());
    words.join(" ")
}

/// Returns how much Firecracker adds to the kernel command line.
pub(super) fn added_bytes(plan: &MachinePlan) -> usize {
    // Beside the drives: interface, vsock, entropy, balloon, and `pci=off`.
    (plan.drives.len() + 5) * ADDED_WORD_BYTES
}

/// Returns the requests that set up a machine, in their order. The drives come in the guest's order.
pub(super) fn parts(plan: &MachinePlan, host: HostParts, command_line: &str) -> Vec<Part> {
    let machine = MachineConfig {
        vcpu_count: plan.vcpus.get(),
        mem_size_mib: plan.memory.get(),
        smt: false,
        track_dirty_pages: false,
        huge_pages: host.huge_pages,
    };
    let boot = BootSource {
        kernel_image_path: cell::KERNEL.to_owned(),
        initrd_path: cell::INITRAMFS.to_owned(),
        boot_args: command_line.to_owned(),
    };
    let mut parts = vec![
        Part::new("processors and memory", "/machine-config", machine),
        Part::new("kernel", "/boot-source", boot),
    ];
    for drive in &plan.drives {
        let role = drive.role.as_str();
        let config = drive_config(drive, plan.drive_limit, host.io_engine);
        parts.push(Part::new(format!("drive `{role}`"), format!("/drives/{role}"), config));
    }
    if let Network::UserMode { mac } = &plan.network {
        let interface = NetworkInterface {
            iface_id: INTERFACE.to_owned(),
            host_dev_name: cell::TAP.to_owned(),
            guest_mac: mac.clone(),
        };
        parts.push(Part::new("network", format!("/network-interfaces/{INTERFACE}"), interface));
    }
    let vsock = Vsock { guest_cid: GUEST_CID, uds_path: cell::CHANNEL.to_owned() };
    let balloon = Balloon { amount_mib: 0, deflate_on_oom: true, stats_polling_interval_s: 0 };
    parts.push(Part::new("guest channel", "/vsock", vsock));
    parts.push(Part::new("entropy", "/entropy", Entropy {}));
    parts.push(Part::new("balloon", "/balloon", balloon));
    parts
}

fn drive_config(drive: &Drive, limit: Option<DriveLimit>, io_engine: IoEngine) -> DriveConfig {
    DriveConfig {
        drive_id: drive.role.as_str().to_owned(),
        path_on_host: text(&cell::drive(drive.role)),
        is_root_device: false,
        is_read_only: !drive.role.is_writable(),
        // What the guest has flushed must survive the host.
        cache_type: if drive.role.is_writable() { CacheType::Writeback } else { CacheType::Unsafe },
        io_engine,
        rate_limiter: limit.and_then(rate_limiter),
    }
}

fn rate_limiter(limit: DriveLimit) -> Option<RateLimiter> {
    let bucket = |per_second: NonZeroU64| TokenBucket { size: per_second.get(), refill_time: REFILL_MILLIS };
    let (bandwidth, ops) = (limit.bytes_per_second.map(bucket), limit.operations_per_second.map(bucket));
    (bandwidth.is_some() || ops.is_some()).then_some(RateLimiter { bandwidth, ops })
}

/// The plan was checked: its paths are text.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{DriveRole, KernelFiles};

    fn plan() -> MachinePlan {
        let drive = |role, path: &str| Drive { role, path: path.into() };
        MachinePlan {
            vm: "0123456789abcdef".parse().unwrap(),
            state_directory: "/state/vm".into(),
            runtime_directory: "/run/vm".into(),
            kernel: KernelFiles {
                vmlinuz: Some("/k/vmlinuz".into()),
                has_pvh_entry: true,
                vmlinux: "/k/vmlinux".into(),
                initramfs: "/k/initramfs".into(),
            },
            kernel_arguments: vec!["banger.x=1".into()],
            vcpus: "2".parse().unwrap(),
            memory: "512M".parse().unwrap(),
            drives: vec![
                drive(DriveRole::Base, "/i/rootfs.ext4"),
                drive(DriveRole::Work, "/state/vm/work.ext4"),
            ],
            network: Network::UserMode { mac: "52:54:00:12:34:56".into() },
            drive_limit: None,
        }
    }

    fn requests(plan: &MachinePlan, tuning: Tuning, host: HostParts) -> String {
        let command_line = kernel_command_line(plan, tuning);
        let parts = parts(plan, host, &command_line);
        parts.iter().map(|part| format!("PUT {} {}\n", part.path, part.body)).collect()
    }

    #[test]
    fn a_machine_as_it_is_by_default() {
        assert_eq!(
            requests(&plan(), Tuning::default(), HostParts::default()),
            r#"PUT /machine-config {"mem_size_mib":512,"smt":false,"vcpu_count":2}
PUT /boot-source {"boot_args":"quiet reboot=k panic=1 i8042.noaux i8042.nokbd 8250.nr_uarts=0 banger.drives=base,work banger.x=1","initrd_path":"/machine/initramfs","kernel_image_path":"/machine/kernel"}
PUT /drives/base {"cache_type":"Unsafe","drive_id":"base","io_engine":"Sync","is_read_only":true,"is_root_device":false,"path_on_host":"/machine/drives/base"}
PUT /drives/work {"cache_type":"Writeback","drive_id":"work","io_engine":"Sync","is_read_only":false,"is_root_device":false,"path_on_host":"/machine/drives/work"}
PUT /network-interfaces/eth0 {"guest_mac":"52:54:00:12:34:56","host_dev_name":"tap0","iface_id":"eth0"}
PUT /vsock {"guest_cid":3,"uds_path":"/machine/run/channel.sock"}
PUT /entropy {}
PUT /balloon {"amount_mib":0,"deflate_on_oom":true,"stats_polling_interval_s":0}
"#
        );
    }

    #[test]
    fn what_was_asked_for_is_in_the_requests() {
        let limit = DriveLimit { bytes_per_second: NonZeroU64::new(1 << 20), operations_per_second: None };
        let plan = MachinePlan { network: Network::None, drive_limit: Some(limit), ..plan() };
        let host = HostParts { io_engine: IoEngine::Async, huge_pages: Some(HugePages::TwoMib) };
        let requests = requests(&plan, Tuning { serial_console: true, ..Tuning::default() }, host);
        for wanted in [
            r#""huge_pages":"2M""#,
            r#""io_engine":"Async""#,
            r#""rate_limiter":{"bandwidth":{"refill_time":1000,"size":1048576}}"#,
            " console=ttyS0 banger.drives",
        ] {
            assert!(requests.contains(wanted), "{wanted} in {requests}");
        }
        assert!(!requests.contains("network-interfaces"), "{requests}");
        let no_limit = DriveLimit { bytes_per_second: None, operations_per_second: None };
        assert_eq!(rate_limiter(no_limit), None);
    }
}
