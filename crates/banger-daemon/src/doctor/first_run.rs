//! What the first run needs beside programs: ids and namespaces, package sources, and directories that can do what is done to
//! them. The rules are pure; [`Facts::look`] is what looks.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use banger_image::{BUILD_DIRECTORY, ImageBuildError, PackageSources, has_sub_ids};
use banger_model::{DiskFloor, DiskRoom, Hint};
use banger_sys::host::{DiskSpace, disk_space, try_user_namespaces};
use banger_sys::id::random_hex;
use rustix::fs::StatVfsMountFlags;
use rustix::process::{Resource, getrlimit};

use super::check::{Check, Outcome, check, is_root};

/// What a first run writes: a kernel, an image, and the disks of a VM.
const FIRST_RUN_BYTES: u64 = 2 << 30;
/// A file of this length with one block of content.
const SPARSE_BYTES: u64 = 64 << 20;

/// What the rows are made of.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) is_root: bool,
    /// Then nothing is built by the first run.
    pub(super) is_image_here: bool,
    pub(super) has_sub_ids: bool,
    /// Why this user cannot create namespaces.
    pub(super) no_namespaces: Option<String>,
    /// Kernel settings that forbid namespaces, each as `sysctl` takes the one that allows them.
    pub(super) forbidding: Vec<&'static str>,
    pub(super) sources: PackageSources,
    pub(super) state: PathBuf,
    pub(super) space: Option<DiskSpace>,
    /// Why files in the state directory cannot have holes.
    pub(super) no_holes: Option<String>,
    /// Where programs of a new image are run, and whether they may be.
    pub(super) build: (PathBuf, bool),
    /// Longest file that this process may write.
    pub(super) file_bytes_max: Option<u64>,
    /// Memory of a VM when nothing is said.
    pub(super) memory_bytes: u64,
}

impl Facts {
    /// Looks at this host.
    pub(super) fn look(state: &Path, is_image_here: bool, memory_bytes: u64) -> Self {
        let build = if is_root() { state.to_owned() } else { PathBuf::from(BUILD_DIRECTORY) };
        let may_execute = rustix::fs::statvfs(&build)
            .map_or(true, |found| !found.f_flag.contains(StatVfsMountFlags::NOEXEC));
        Self {
            is_root: is_root(),
            is_image_here,
            has_sub_ids: has_sub_ids(),
            no_namespaces: try_user_namespaces().err().map(|error| error.to_string()),
            forbidding: forbidding(|path| fs::read_to_string(path).ok()),
            sources: PackageSources::look(),
            state: state.to_owned(),
            space: disk_space(state).ok(),
            no_holes: try_holes(state).err().map(|error| error.to_string()),
            build: (build, may_execute),
            file_bytes_max: getrlimit(Resource::Fsize).current,
            memory_bytes,
        }
    }
}

/// The rows, in a fixed order.
pub(super) fn rows(facts: &Facts, floor: DiskFloor) -> Vec<Check> {
    vec![
        namespaces(facts),
        sub_ids(facts),
        package_sources(facts),
        build_directory(facts),
        state_directory(facts),
        disk_space_row(facts, floor),
        guest_memory(facts),
    ]
}

/// A finding that fails the first run where something must be built by it, and is a warning else.
fn of_build(facts: &Facts, name: &str, detail: impl Into<String>, fix: Option<Hint>) -> Check {
    let outcome = if facts.is_image_here { Outcome::Warn } else { Outcome::Fail };
    Check { fix, ..check(name, outcome, detail) }
}

fn fail(name: &str, detail: impl Into<String>, fix: Option<Hint>) -> Check {
    Check { fix, ..check(name, Outcome::Fail, detail) }
}

fn namespaces(facts: &Facts) -> Check {
    const NAME: &str = "user namespaces";
    match &facts.no_namespaces {
        None => check(NAME, Outcome::Pass, "this user can create them"),
        Some(why) => {
            let settings: Vec<_> =
                facts.forbidding.iter().map(|setting| format!("sudo sysctl -w {setting}")).collect();
            let fix = (!settings.is_empty()).then(|| Hint::on_host(settings.join(" && ")));
            let detail = format!(
                "this user cannot create them ({why}): guests have no network, and images cannot be built"
            );
            fail(NAME, detail, fix)
        }
    }
}

fn sub_ids(facts: &Facts) -> Check {
    const NAME: &str = "subordinate ids";
    match (facts.is_root, facts.has_sub_ids) {
        (true, _) => check(NAME, Outcome::Pass, "not needed by root"),
        (false, true) => check(NAME, Outcome::Pass, "in `/etc/subuid` and `/etc/subgid`"),
        (false, false) => {
            let detail =
                "this user has none in `/etc/subuid` and `/etc/subgid`: Debian images cannot be built";
            of_build(facts, NAME, detail, ImageBuildError::NoSubordinateIds.hint())
        }
    }
}

