//! QEMU's command line: a pure function of the plan and of what was opened for it.

use std::ffi::OsString;
use std::num::NonZeroU64;
use std::os::fd::RawFd;
use std::path::Path;

use banger_agent_proto::{DRIVES_KEY, SERIAL_PORT_NAME};
use banger_model::MemoryMib;
use banger_sys::socket::through;

use super::places::{NETWORK_SOCKET, Places};
use crate::contract::{Drive, DriveLimit, KernelFiles, MachinePlan, Network, StartError};
use crate::plan_check::{check_file, require};
use crate::selection::Accelerator;

/// The share of a guest's memory that its translated instructions may take.
const CACHE_SHARE: u64 = 4;
const CACHE_MIB_MIN: u64 = 64;
const CACHE_MIB_MAX: u64 = 512;

/// The kernel's number of the feature `cx16` (`X86_FEATURE_CX16` of its `cpufeatures.h`), by which kernels of every age
/// know it.
///
/// QEMU 7.2 translates `cmpxchg16b` so that it leaves all flags but ZF undefined, and kernels panic of that under load.
/// The kernel alone is kept away from the instruction: programs look at ZF only, and those for x86-64-v2 (RHEL 9, Amazon
/// Linux 2023, Wolfi) do not start on a processor without it.
const CX16: u32 = 4 * 32 + 13;

/// What runs the guest's instructions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Processor {
    pub(super) accelerator: Accelerator,
    /// The host's clock rate.
    pub(super) khz: Option<u64>,
}

/// What a machine has besides its plan: numbers of what QEMU inherits, and the largest packet of the network in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given {
    pub(super) control: RawFd,
    pub(super) pipe: RawFd,
    pub(super) memory: RawFd,
    /// The directory of the machine's sockets.
    pub(super) sockets: RawFd,
    pub(super) mtu: u32,
}

/// Returns the kernel's command line.
pub(super) fn kernel_command_line(plan: &MachinePlan, processor: Processor) -> String {
    let mut words: Vec<String> = [
        // The 8250 is the only console that is there before the first module: an early panic is seen. With `quiet` it
        // costs no time that can be measured.
        "console=ttyS0",
        "quiet",
        // A guest that reboots or panics ends the machine.
        "reboot=t",
        "panic=-1",
        "i8042.noaux",
        "i8042.nokbd",
    ]
    .map(str::to_owned)
    .into();
    match processor.accelerator {
        Accelerator::Tcg => {
            words.push(format!("clearcpuid={CX16}"));
            // QEMU's emulated timers are too uneven to calibrate by: without the rate a quarter of the boots hang.
            words.extend(processor.khz.map(|khz| format!("tsc_early_khz={khz}")));
        }
        // KVM tells the guest by its own clock.
        Accelerator::Kvm => {}
    }
    if !plan.drives.is_empty() {
        let roles: Vec<_> = plan.drives.iter().map(|drive| drive.role.as_str()).collect();
        words.push(format!("{DRIVES_KEY}={}", roles.join(",")));
    }
    words.extend(plan.kernel_arguments.iter().cloned());
    words.join(" ")
}

/// Returns QEMU's arguments.
pub(super) fn arguments(
    plan: &MachinePlan,
    places: &Places,
    processor: Processor,
    kernel_command_line: &str,
    given: Given,
) -> Vec<OsString> {
    let mut arguments = Arguments::default();
    machine(&mut arguments, plan, processor, given.memory);
    arguments.add("-kernel", text(kernel_file(&plan.kernel)));
    arguments.add("-initrd", text(&plan.kernel.initramfs));
    arguments.add("-append", kernel_command_line);
    console_and_control(&mut arguments, places, given);
    for drive in &plan.drives {
        add_drive(&mut arguments, drive, plan.drive_limit);
    }
    if let Network::UserMode { mac } = &plan.network {
        // QEMU listens, and again after a network has gone. It cannot be given a socket that listens already.
        // The path may be too long for a socket, so QEMU goes by the directory that it inherits.
        let place = through(given.sockets).join(NETWORK_SOCKET);
        let place = value(&place);
        arguments.add("-netdev", format!("stream,id=network,server=on,addr.type=unix,addr.path={place}"));
        arguments
            .add("-device", format!("virtio-net-device,netdev=network,mac={mac},host_mtu={}", given.mtu));
    }
    arguments.0
}

/// Returns the file that QEMU boots: the ELF file, which it need not unpack, or what a boot loader would take.
fn kernel_file(kernel: &KernelFiles) -> &Path {
    match &kernel.vmlinuz {
        Some(vmlinuz) if !kernel.has_pvh_entry => vmlinuz,
        Some(_) | None => &kernel.vmlinux,
    }
}

