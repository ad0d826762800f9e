//! Directories and plans for the tests.

use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_sys::process::ProcessIdentity;
use banger_vmm::{Drive, DriveRole, KernelFiles, MachineHandle, MachinePlan, Network};
use tempfile::TempDir;

use crate::tiny_guest::{self, Then};

/// The line that the tiny guest writes.
pub(crate) const LINE: &str = "hello from a tiny guest";

/// One VM's places.
pub(crate) struct Rig {
    pub plan: MachinePlan,
    directory: TempDir,
}

pub(crate) fn rig(then: Then) -> Rig {
    let directory = tempfile::Builder::new().prefix("vmm,").tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for name in ["state", "run"] {
        std::fs::create_dir(path(name)).unwrap();
    }
    tiny_guest::write(&path("guest.elf"), LINE, then);
    for (name, bytes) in [("initramfs", 4096), ("base", 1 << 20), ("overlay", 1 << 20)] {
        std::fs::File::create(path(name)).unwrap().set_len(bytes).unwrap();
    }
    let plan = MachinePlan {
        vm: banger_sys::id::random_hex::<8>().parse().unwrap(),
        state_directory: path("state"),
        runtime_directory: path("run"),
        kernel: KernelFiles {
            vmlinuz: path("guest.elf"),
            vmlinux: path("guest.elf"),
            initramfs: path("initramfs"),
        },
        kernel_arguments: Vec::new(),
        vcpus: "1".parse().unwrap(),
        memory: "128M".parse().unwrap(),
        drives: vec![
            Drive { role: DriveRole::Base, path: path("base") },
            Drive { role: DriveRole::Overlay, path: path("overlay") },
        ],
        network: Network::None,
    };
    Rig { plan, directory }
}

impl Rig {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Names of what lies in the runtime directory.
    pub(crate) fn runtime_names(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(&self.plan.runtime_directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Processes whose command line names this rig.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let name = self.directory.path().to_str().unwrap().replace(',', ",,");
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid: &u32| {
                let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&line).contains(&name)
            })
            .collect()
    }
}

/// Waits for a condition that no event tells, as the content of a file that another process writes.
pub(crate) async fn until(what: &str, mut is_met: impl FnMut() -> bool) {
    let wait = async {
        while !is_met() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait)
        .await
        .unwrap_or_else(|_late| panic!("never happened: {what}"));
}

pub(crate) async fn until_console_says(log: &Path, line: &str) {
    until(&format!("`{line}` on the console"), || {
        std::fs::read_to_string(log).is_ok_and(|text| text.contains(line))
    })
    .await;
}

pub(crate) fn is_alive(handle: &MachineHandle) -> bool {
    ProcessIdentity::from(handle.process).is_alive()
}