fn package_sources(facts: &Facts) -> Check {
    const NAME: &str = "package sources";
    let PackageSources { suite, has_suite, has_lists, has_keys } = &facts.sources;
    if !has_suite {
        let detail =
            format!("apt has no source for Debian `{suite}`, which the kernel and the image come from");
        let fix = Hint::advice(format!(
            "add `deb http://deb.debian.org/debian {suite} main` to /etc/apt/sources.list, then: sudo apt-get update"
        ));
        of_build(facts, NAME, detail, Some(fix))
    } else if !has_lists {
        of_build(facts, NAME, "apt has no package lists", Some(Hint::on_host("sudo apt-get update")))
    } else if !has_keys {
        let detail = "the keys of Debian's archive are missing";
        of_build(facts, NAME, detail, Some(Hint::install("debian-archive-keyring")))
    } else {
        check(NAME, Outcome::Pass, format!("apt knows Debian `{suite}`"))
    }
}

fn build_directory(facts: &Facts) -> Check {
    const NAME: &str = "build directory";
    let (path, may_execute) = &facts.build;
    let path = path.display();
    if *may_execute {
        return check(NAME, Outcome::Pass, format!("`{path}`"));
    }
    let detail =
        format!("`{path}` is on a file system without programs (noexec): Debian images cannot be built");
    of_build(
        facts,
        NAME,
        detail,
        Some(Hint::on_host(format!("sudo mount -o remount,exec \"$(findmnt -n -o TARGET -T {path})\""))),
    )
}

fn state_directory(facts: &Facts) -> Check {
    const NAME: &str = "state directory";
    let path = facts.state.display();
    match &facts.no_holes {
        None => check(NAME, Outcome::Pass, format!("`{path}`")),
        Some(why) => {
            let detail =
                format!("files in `{path}` cannot be sparse ({why}): every disk would take its full size");
            fail(NAME, detail, Some(Hint::advice("set BANGER_HOME to a directory on ext4, xfs or btrfs")))
        }
    }
}

fn disk_space_row(facts: &Facts, floor: DiskFloor) -> Check {
    const NAME: &str = "disk space";
    let Some(DiskSpace { free_bytes, total_bytes }) = facts.space else {
        return fail(NAME, format!("the free space of `{}` is unknown", facts.state.display()), None);
    };
    let room = DiskRoom { path: &facts.state, free_bytes, total_bytes };
    let needed_bytes = if facts.is_image_here { 0 } else { FIRST_RUN_BYTES };
    match floor.check(&room, needed_bytes) {
        Ok(()) => {
            let detail = format!("{} MiB free in `{}`", free_bytes >> 20, facts.state.display());
            check(NAME, Outcome::Pass, detail)
        }
        Err(below) => fail(NAME, below.to_string(), Some(Hint::FreeSpace)),
    }
}

fn guest_memory(facts: &Facts) -> Check {
    const NAME: &str = "guest memory";
    match facts.file_bytes_max {
        // A guest's memory is a file without a name, and its disks are files.
        Some(bytes_max) if bytes_max < facts.memory_bytes => {
            let detail = format!(
                "this user's files are limited to {} MiB, but a guest's memory is a file of {} MiB",
                bytes_max >> 20,
                facts.memory_bytes >> 20
            );
            fail(NAME, detail, Some(Hint::on_host("ulimit -f unlimited")))
        }
        Some(_) | None => check(NAME, Outcome::Pass, format!("{} MiB by default", facts.memory_bytes >> 20)),
    }
}

/// Returns the settings that would allow what the present ones forbid.
fn forbidding(read: impl Fn(&str) -> Option<String>) -> Vec<&'static str> {
    [
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces=15000"),
    ]
    .into_iter()
    .filter(|(path, bad, _)| read(path).is_some_and(|value| value.trim() == *bad))
    .map(|(_, _, setting)| setting)
    .collect()
}

/// Tries whether a file can have a hole.
fn try_holes(directory: &Path) -> io::Result<()> {
    let path = directory.join(format!(".doctor.{}", random_hex::<4>()));
    let file = File::create_new(&path)?;
    // Nobody else needs its name.
    fs::remove_file(&path)?;
    file.set_len(SPARSE_BYTES)?;
    file.write_all_at(b"x", SPARSE_BYTES - 1)?;
    file.sync_data()?;
    let taken = file.metadata()?.blocks() * 512;
    if taken < SPARSE_BYTES / 2 { Ok(()) } else { Err(io::Error::other("holes use space")) }
}

#[cfg(test)]
#[path = "first_run_tests.rs"]
mod tests;
