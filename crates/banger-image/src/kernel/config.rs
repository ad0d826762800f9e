//! What a kernel must be able to do, and whether its configuration says so. The table below is the one in `docs/kernels.md`.
//!
//! A configuration is looked at where there is one: `config` or `config-<release>` beside the kernel, or in the kernel itself
//! (`CONFIG_IKCONFIG`, `kernel/configs.c` of the kernel). A kernel without one is believed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;

use memchr::memmem;

/// What stands around the packed configuration in a kernel.
const IKCONFIG: (&[u8], &[u8]) = (b"IKCFG_ST", b"IKCFG_ED");
/// Configurations have a few hundred kilobytes.
pub(crate) const CONFIG_BYTES_MAX: u64 = 4 << 20;

/// For whom an option is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// For every guest: without it nothing boots.
    Boot,
    /// To boot under QEMU.
    Qemu,
    /// To boot under Firecracker.
    Firecracker,
    /// For a part of what guests do.
    Part,
}

/// Whether a module is as good as what is built in: modules come from the initramfs, and what it needs must be there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    BuiltIn,
    Module,
}

/// An option, or several of which one is enough.
struct Needed {
    options: &'static [&'static str],
    form: Form,
    need: Need,
    purpose: &'static str,
}

const fn needed(options: &'static [&'static str], form: Form, need: Need, purpose: &'static str) -> Needed {
    Needed { options, form, need, purpose }
}

/// Everything that banger and its guests rely on.
const TABLE: &[Needed] = &[
    needed(&["64BIT"], Form::BuiltIn, Need::Boot, "64-bit programs"),
    needed(&["BINFMT_ELF"], Form::BuiltIn, Need::Boot, "programs"),
    needed(&["BLK_DEV_INITRD"], Form::BuiltIn, Need::Boot, "the initramfs, which is not compressed"),
    needed(&["DEVTMPFS"], Form::BuiltIn, Need::Boot, "device files"),
    needed(&["PROC_FS"], Form::BuiltIn, Need::Boot, "/proc"),
    needed(&["SYSFS"], Form::BuiltIn, Need::Boot, "/sys"),
    needed(&["TMPFS"], Form::BuiltIn, Need::Boot, "/run and /dev/shm"),
    needed(&["UNIX"], Form::BuiltIn, Need::Boot, "Unix sockets"),
    needed(&["EPOLL"], Form::BuiltIn, Need::Boot, "the agent"),
    needed(&["EVENTFD"], Form::BuiltIn, Need::Boot, "the agent"),
    needed(&["SIGNALFD"], Form::BuiltIn, Need::Boot, "the agent"),
    needed(&["BLOCK"], Form::BuiltIn, Need::Boot, "disks"),
    needed(&["VIRTIO_MMIO"], Form::Module, Need::Boot, "all devices"),
    needed(&["VIRTIO_BLK"], Form::Module, Need::Boot, "disks"),
    needed(&["EXT4_FS"], Form::Module, Need::Boot, "the file system of every disk"),
    needed(&["OVERLAY_FS"], Form::Module, Need::Boot, "the root over the image"),
    needed(&["ACPI"], Form::BuiltIn, Need::Qemu, "finding the devices"),
    needed(&["VIRTIO_CONSOLE"], Form::Module, Need::Qemu, "the way to the agent"),
    needed(&["ACPI", "VIRTIO_MMIO_CMDLINE_DEVICES"], Form::BuiltIn, Need::Firecracker, "finding the devices"),
    needed(&["VSOCKETS"], Form::Module, Need::Firecracker, "the way to the agent"),
    needed(&["VIRTIO_VSOCKETS"], Form::Module, Need::Firecracker, "the way to the agent"),
    needed(&["VIRTIO_NET"], Form::Module, Need::Part, "the network"),
    needed(&["INET"], Form::BuiltIn, Need::Part, "the network"),
    needed(&["SERIAL_8250_CONSOLE"], Form::BuiltIn, Need::Part, "the console, `banger vm logs`"),
    needed(&["UNIX98_PTYS"], Form::BuiltIn, Need::Part, "terminals: `vm ssh`, `vm exec -it`"),
    needed(&["HW_RANDOM_VIRTIO"], Form::Module, Need::Part, "randomness from the host"),
    needed(&["CGROUPS"], Form::BuiltIn, Need::Part, "systemd and containers"),
    needed(&["NAMESPACES"], Form::BuiltIn, Need::Part, "systemd and containers"),
    needed(&["INOTIFY_USER"], Form::BuiltIn, Need::Part, "systemd"),
    needed(&["FHANDLE"], Form::BuiltIn, Need::Part, "systemd"),
    needed(&["TIMERFD"], Form::BuiltIn, Need::Part, "systemd"),
    needed(&["SECCOMP"], Form::BuiltIn, Need::Part, "systemd's and containers' filters"),
];