/// Refuses a kernel that QEMU cannot boot.
pub(super) fn check_kernel(kernel: &KernelFiles) -> Result<(), StartError> {
    require(kernel.has_pvh_entry || kernel.vmlinuz.is_some(), || {
        let vmlinux = kernel.vmlinux.display();
        format!("QEMU cannot boot `{vmlinux}`: it has no PVH entry, and there is no vmlinuz beside it")
    })?;
    check_file(kernel_file(kernel))
}

/// Returns how much QEMU may keep of what it has translated, in MiB: without a limit up to an eighth of the host, 1 GiB at
/// most, which for a small guest is more than all its memory.
pub(super) fn translation_cache_mib(memory: MemoryMib) -> u64 {
    (memory.get() / CACHE_SHARE).clamp(CACHE_MIB_MIN, CACHE_MIB_MAX)
}

fn machine(arguments: &mut Arguments, plan: &MachinePlan, processor: Processor, memory: RawFd) {
    let (accelerator, cpu) = match processor.accelerator {
        Accelerator::Kvm => ("kvm".to_owned(), "host"),
        Accelerator::Tcg => {
            (format!("tcg,thread=multi,tb-size={}", translation_cache_mib(plan.memory)), "max")
        }
    };
    arguments.add("-name", format!("banger-{}", plan.vm));
    arguments.add("-M", "microvm,acpi=on,memory-backend=memory");
    arguments.add("-accel", accelerator);
    arguments.add("-cpu", cpu);
    arguments.add("-smp", plan.vcpus.get().to_string());
    arguments.add("-m", format!("{}M", plan.memory.get()));
    arguments.add(
        "-object",
        format!(
            "memory-backend-file,id=memory,size={}M,mem-path=/proc/self/fd/{memory},share=on",
            plan.memory.get()
        ),
    );
    for alone in ["-nodefaults", "-no-user-config", "-no-reboot"] {
        arguments.0.push(alone.into());
    }
    arguments.add("-display", "none");
    arguments.add("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    arguments.add("-global", "virtio-mmio.force-legacy=false");
}

fn console_and_control(arguments: &mut Arguments, places: &Places, given: Given) {
    let Given { control, pipe, .. } = given;
    arguments.add("-chardev", format!("socket,id=control,fd={control},server=on,wait=off"));
    arguments.add("-mon", "chardev=control,mode=control");
    arguments.add("-chardev", format!("file,id=console,path={},append=on", value(&places.console_log)));
    arguments.add("-serial", "chardev:console");
    arguments.add("-device", "virtio-rng-device");
    arguments.add("-chardev", format!("socket,id=pipe,fd={pipe},server=on,wait=off"));
    arguments.add("-device", "virtio-serial-device");
    arguments.add("-device", format!("virtserialport,chardev=pipe,name={SERIAL_PORT_NAME}"));
}

fn add_drive(arguments: &mut Arguments, drive: &Drive, limit: Option<DriveLimit>) {
    let role = drive.role.as_str();
    let file = value(&drive.path);
    // Shared drives are never written, so no lock guards them; a writable one is locked against a second machine.
    // A write that the host's disk does not take stops the guest in its middle: it goes on with it when there is room.
    // QEMU's default does so for ENOSPC only; for a quota it would tell the guest of a broken disk.
    let mode = if drive.role.is_writable() {
        "discard=unmap,werror=stop,rerror=report"
    } else {
        "readonly=on,file.locking=off"
    };
    let limit = limit.map(throttling).unwrap_or_default();
    arguments
        .add("-drive", format!("if=none,id={role},file={file},format=raw,cache=writeback,{mode}{limit}"));
    arguments.add("-device", format!("virtio-blk-device,drive={role},serial={role}"));
}

fn throttling(limit: DriveLimit) -> String {
    let option = |name: &str, limit: Option<NonZeroU64>| {
        limit.map(|limit| format!(",throttling.{name}-total={limit}")).unwrap_or_default()
    };
    option("bps", limit.bytes_per_second) + &option("iops", limit.operations_per_second)
}

#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn add(&mut self, name: &str, value: impl Into<OsString>) {
        self.0.push(name.into());
        self.0.push(value.into());
    }
}

