//! Settings of this host that affect how fast VMs start and how well they are isolated. They are only read, never changed;
//! every parser is pure. A missing file gives `None`.
//!
//! Sources: `proc(5)`, `cgroups(7)`, Linux `Documentation/admin-guide/kernel-parameters.txt` and
//! `Documentation/admin-guide/hw-vuln/multihit.rst`, `seccomp(2)`.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

/// Settings of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostTuning {
    /// Major and minor version of the kernel.
    pub kernel: Option<(u32, u32)>,
    /// The processor's virtualisation features.
    pub processor: Processor,
    /// The module that emulates KVM without the processor's help (`kvm_pvm`), if there is one.
    pub software_kvm: Option<String>,
    /// Access rights of `/dev/kvm`; absent if it does not exist.
    pub kvm_device: Option<DeviceRights>,
    /// Mounts of cgroup hierarchies.
    pub cgroups: Vec<CgroupMount>,
    /// `nx_huge_pages` of KVM; absent without KVM.
    pub nx_huge_pages: Option<String>,
    /// Whether executable huge pages can crash this processor (iTLB multihit); absent if the kernel does not report it.
    pub has_itlb_multihit: Option<bool>,
    /// Reserved pages of 2 MiB.
    pub huge_pages: HugePages,
    /// The actions that a seccomp filter may take; absent without seccomp filters.
    pub seccomp_actions: Option<Vec<String>>,
    /// Maximum number of open files of this process; absent if there is no limit.
    pub open_files_max: Option<u64>,
    /// Maximum number of processes of this user; absent if there is no limit.
    pub processes_max: Option<u64>,
}

/// The processor's virtualisation features (`flags` of `/proc/cpuinfo`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Processor {
    /// Intel's extension.
    pub has_vmx: bool,
    /// AMD's extension.
    pub has_svm: bool,
    /// Whether this host is itself a virtual machine.
    pub is_virtual: bool,
}

/// Access rights of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say what the fields are")]
pub struct DeviceRights {
    pub mode: u32,
    /// Its group, by name if `/etc/group` lists it.
    pub group: String,
}

/// A mount of a cgroup hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say what the fields are")]
pub struct CgroupMount {
    pub path: PathBuf,
    /// Whether it is the unified hierarchy, version 2.
    pub is_unified: bool,
    /// Whether moving processes between its groups is fast (`favordynmods`).
    pub favors_moves: bool,
}

/// Reserved pages of 2 MiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HugePages {
    /// Number of reserved pages.
    pub total: u64,
    /// Number of reserved pages that are free.
    pub free: u64,
}

impl HostTuning {
    /// Reads the settings of this host.
    #[must_use]
    pub fn look() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let number = |path: &str| text(path).trim().parse().unwrap_or_default();
        let has_software_kvm = |module: &&str| Path::new("/sys/module").join(module).exists();
        let huge_pages = "/sys/kernel/mm/hugepages/hugepages-2048kB";
        Self {
            kernel: kernel_version(&text("/proc/sys/kernel/osrelease")),
            processor: Processor::of_cpuinfo(&text("/proc/cpuinfo")),
            software_kvm: ["kvm_pvm"].iter().find(|module| has_software_kvm(module)).map(ToString::to_string),
            kvm_device: device_rights(Path::new("/dev/kvm"), &text("/etc/group")),
            cgroups: cgroup_mounts(&text("/proc/self/mountinfo")),
            nx_huge_pages: fs::read_to_string("/sys/module/kvm/parameters/nx_huge_pages")
                .ok()
                .map(|text| text.trim().to_owned()),
            has_itlb_multihit: has_itlb_multihit(&text(
                "/sys/devices/system/cpu/vulnerabilities/itlb_multihit",
            )),
            huge_pages: HugePages {
                total: number(&format!("{huge_pages}/nr_hugepages")),
                free: number(&format!("{huge_pages}/free_hugepages")),
            },
            seccomp_actions: fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail")
                .ok()
                .map(|text| text.split_whitespace().map(str::to_owned).collect()),
            open_files_max: getrlimit(Resource::Nofile).maximum,
            processes_max: getrlimit(Resource::Nproc).maximum,
        }
    }

    /// Returns the mount point of the unified cgroup hierarchy.
    #[must_use]
    pub fn unified_cgroup(&self) -> Option<&Path> {
        self.cgroups.iter().find(|mount| mount.is_unified).map(|mount| mount.path.as_path())
    }
}

