//! Facts about the host: processors, memory, whether hardware virtualisation is usable.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the number of processors that this process may use.
#[must_use]
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Returns the host's memory in MiB (`MemTotal` of `/proc/meminfo`).
#[must_use]
pub fn memory_mib() -> u64 {
    let kib = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        text.lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok())
    });
    kib.unwrap_or(0) / 1024
}

/// Whether ordinary guests can run directly on the processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Virtualization {
    /// `/dev/kvm` can be opened, and the processor has vmx or svm.
    Usable,
    /// There is no `/dev/kvm`.
    Absent,
    /// `/dev/kvm` exists, but this user may not open it.
    Forbidden,
    /// `/dev/kvm` can be opened, but the processor has neither vmx nor svm: a software KVM, on which an ordinary kernel
    /// hangs.
    SoftwareOnly,
}

/// Examines `/dev/kvm` and the processor's flags.
#[must_use]
pub fn virtualization() -> Virtualization {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let kvm = Path::new("/dev/kvm");
    if !kvm.exists() {
        Virtualization::Absent
    } else if fs::OpenOptions::new().read(true).write(true).open(kvm).is_err() {
        Virtualization::Forbidden
    } else if has_virtualization_flag(&cpuinfo) {
        Virtualization::Usable
    } else {
        Virtualization::SoftwareOnly
    }
}

fn has_virtualization_flag(cpuinfo: &str) -> bool {
    cpuinfo
        .lines()
        .filter(|line| line.starts_with("flags"))
        .any(|line| line.split_whitespace().any(|flag| flag == "vmx" || flag == "svm"))
}

/// Tests whether this user can make namespaces with mounts of their own: a distribution may forbid them altogether, or allow
/// the namespace and then refuse its use (`AppArmor` on Ubuntu).
///
/// # Errors
/// The reason: as `unshare(2)` and `mount(2)`.
#[expect(unsafe_code, reason = "a namespace can be tried out between fork and exec only")]
pub fn try_user_namespaces() -> std::io::Result<()> {
    use rustix::mount::{MountPropagationFlags, mount_change};
    use rustix::thread::{UnshareFlags, unshare_unsafe};
    use std::os::unix::process::CommandExt as _;
    /// Reports success: the attempt ends there, and no program is started.
    const WORKED: rustix::io::Errno = rustix::io::Errno::ALREADY;
    let attempt = || {
        // SAFETY: the process between fork and exec has one thread and shares no descriptors.
        unsafe { unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNS | UnshareFlags::NEWNET) }?;
        mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
        Err(WORKED.into())
    };
    let mut command = std::process::Command::new("/proc/self/exe");
    // SAFETY: the closure makes plain system calls; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(attempt) };
    match command.spawn() {
        Err(error) if error.raw_os_error() == Some(WORKED.raw_os_error()) => Ok(()),
        Err(error) => Err(error),
        // The attempt never lets a program start.
        Ok(mut child) => child.kill().and_then(|()| child.wait()).map(drop),
    }
}

/// Returns the host processor's clock rate in kHz, if the kernel reports it.
#[must_use]
pub fn processor_khz() -> Option<u64> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = cpuinfo.lines().find(|line| line.starts_with("cpu MHz"))?;
    let (whole, thousandths) = line.split(':').nth(1)?.trim().split_once('.')?;
    let thousandths: String = thousandths.chars().chain("000".chars()).take(3).collect();
    Some(whole.parse::<u64>().ok()? * 1000 + thousandths.parse::<u64>().ok()?)
}

/// Returns the directories in which programs are searched: `PATH`, or the default directories of a system if it is not set.
#[must_use]
pub fn search_path() -> std::ffi::OsString {
    const OF_SYSTEM: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    std::env::var_os("PATH").filter(|path| !path.is_empty()).unwrap_or_else(|| OF_SYSTEM.into())
}

/// Returns the path of a program found on `PATH` or in the sbin directories, which a user's `PATH` often lacks.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    find_program_on(&search_path(), name)
}

/// Returns the path of a program found on another process's `PATH` or in the sbin directories. Relative directories are
/// skipped, because they are relative to that process's working directory.
#[must_use]
pub fn find_program_on(path: &std::ffi::OsStr, name: &str) -> Option<PathBuf> {
    std::env::split_paths(path)
        .filter(|directory| directory.is_absolute())
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| is_executable(candidate))
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// Space on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// Bytes that this user may still write.
    pub free_bytes: u64,
    /// Size of the whole file system.
    pub total_bytes: u64,
}

/// Returns the space on the file system that holds `path`.
///
/// # Errors
/// As `statvfs(3)`.
pub fn disk_space(path: &Path) -> std::io::Result<DiskSpace> {
    let statistics = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(statistics.f_frsize);
    Ok(DiskSpace { free_bytes: bytes(statistics.f_bavail), total_bytes: bytes(statistics.f_blocks) })
}

/// Returns the free bytes of the file system that holds `path`, for this user.
///
/// # Errors
/// As `statvfs(3)`.
pub fn free_bytes(path: &Path) -> std::io::Result<u64> {
    disk_space(path).map(|space| space.free_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_vmx_or_svm_counts_as_virtualization() {
        assert!(has_virtualization_flag("flags\t\t: fpu vmx sse\n"));
        assert!(has_virtualization_flag("model name : x\nflags : fpu svm\n"));
        assert!(!has_virtualization_flag("flags\t\t: fpu hypervisor svm_lock\nbugs : vmx\n"));
    }

    #[test]
    fn namespaces_are_tried_without_starting_anything() {
        // Whatever this host allows, the result is the same twice, and this process stays in its namespaces.
        let before = fs::read_link("/proc/self/ns/user").unwrap();
        assert_eq!(try_user_namespaces().is_ok(), try_user_namespaces().is_ok());
        assert_eq!(fs::read_link("/proc/self/ns/user").unwrap(), before);
    }

    #[test]
    fn a_file_system_has_no_more_room_than_its_size() {
        let space = disk_space(Path::new("/")).unwrap();
        assert!(space.free_bytes <= space.total_bytes && space.total_bytes > 0, "{space:?}");
        assert!(disk_space(Path::new("/no/such/place")).is_err());
    }

    #[test]
    fn a_program_is_found_on_the_path_and_a_missing_one_is_not() {
        assert!(find_program("sh").is_some());
        assert_eq!(find_program("no-such-program-of-banger"), None);
    }
}
