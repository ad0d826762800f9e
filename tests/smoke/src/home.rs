//! Homes for scenarios. The kernel and the image are pulled once per checkout, into an empty state, and every home has them
//! as hard links, which are as complete and separate as copies, at no cost.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use banger_sys::lock::FileLock;
use rustix::process::{Pid, Signal, kill_process};

use crate::Banger;

/// The directory for the homes of a scenario that the harness runs. The harness examines those that a failure left there.
pub(crate) const ROOM: &str = "BANGER_SMOKE_ROOM";
/// The directory into which the harness has pulled kernel and image.
pub(crate) const PULLED: &str = "BANGER_SMOKE_PULLED";

/// Free disk space of the host is irrelevant to scenarios, except for those about it.
const WITHOUT_FLOOR: &str = "disk_floor = '0'\n";

/// A `BANGER_HOME` of its own; dropping it ends its daemon and VMs, and removes it. A failing scenario of the harness leaves
/// it, so that the harness can examine and clear it.
#[derive(Debug)]
pub struct Home {
    directory: tempfile::TempDir,
}

/// Returns the directory of the built programs.
///
/// # Panics
/// If they are not built.
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
    /// Makes a home without kernel and image.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn empty() -> Self {
        let (place, prefix) = match std::env::var_os(ROOM) {
            Some(room) => (PathBuf::from(room), "h"),
            None => (PathBuf::from("/var/tmp"), "bs"),
        };
        let directory =
            tempfile::Builder::new().prefix(prefix).tempdir_in(place).expect("a temporary directory");
        let home = Self { directory };
        home.configure(WITHOUT_FLOOR);
        home
    }

    /// Replaces the configuration; a running daemon keeps the old one.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn configure(&self, text: &str) {
        configure(self.path(), text);
    }

    /// Makes a home that has the default kernel and image.
    ///
    /// # Panics
    /// If they cannot be pulled.
    #[must_use]
    pub fn ready() -> Self {
        let home = Self::empty();
        for kind in ["kernels", "images"] {
            link_tree(&pulled().join("state").join(kind), &home.path().join("state").join(kind))
                .expect("kernel and image can be linked");
        }
        home
    }

    /// Returns the path of the home.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Prepares a call of `banger` in this home.
    #[must_use]
    pub fn banger(&self, arguments: &[&str]) -> Banger {
        Banger::new(self.path(), arguments)
    }

    /// Calls `banger` and returns its stdout.
    ///
    /// # Panics
    /// If it fails.
    #[must_use]
    pub fn text(&self, arguments: &[&str]) -> String {
        let answer = self.banger(arguments).run();
        assert_eq!(answer.status, 0, "banger {arguments:?}: {answer:?}");
        answer.stdout
    }

    /// Returns the output of `banger vm show --json` for a VM.
    ///
    /// # Panics
    /// If there is no such VM.
    #[must_use]
    pub fn show(&self, vm: &str) -> serde_json::Value {
        serde_json::from_str(&self.text(&["vm", "show", "--json", vm])).expect("JSON")
    }

    /// Returns the process of this home's daemon, if it is running.
    #[must_use]
    pub fn daemon_pid(&self) -> Option<i32> {
        let answer = self.banger(&["daemon", "status", "--json"]).run();
        let status: serde_json::Value = serde_json::from_str(&answer.stdout).ok()?;
        i32::try_from(status.get("pid")?.as_i64()?).ok()
    }

    /// Returns the command lines of this home's machines and their companions.
    #[must_use]
    pub fn machines(&self) -> Vec<String> {
        let processes = processes_of(self.path()).into_iter();
        processes.map(|(_pid, line)| line).filter(|line| line.contains("qemu-system")).collect()
    }

    /// Returns the IDs of this home's network processes.
    #[must_use]
    pub fn networks(&self) -> Vec<i32> {
        let processes = processes_of(self.path()).into_iter();
        processes.filter(|(_pid, line)| line.contains("machine-network")).map(|(pid, _line)| pid).collect()
    }

    /// Returns the IDs of this home's processes: its daemon, its machines, and the commands that use it.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        processes_of(self.path()).into_iter().map(|(pid, _line)| pid).collect()
    }

    /// Returns the names of files that VMs have left behind.
    #[must_use]
    pub fn leftovers(&self) -> Vec<PathBuf> {
        ["state/vms", "run/vms"]
            .into_iter()
            .flat_map(|directory| fs::read_dir(self.path().join(directory)).into_iter().flatten().flatten())
            .map(|entry| entry.path())
            .collect()
    }

    /// Fails if a machine, a row or a file of a VM is left.
    ///
    /// # Panics
    /// If something is left.
    pub fn assert_nothing_left(&self) {
        assert_eq!(self.text(&["vm", "list", "--json"]).trim(), "[]");
        assert_eq!(self.machines(), [""; 0]);
        assert!(self.leftovers().is_empty(), "left behind: {:?}", self.leftovers());
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os(ROOM).is_some() {
            self.directory.disable_cleanup(true);
            return;
        }
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

/// Ends all processes of a home whose scenario did not: in order if that is possible within the deadline, then by force.
pub(crate) fn clear(home: &Path, deadline: Duration) {
    let call = |arguments: &[&str]| Banger::new(home, arguments).run_within(deadline);
    let vms: Vec<serde_json::Value> =
        serde_json::from_str(&call(&["vm", "list", "--json"]).stdout).unwrap_or_default();
    for name in vms.iter().filter_map(|vm| vm["name"].as_str()) {
        let _ = call(&["vm", "delete", "-q", name]);
    }
    let _ = call(&["daemon", "stop", "--force"]);
    for (pid, _line) in processes_of(home) {
        if let Some(pid) = Pid::from_raw(pid) {
            // It may have ended meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Returns the processes that name this home in their command line or environment.
fn processes_of(home: &Path) -> Vec<(i32, String)> {
    let home = home.display().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let read = |name: &str| {
            fs::read(entry.path().join(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        let (Ok(line), environment) = (read("cmdline"), read("environ").unwrap_or_default()) else {
            continue;
        };
        let names_it = |text: &str| text.split('\0').any(|part| part.contains(&home));
        if names_it(&line) || names_it(&environment) {
            found.push((pid, line));
        }
    }
    found
}

/// Returns a home into which this checkout's programs have pulled kernel and image, once.
pub(crate) fn pulled() -> &'static Path {
    static HOME: OnceLock<PathBuf> = OnceLock::new();
    HOME.get_or_init(|| {
        if let Some(home) = std::env::var_os(PULLED) {
            return PathBuf::from(home);
        }
        let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/smoke");
        fs::create_dir_all(&home).expect("target can be written");
        let home = home.canonicalize().expect("it was made above");
        let _lock = FileLock::acquire(&home.join("lock")).expect("lock");
        configure(&home, WITHOUT_FLOOR);
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

fn configure(home: &Path, text: &str) {
    let directory = home.join("config");
    fs::create_dir_all(&directory).expect("a home can be written");
    fs::write(directory.join("config.toml"), text).expect("a home can be written");
}

fn link_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            link_tree(&entry.path(), &target)?;
        } else if fs::hard_link(entry.path(), &target).is_err() {
            // On another file system, a copy serves as well, only slower.
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