impl Processor {
    /// Parses `/proc/cpuinfo`.
    #[must_use]
    pub fn of_cpuinfo(cpuinfo: &str) -> Self {
        let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
        let has = |wanted: &str| flags.split_whitespace().any(|flag| flag == wanted);
        Self { has_vmx: has("vmx"), has_svm: has("svm"), is_virtual: has("hypervisor") }
    }
}

/// Parses major and minor version of a kernel's release, such as `6.1.0-56-cloud-amd64`.
fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let (major, rest) = release.trim().split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Finds the mounts of cgroup hierarchies in `/proc/self/mountinfo`.
fn cgroup_mounts(mountinfo: &str) -> Vec<CgroupMount> {
    mountinfo.lines().filter_map(cgroup_mount).collect()
}

/// Lines look like `31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,favordynmods`.
fn cgroup_mount(line: &str) -> Option<CgroupMount> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut file_system = file_system.split(' ');
    let is_unified = match file_system.next()? {
        "cgroup2" => true,
        "cgroup" => false,
        _ => return None,
    };
    let favors_moves =
        file_system.nth(1).unwrap_or_default().split(',').any(|option| option == "favordynmods");
    let path = PathBuf::from(mount.split(' ').nth(4)?);
    Some(CgroupMount { path, is_unified, favors_moves })
}

/// Parses `vulnerabilities/itlb_multihit`: `Not affected`, or the mitigation.
fn has_itlb_multihit(text: &str) -> Option<bool> {
    match text.trim() {
        "" => None,
        "Not affected" => Some(false),
        _ => Some(true),
    }
}

fn device_rights(device: &Path, groups: &str) -> Option<DeviceRights> {
    let metadata = fs::metadata(device).ok()?;
    Some(DeviceRights { mode: metadata.mode() & 0o777, group: group_name(groups, metadata.gid()) })
}

/// Finds a group's name in `/etc/group`; returns its number if it has none there.
fn group_name(groups: &str, gid: u32) -> String {
    let name = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(gid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| gid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_known_by_its_flags() {
        let of = |flags: &str| {
            let processor =
                Processor::of_cpuinfo(&format!("processor : 0\nflags\t\t: fpu {flags} sse\nbugs : vmx\n"));
            (processor.has_vmx, processor.has_svm, processor.is_virtual)
        };
        assert_eq!(of("vmx"), (true, false, false));
        assert_eq!(of("svm hypervisor"), (false, true, true));
        assert_eq!(of("svm_lock"), (false, false, false));
        assert_eq!(Processor::of_cpuinfo(""), Processor::default());
    }

    #[test]
    fn a_kernel_is_known_by_its_release() {
        assert_eq!(kernel_version("6.1.0-56-cloud-amd64\n"), Some((6, 1)));
        assert_eq!(kernel_version("7.0-rc1"), Some((7, 0)));
        assert_eq!(kernel_version("five"), None);
    }

    #[test]
    fn cgroups_are_found_in_both_versions_with_how_fast_processes_move() {
        let mountinfo = "\
            22 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n\
            31 22 0:27 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755\n\
            32 31 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            33 31 0:29 / /sys/fs/cgroup/unified rw,nosuid shared:10 master:3 - cgroup2 cgroup2 rw,nsdelegate,favordynmods\n\
            odd line\n";
        let found: Vec<_> = cgroup_mounts(mountinfo)
            .into_iter()
            .map(|mount| (mount.path.display().to_string(), mount.is_unified, mount.favors_moves))
            .collect();
        assert_eq!(
            found,
            [("/sys/fs/cgroup/memory".into(), false, false), ("/sys/fs/cgroup/unified".into(), true, true)]
        );
    }

    #[test]
    fn a_mitigation_means_that_the_processor_needs_it() {
        assert_eq!(has_itlb_multihit("Not affected\n"), Some(false));
        assert_eq!(has_itlb_multihit("KVM: Mitigation: Split huge pages\n"), Some(true));
        assert_eq!(has_itlb_multihit(""), None);
    }

    #[test]
    fn a_group_without_a_name_is_a_number() {
        let groups = "root:x:0:\nkvm:x:104:ann,bob\nodd\n";
        assert_eq!([104, 0, 7].map(|gid| group_name(groups, gid)), ["kvm", "root", "7"]);
    }

    #[test]
    fn this_host_can_be_looked_at() {
        let tuning = HostTuning::look();
        assert!(tuning.kernel.is_some_and(|(major, _)| major > 3), "{tuning:?}");
        assert!(tuning.open_files_max.is_none_or(|files| files > 0));
    }
}
