//! Directories and plans for the tests.

use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_sys::process::ProcessIdentity;
use banger_vmm::{Drive, DriveRole, KernelFiles, MachineHandle, MachinePlan, Network};
use tempfile::TempDir;

/// The line that the tiny guest writes.
pub const LINE: &str = "hello from a tiny guest";

/// The file that the guest boots as its kernel.
const GUEST: &str = "guest.elf";

/// The directories of one VM.
#[derive(Debug)]
pub struct Rig {
    /// The plan of the machine.
    pub plan: MachinePlan,
    directory: TempDir,
}

impl Rig {
    /// Makes the directories, a base and an overlay whose first bytes are `base` and `over`, and a kernel written by
    /// `write`.
    ///
    /// # Panics
    /// If the files cannot be written.
    pub fn with_kernel(write: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::Builder::new().prefix("vmm,").tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let vm: banger_model::VmId = banger_sys::id::random_hex::<8>().parse().unwrap();
        let state = path("vms").join(vm.as_str());
        for directory in [&state, &path("run")] {
            std::fs::create_dir_all(directory).unwrap();
        }
        write(&path(GUEST));
        for (name, content, bytes) in
            [("initramfs", "", 4096), ("base", "base", 1 << 20), ("overlay", "over", 1 << 20)]
        {
            std::fs::write(path(name), content).unwrap();
            std::fs::OpenOptions::new().write(true).open(path(name)).unwrap().set_len(bytes).unwrap();
        }
        let plan = MachinePlan {
            vm,
            state_directory: state,
            runtime_directory: path("run"),
            kernel: KernelFiles {
                vmlinuz: None,
                vmlinux: path(GUEST),
                has_pvh_entry: true,
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
            drive_limit: None,
        };
        Self { plan, directory }
    }

    /// Returns the path of one of its files.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Returns the directory of all VMs.
    #[must_use]
    pub fn state_root(&self) -> PathBuf {
        self.path("vms")
    }

    /// Returns the names of the files in the runtime directory.
    ///
    /// # Panics
    /// If the directory cannot be read.
    #[must_use]
    pub fn runtime_names(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(&self.plan.runtime_directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Returns the processes whose command line names this rig or its VM.
    ///
    /// # Panics
    /// If `/proc` cannot be read.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        let directory = self.directory.path().to_str().unwrap().replace(',', ",,");
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid: &u32| {
                let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line);
                line.contains(&directory) || line.contains(self.plan.vm.as_str())
            })
            .collect()
    }
}

/// Waits for a condition that no event reports, such as the content of a file that another process writes.
///
/// # Panics
/// If it is not met within half a minute.
pub async fn until(what: &str, mut is_met: impl FnMut() -> bool) {
    let wait = async {
        while !is_met() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait)
        .await
        .unwrap_or_else(|_late| panic!("never happened: {what}"));
}

/// Waits until a console log contains a text.
///
/// # Panics
/// If it does not within half a minute.
pub async fn until_console_says(log: &Path, line: &str) {
    until(&format!("`{line}` on the console"), || {
        std::fs::read_to_string(log).is_ok_and(|text| text.contains(line))
    })
    .await;
}

/// Tells whether a machine's process is running.
#[must_use]
pub fn is_alive(handle: &MachineHandle) -> bool {
    ProcessIdentity::from(handle.process).is_alive()
}

impl Drop for Rig {
    /// The programs' output is deleted with the directory, so a failing test prints it. Machines outlive their owner; those
    /// of a failing test are ended here.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for process in self.processes().into_iter().filter_map(ProcessIdentity::of) {
            if let Ok(Some(process)) = process.open() {
                let _ = process.signal(rustix::process::Signal::KILL);
            }
        }
        for name in ["network.log", "vmm.log", "firecracker.log", "console.log"] {
            if let Ok(text) = std::fs::read(self.plan.state_directory.join(name)) {
                let text = String::from_utf8_lossy(&text);
                let lines: Vec<_> = text.lines().rev().take(20).collect();
                for line in lines.iter().rev() {
                    eprintln!("{name}: {line}");
                }
            }
        }
    }
}
