//! Places for scenarios. The kernel and the image are pulled once per checkout, on an empty state, and every home
//! has them as hard links: as whole and as separate as a copy, at no cost.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use banger_sys::lock::FileLock;

use crate::Banger;

/// A `BANGER_HOME` of its own; dropping it ends its daemon and VMs, and removes it.
#[derive(Debug)]
pub struct Home {
    directory: tempfile::TempDir,
}

/// Returns the directory of the built programs.
///
/// # Panics
/// When they are not built.
#[must_use]
pub fn programs() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let directory = match std::env::var_os("BANGER_BIN_DIR") {
        Some(directory) => PathBuf::from(directory),
        None => workspace.join("target/release"),
    };
    for program in ["banger", "bangerd", "banger-agent"] {
        let path = directory.join(program);
        assert!(path.is_file(), "`{}` is missing: run `make build` first", path.display());
    }
    directory.canonicalize().unwrap_or(directory)
}

impl Home {
    /// A home without kernel and image.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn empty() -> Self {
        // Short, because sockets live below it: a socket's path has at most 107 bytes.
        let directory =
            tempfile::Builder::new().prefix("bs").tempdir_in("/var/tmp").expect("a temporary directory");
        Self { directory }
    }

    /// A home that has the default kernel and image.
    ///
    /// # Panics
    /// When they cannot be pulled.
    #[must_use]
    pub fn ready() -> Self {
        let home = Self::empty();
        for kind in ["kernels", "images"] {
            link_tree(&pulled().join("state").join(kind), &home.path().join("state").join(kind))
                .expect("kernel and image can be linked");
        }
        home
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Prepares a call of `banger` in this home.
    #[must_use]
    pub fn banger(&self, arguments: &[&str]) -> Banger {
        Banger::new(self.path(), arguments)
    }

    /// Calls `banger` and returns what it wrote to stdout.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn text(&self, arguments: &[&str]) -> String {
        let answer = self.banger(arguments).run();
        assert_eq!(answer.status, 0, "banger {arguments:?}: {answer:?}");
        answer.stdout
    }

    /// Returns what `banger vm show --json` says of a VM.
    ///
    /// # Panics
    /// When there is no such VM.
    #[must_use]
    pub fn show(&self, vm: &str) -> serde_json::Value {
        serde_json::from_str(&self.text(&["vm", "show", "--json", vm])).expect("JSON")
    }

    /// Returns the process of this home's daemon, if it runs.
    #[must_use]
    pub fn daemon_pid(&self) -> Option<i32> {
        let answer = self.banger(&["daemon", "status", "--json"]).run();
        let status: serde_json::Value = serde_json::from_str(&answer.stdout).ok()?;
        i32::try_from(status.get("pid")?.as_i64()?).ok()
    }

    /// Returns the command lines of this home's machines and their companions.
    #[must_use]
    pub fn machines(&self) -> Vec<String> {
        let home = self.path().display().to_string();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let lines = processes.filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok());
        lines.filter(|line| line.contains("qemu-system") && line.contains(&home)).collect()
    }

    /// Returns the names of the files that VMs have left.
    #[must_use]
    pub fn leftovers(&self) -> Vec<PathBuf> {
        ["state/vms", "run/vms"]
            .into_iter()
            .flat_map(|directory| fs::read_dir(self.path().join(directory)).into_iter().flatten().flatten())
            .map(|entry| entry.path())
            .collect()
    }

    /// Fails when a machine, a row or a file of a VM is left.
    ///
    /// # Panics
    /// When something is left.
    pub fn assert_nothing_left(&self) {
        assert_eq!(self.text(&["vm", "list", "--json"]).trim(), "[]");
        assert_eq!(self.machines(), [""; 0]);
        assert!(self.leftovers().is_empty(), "left behind: {:?}", self.leftovers());
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let list = self.banger(&["vm", "list", "--json"]).run();
        let vms: Vec<serde_json::Value> = serde_json::from_str(&list.stdout).unwrap_or_default();
        for vm in vms {
            if let Some(name) = vm.get("name").and_then(serde_json::Value::as_str) {
                let _ = self.banger(&["vm", "delete", "-q", name]).run();
            }
        }
        let _ = self.banger(&["daemon", "stop", "--force"]).run();
    }
}

/// Returns a home into which kernel and image were pulled by this checkout's programs, once.
fn pulled() -> &'static Path {
    static PULLED: OnceLock<PathBuf> = OnceLock::new();
    PULLED.get_or_init(|| {
        let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/smoke");
        fs::create_dir_all(&home).expect("target can be written");
        let home = home.canonicalize().expect("it was made above");
        let _lock = FileLock::acquire(&home.join("lock")).expect("lock");
        let answer = Banger::new(&home, &["image", "list", "--json"]).run();
        let images: Vec<serde_json::Value> = serde_json::from_str(&answer.stdout).expect("a list of images");
        if !images.iter().any(|image| image["name"] == "debian-bookworm" && image["is_pulled"] == true) {
            let answer = Banger::new(&home, &["image", "pull", "debian-bookworm"]).run();
            assert_eq!(answer.status, 0, "{answer:?}");
        }
        let _ = Banger::new(&home, &["daemon", "stop", "--force"]).run();
        home
    })
}

fn link_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            link_tree(&entry.path(), &target)?;
        } else if fs::hard_link(entry.path(), &target).is_err() {
            // Another file system: a copy is as good, only slower.
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