/// What a configuration says of the options that it sets.
#[derive(Debug, Default)]
pub(crate) struct KernelConfig<'t>(BTreeMap<&'t str, &'t str>);

/// What a configuration lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lacking {
    /// Without these no guest boots, under no VMM.
    pub(crate) fatal: Vec<String>,
    /// Without these something does not work.
    pub(crate) tolerable: Vec<String>,
}

impl<'t> KernelConfig<'t> {
    /// Reads a configuration; what is no setting is passed over.
    pub(crate) fn parse(text: &'t str) -> Self {
        let setting = |line: &'t str| line.trim().strip_prefix("CONFIG_")?.split_once('=');
        Self(text.lines().filter_map(setting).collect())
    }

    fn has(&self, needed: &Needed) -> bool {
        needed.options.iter().any(|option| match (self.0.get(option).copied(), needed.form) {
            (Some("y"), _) => true,
            (Some("m"), Form::Module) => self.0.get("MODULES") == Some(&"y"),
            (Some(_) | None, _) => false,
        })
    }

    /// Returns what is missing.
    pub(crate) fn lacking(&self) -> Lacking {
        let missing: Vec<&Needed> = TABLE.iter().filter(|needed| !self.has(needed)).collect();
        let lacks = |need| missing.iter().any(|needed| needed.need == need);
        let is_for_none = lacks(Need::Qemu) && lacks(Need::Firecracker);
        let mut lacking = Lacking::default();
        for needed in missing {
            let options: Vec<_> = needed.options.iter().map(|option| format!("CONFIG_{option}")).collect();
            let options = options.join(" or ");
            match needed.need {
                Need::Boot => lacking.fatal.push(options),
                Need::Qemu | Need::Firecracker if is_for_none => lacking.fatal.push(options),
                Need::Qemu => lacking.tolerable.push(format!("{options} (to boot under QEMU)")),
                Need::Firecracker => lacking.tolerable.push(format!("{options} (to boot under Firecracker)")),
                Need::Part => lacking.tolerable.push(format!("{options} ({})", needed.purpose)),
            }
        }
        lacking
    }
}

/// Returns the configuration that a kernel has in itself.
pub(crate) fn in_kernel(vmlinux: &[u8]) -> Option<String> {
    let start = memmem::find(vmlinux, IKCONFIG.0)? + IKCONFIG.0.len();
    let packed = vmlinux.get(start..)?;
    let packed = packed.get(..memmem::find(packed, IKCONFIG.1)?)?;
    let mut text = String::new();
    let unpacked = flate2::read::GzDecoder::new(packed).take(CONFIG_BYTES_MAX).read_to_string(&mut text);
    // What is damaged says nothing.
    unpacked.is_ok().then_some(text)
}

/// The table as `docs/kernels.md` has it.
#[cfg_attr(not(test), expect(dead_code, reason = "the document is held against it"))]
fn table_for_people() -> String {
    let mut text = String::from("| option | as | for |\n|---|---|---|\n");
    for Needed { options, form, need, purpose } in TABLE {
        let options: Vec<_> = options.iter().map(|option| format!("`{option}`")).collect();
        let form = match form {
            Form::BuiltIn => "built in",
            Form::Module => "built in or module",
        };
        let need = match need {
            Need::Boot => "every guest",
            Need::Qemu => "QEMU",
            Need::Firecracker => "Firecracker",
            Need::Part => "a part",
        };
        let _ = writeln!(text, "| {} | {form} | {need}: {purpose} |", options.join(" or "));
    }
    text
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
