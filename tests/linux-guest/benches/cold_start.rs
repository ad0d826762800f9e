//! Cold starts on hardware virtualisation, printed as JSON: one at a time, and 20 and 100 at once, with the memory of each
//! VM. Without hardware virtualisation it prints the reason and measures nothing; `BANGER_BENCH_ANYWAY=1` measures anyway,
//! to test the measurement itself. `BANGER_BENCH_RUNS` sets the number of single runs (at least 5), `BANGER_BENCH_AT_ONCE`
//! the sizes of the groups.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a measurement that cannot go on fails right there"
)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use banger_linux_guest::{MachineMemory, beside_guest, percentile, why_no_hardware};
use banger_smoke::Home;
use banger_sys::host;
use banger_sys::paths::Paths;
use serde_json::{Value, json};

const MEMORY_MIB: u64 = 256;
/// The limits of the goals: `docs/benchmarks.md`.
const RUN_GOAL: Duration = Duration::from_millis(250);
const BESIDE_GUEST_GOAL_KIB: u64 = 5 * 1024;
/// Memory that the host keeps for itself while a group runs.
const KEPT_MIB: u64 = 1024;

fn main() {
    // `cargo test --benches` asks for a list of tests; there is none.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    if let Some(why) = why_no_hardware().filter(|_| std::env::var_os("BANGER_BENCH_ANYWAY").is_none()) {
        eprintln!("skipped: cold starts on hardware virtualisation: {why}");
        println!("{:#}", json!({ "cold_start": { "skipped": why } }));
        return;
    }
    let runs: usize = number("BANGER_BENCH_RUNS").unwrap_or(21).max(5);
    let crowds = std::env::var("BANGER_BENCH_AT_ONCE").unwrap_or_else(|_| "20,100".to_owned());
    let crowds = crowds.split(',').map(|size| size.trim().parse().expect("BANGER_BENCH_AT_ONCE: numbers"));
    let home = Home::ready();
    use_installed_firecracker(&home);
    // The first run reads its files from the disk, the others from memory.
    let first = timed(|| run_true(&home));
    let mut whole: Vec<_> = (0..runs).map(|_| timed(|| run_true(&home))).collect();
    let (mut hello, mut done) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let begin = Instant::now();
        create(&home, "one");
        hello.push(begin.elapsed());
        exec(&home, "one");
        done.push(begin.elapsed());
        delete(&home, "one");
    }
    create(&home, "one");
    let vmm = home.show("one")["vmm"].clone();
    let alone = memory_of(&home, "one");
    delete(&home, "one");
    let p50 = percentile(&mut whole, 50);
    let figures = json!({
        "cold_start": {
            "vmm": vmm,
            "runs": runs,
            "guest_memory_mib": MEMORY_MIB,
            "first_run_true_ms": milliseconds(first),
            "run_true_ms": times(&mut whole),
            "run_goal_met": p50 <= RUN_GOAL,
            "create_until_agent_answers_ms": times(&mut hello),
            "create_until_exec_is_done_ms": times(&mut done),
            "memory": alone,
            "memory_goal_met": alone["vmm_beside_guest_kib"].as_u64().is_some_and(|kib| kib <= BESIDE_GUEST_GOAL_KIB),
            "at_once": crowds.map(|size| crowd(&home, size)).collect::<Vec<_>>(),
        }
    });
    println!("{figures:#}");
}

/// Installs Firecracker in the measurement's new home: the one that `BANGER_FIRECRACKER` names, or that its user has
/// installed by `banger setup firecracker`. Without either the daemon searches `PATH`, as always.
fn use_installed_firecracker(home: &Home) {
    let installed =
        Paths::from_environment().ok().map(|paths| paths.firecracker_current().join("firecracker"));
    let named = std::env::var_os("BANGER_FIRECRACKER").map(PathBuf::from);
    let Some(program) = named.or(installed).filter(|program| program.is_file()) else { return };
    let config = home.path().join("config");
    std::fs::create_dir_all(&config).expect("the home can be written");
    let text = format!("firecracker_bin = '{}'\n", program.display());
    std::fs::write(config.join("config.toml"), text).expect("the home can be written");
}

