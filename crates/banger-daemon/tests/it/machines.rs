//! The program that plays the machines, and the processes that run it.

use std::path::{Path, PathBuf};

use banger_sys::process::ProcessIdentity;

/// Processes whose command line names this directory.
pub fn processes_of(home: &Path) -> Vec<ProcessIdentity> {
    let needle = home.to_str().unwrap();
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        std::fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(needle))
    })
    .filter_map(ProcessIdentity::of)
    .collect()
}

/// The guest's program, as `make build` makes it.
pub fn agent() -> PathBuf {
    let directory = std::env::var_os("BANGER_BIN_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/release"), PathBuf::from);
    let agent = directory.join("banger-agent");
    assert!(agent.is_file(), "run make build first");
    agent.canonicalize().unwrap()
}