/// The plan was checked: its paths are text.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A path inside a list of options: QEMU reads two commas as one.
fn value(path: &Path) -> String {
    text(path).replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::DriveRole;

    fn plan() -> MachinePlan {
        let drive = |role, path: &str| Drive { role, path: path.into() };
        MachinePlan {
            vm: "0123456789abcdef".parse().unwrap(),
            state_directory: "/state/a,b".into(),
            runtime_directory: "/run/vm".into(),
            kernel: KernelFiles {
                vmlinuz: Some("/k/vmlinuz".into()),
                vmlinux: "/k/vmlinux".into(),
                has_pvh_entry: true,
                initramfs: "/k/initramfs".into(),
            },
            kernel_arguments: vec!["banger.x=1".into()],
            vcpus: "2".parse().unwrap(),
            memory: "512M".parse().unwrap(),
            drives: vec![
                drive(DriveRole::Base, "/i/rootfs.ext4"),
                drive(DriveRole::Work, "/state/a,b/work.ext4"),
            ],
            network: Network::UserMode { mac: "52:54:00:12:34:56".into() },
            drive_limit: None,
        }
    }

    fn line(plan: &MachinePlan, processor: Processor) -> String {
        let given = Given { control: 11, pipe: 12, memory: 13, sockets: 14, mtu: 32_768 };
        let append = kernel_command_line(plan, processor);
        let arguments = arguments(plan, &Places::of_plan(plan), processor, &append, given);
        let mut lines = String::new();
        for argument in arguments {
            let argument = argument.into_string().unwrap();
            lines.push(if argument.starts_with('-') { '\n' } else { ' ' });
            lines.push_str(&argument);
        }
        lines
    }

    #[test]
    fn a_machine_without_hardware_virtualisation() {
        let line = line(&plan(), Processor { accelerator: Accelerator::Tcg, khz: Some(2_400_123) });
        assert_eq!(
            line,
            "
-name banger-0123456789abcdef
-M microvm,acpi=on,memory-backend=memory
-accel tcg,thread=multi,tb-size=128
-cpu max
-smp 2
-m 512M
-object memory-backend-file,id=memory,size=512M,mem-path=/proc/self/fd/13,share=on
-nodefaults
-no-user-config
-no-reboot
-display none
-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
-global virtio-mmio.force-legacy=false
-kernel /k/vmlinux
-initrd /k/initramfs
-append console=ttyS0 quiet reboot=t panic=-1 i8042.noaux i8042.nokbd clearcpuid=141 \
             tsc_early_khz=2400123 banger.drives=base,work banger.x=1
-chardev socket,id=control,fd=11,server=on,wait=off
-mon chardev=control,mode=control
-chardev file,id=console,path=/state/a,,b/console.log,append=on
-serial chardev:console
-device virtio-rng-device
-chardev socket,id=pipe,fd=12,server=on,wait=off
-device virtio-serial-device
-device virtserialport,chardev=pipe,name=banger.channel
-drive if=none,id=base,file=/i/rootfs.ext4,format=raw,cache=writeback,readonly=on,file.locking=off
-device virtio-blk-device,drive=base,serial=base
-drive if=none,id=work,file=/state/a,,b/work.ext4,format=raw,cache=writeback,discard=unmap,werror=stop,rerror=report
-device virtio-blk-device,drive=work,serial=work
-netdev stream,id=network,server=on,addr.type=unix,addr.path=/proc/self/fd/14/network.sock
-device virtio-net-device,netdev=network,mac=52:54:00:12:34:56,host_mtu=32768"
        );
    }

    #[test]
    fn what_is_kept_of_translations_grows_with_the_guest_up_to_a_limit() {
        let cache = |memory: &str| translation_cache_mib(memory.parse().unwrap());
        assert_eq!(["128M", "256M", "512M", "1G", "2G", "64G"].map(cache), [64, 64, 128, 256, 512, 512]);
    }

    #[test]
    fn a_machine_with_hardware_virtualisation_keeps_its_own_clock() {
        let line = line(&plan(), Processor { accelerator: Accelerator::Kvm, khz: Some(2_400_123) });
        assert!(line.contains("\n-accel kvm\n-cpu host\n"), "{line}");
        assert!(!line.contains("tsc_early_khz") && !line.contains("clearcpuid"), "{line}");
    }

    #[test]
    fn a_limit_holds_for_every_drive() {
        let limit = DriveLimit {
            bytes_per_second: NonZeroU64::new(1 << 20),
            operations_per_second: NonZeroU64::new(100),
        };
        let plan = MachinePlan { drive_limit: Some(limit), ..plan() };
        let line = line(&plan, Processor { accelerator: Accelerator::Kvm, khz: None });
        let limited = line.matches(",throttling.bps-total=1048576,throttling.iops-total=100\n").count();
        assert_eq!(limited, plan.drives.len(), "{line}");
    }

    #[test]
    fn a_machine_without_network_has_no_interface() {
        let plan = MachinePlan { network: Network::None, ..plan() };
        let line = line(&plan, Processor { accelerator: Accelerator::Kvm, khz: None });
        assert!(!line.contains("net"), "{line}");
    }
}