/// Starts this many VMs at the same moment, and runs a command in each as soon as it answers.
fn crowd(home: &Home, size: usize) -> Value {
    let needed_mib = size as u64 * MEMORY_MIB + KEPT_MIB;
    if needed_mib > host::memory_mib() {
        let why = format!("{size} guests may need {needed_mib} MiB, and the host has {}", host::memory_mib());
        return json!({ "vms": size, "skipped": why });
    }
    let names: Vec<_> = (0..size).map(|number| format!("crowd-{number}")).collect();
    let begin = Instant::now();
    let (mut hello, mut done): (Vec<_>, Vec<_>) = std::thread::scope(|scope| {
        let each: Vec<_> = names
            .iter()
            .map(|name| {
                scope.spawn(move || {
                    create(home, name);
                    let hello = begin.elapsed();
                    exec(home, name);
                    (hello, begin.elapsed())
                })
            })
            .collect();
        each.into_iter().map(|one| one.join().expect("each VM starts")).unzip()
    });
    let memory: Vec<_> = names.iter().map(|name| memory_of(home, name)).collect();
    let mean = |field: &str| {
        let sum: u64 = memory.iter().filter_map(|one| one[field].as_u64()).sum();
        sum / memory.len().max(1) as u64
    };
    std::thread::scope(|scope| {
        for name in &names {
            scope.spawn(move || delete(home, name));
        }
    });
    json!({
        "vms": size,
        "create_until_agent_answers_ms": times(&mut hello),
        "create_until_exec_is_done_ms": times(&mut done),
        "mean_vmm_beside_guest_kib": mean("vmm_beside_guest_kib"),
        "mean_guest_kib": mean("guest_kib"),
        "mean_network_kib": mean("network_kib"),
    })
}

fn run_true(home: &Home) {
    let memory = format!("{MEMORY_MIB}M");
    let answer = home.banger(&["vm", "run", "-q", "--rm", "--memory", &memory, "--", "true"]).run();
    assert_eq!(answer.status, 0, "{answer:?}");
}

/// Makes a VM and returns when its agent answers.
fn create(home: &Home, name: &str) {
    let memory = format!("{MEMORY_MIB}M");
    let _ = home.text(&["vm", "run", "-q", "-d", "--name", name, "--memory", &memory]);
}

fn exec(home: &Home, name: &str) {
    let _ = home.text(&["vm", "exec", name, "--", "true"]);
}

fn delete(home: &Home, name: &str) {
    let _ = home.text(&["vm", "delete", "-q", name]);
}

/// Returns the memory of a VM's processes, from its handle and the kernel's figures for each process.
fn memory_of(home: &Home, name: &str) -> Value {
    let vm = home.show(name);
    let id = vm["id"].as_str().expect("an id");
    let handle =
        std::fs::read(home.path().join("state/vms").join(id).join("machine.json")).expect("a handle");
    let handle: Value = serde_json::from_slice(&handle).expect("JSON");
    let of = |process: &Value| {
        let smaps = std::fs::read_to_string(format!("/proc/{}/smaps", process["pid"])).unwrap_or_default();
        beside_guest(&smaps, MEMORY_MIB * 1024)
    };
    let MachineMemory { guest_kib, beside_guest_kib } = of(&handle["process"]);
    let companions = handle["companions"].as_array().cloned().unwrap_or_default();
    let network_kib: u64 = companions.iter().map(|companion| of(companion).beside_guest_kib).sum();
    json!({ "guest_kib": guest_kib, "vmm_beside_guest_kib": beside_guest_kib, "network_kib": network_kib })
}

fn timed(act: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    act();
    begin.elapsed()
}

fn times(all: &mut [Duration]) -> Value {
    let [p50, p95, max] = [50, 95, 100].map(|percent| milliseconds(percentile(all, percent)));
    json!({ "p50": p50, "p95": p95, "max": max })
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}
