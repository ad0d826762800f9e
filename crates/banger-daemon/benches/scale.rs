//! Many VMs, printed as JSON: what the daemon itself takes to make one, its memory, its start, and the list of all. The
//! machines are fakes, so that the figures are the daemon's own; each is a real process that speaks the real protocol.
//!
//! The daemon is a process of its own: this program, started again.

#![allow(
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "a measurement that cannot go on fails right there; the parts of the tests have more than is used here"
)]

#[path = "../tests/it/fake_source.rs"]
mod fake_source;
#[path = "../tests/it/fake_vmms.rs"]
mod fake_vmms;
#[path = "../tests/it/gate.rs"]
mod gate;
#[path = "../tests/it/machines.rs"]
mod machines;
#[path = "../tests/it/sandbox.rs"]
mod sandbox;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use banger_api::{DaemonInfo, OperationView};
use serde_json::json;

use crate::gate::PATIENCE;
use crate::sandbox::Sandbox;

const HOME: &str = "BANGER_SCALE_HOME";
const READY: &str = "ready";
/// VMs that run, and VMs in all.
const RUNNING: usize = 500;
const ALL: usize = 1000;
/// How many the first and the last are that are compared.
const SAMPLE: usize = 25;
const CALLS: usize = 21;

#[tokio::main]
async fn main() {
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    if let Some(home) = std::env::var_os(HOME) {
        return be_the_daemon(Path::new(&home)).await;
    }
    let home = tempfile::Builder::new().prefix("bs").tempdir_in("/var/tmp").unwrap();
    let sandbox = Sandbox::at(home.path(), PATIENCE);
    let mut daemon = start_daemon(home.path());
    let mut work = Vec::new();
    for _ in 0..RUNNING {
        work.push(own_work(&create(&sandbox, false).await));
    }
    let info: DaemonInfo = sandbox.client.get("/v1/info").await.unwrap();
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let begin = Instant::now();
    let mut daemon = start_daemon(home.path());
    let restart = begin.elapsed();
    assert_eq!(sandbox.vms().await.iter().filter(|vm| vm.pid.is_some()).count(), RUNNING);
    for _ in RUNNING..ALL {
        create(&sandbox, true).await;
    }
    let (list, version) =
        (time_cli(home.path(), &["vm", "list", "--json"]), time_cli(home.path(), &["version"]));
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let (earliest, latest) = (median(&work[..SAMPLE]), median(&work[RUNNING - SAMPLE..]));
    let memory = info.resident_bytes as f64 / 1024.0 / 1024.0;
    let figures = json!({
        "create_own_work_first_ms": round(earliest),
        "create_own_work_last_ms": round(latest),
        "create_goal_met": earliest < 60.0 && latest < 60.0,
        "daemon_resident_mib_with_500_running": round(memory),
        "memory_goal_met": memory < 30.0,
        "restart_with_500_running_ms": round(restart.as_secs_f64() * 1000.0),
        "list_of_1000_ms": round(list),
        "version_ms": round(version),
        "list_ratio": round(list / version),
        "list_goal_met": list <= 3.0 * version,
    });
    println!("{figures:#}");
}

async fn be_the_daemon(home: &Path) {
    let mut sandbox = Sandbox::at(home, PATIENCE);
    sandbox.start_daemon().await;
    println!("{READY}");
    std::future::pending::<()>().await;
}

fn start_daemon(home: &Path) -> Child {
    let mut daemon = Command::new(std::env::current_exe().unwrap())
        .env(HOME, home)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(daemon.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), READY);
    daemon
}

async fn create(sandbox: &Sandbox, no_start: bool) -> OperationView {
    let begun = sandbox.begin("/v1/vms", json!({ "no_start": no_start })).await.unwrap();
    sandbox.finish(begun).await.unwrap()
}

/// Everything but the wait for the guest: milliseconds.
fn own_work(operation: &OperationView) -> f64 {
    let of_guest = |name: &str| name == "boot guest" || name == "start machine";
    let own = operation.stages.iter().filter(|stage| !of_guest(&stage.name));
    own.map(|stage| stage.took_ms.unwrap_or_default() as f64).sum()
}

/// Milliseconds of a call of `banger`: the median.
fn time_cli(home: &Path, arguments: &[&str]) -> f64 {
    let directory = std::env::var_os("BANGER_BIN_DIR").expect("run `make bench`");
    let times: Vec<f64> = (0..CALLS)
        .map(|_| {
            let begin = Instant::now();
            let output = Command::new(Path::new(&directory).join("banger"))
                .args(arguments)
                .env("BANGER_HOME", home)
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            begin.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    median(&times)
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
