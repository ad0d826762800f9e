//! Random commands on real guests while the daemon is killed again and again: after each kill the next command finds every
//! VM, rows and processes agree, and running guests accept commands. Then one daemon runs as many commands as there is time
//! for, and has neither more descriptors nor more memory afterwards.
//!
//! `make soak` runs it; `BANGER_SOAK_GUEST_KILLS` or `BANGER_SOAK_MINUTES` set the duration, `BANGER_SOAK_SEED` the
//! sequence. The seed is printed first.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a soak that finds something fails right there"
)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use banger_smoke::{Answer, Home};
use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const NAMES: [&str; 3] = ["ant", "bee", "cat"];
const VERBS: [&str; 6] = ["create", "start", "stop", "restart", "kill", "delete"];
/// Longest life of a daemon: a boot takes some seconds without hardware virtualisation.
const LIFE_MS_MAX: u64 = 6000;
const COMMANDS: usize = 2;
/// Share of the time in which daemons are killed; after that one daemon stays.
const KILLING_SHARE: f64 = 0.7;
/// Minimum life of the last daemon.
const CALM_MIN: Duration = Duration::from_secs(20);
/// Memory that an allocator may keep after temporary use.
const GROWTH_MIB_MAX: f64 = 6.0;
const PAUSE: Duration = Duration::from_millis(200);

/// Descriptors and memory of an idle daemon.
#[derive(Clone, Copy, Debug)]
struct Figures {
    descriptors: usize,
    memory_mib: f64,
}

fn main() {
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("BANGER_SOAK_SEED").unwrap_or_else(|| fastrand::u64(..));
    // The soak with fakes gets the other half.
    let time = number("BANGER_SOAK_MINUTES").map(|minutes| Duration::from_secs(minutes * 30));
    let kills_max = match time {
        Some(_) => u64::MAX,
        None => number("BANGER_SOAK_GUEST_KILLS").unwrap_or(50),
    };
    println!("soak with guests: seed {seed}");
    let begin = Instant::now();
    let home = Home::ready();
    let mut rng = Rng::with_seed(seed);
    let mut kills = 0;
    while kills < kills_max && time.is_none_or(|time| begin.elapsed() < time.mul_f64(KILLING_SHARE)) {
        kill_under_load(&home, &mut rng, &format!("seed {seed}, kill {kills}"));
        kills += 1;
    }
    look_at(&home, "after the last kill");
    delete_all(&home);
    let calm = time.map_or(CALM_MIN, |time| time.saturating_sub(begin.elapsed()).max(CALM_MIN));
    let (before, after, commands) = live_long(&home, &mut rng, calm);
    assert_eq!(home.processes(), [home.daemon_pid().unwrap()], "seed {seed}: processes are left");
    println!(
        "soak with guests: {kills} kills; then {commands} commands of one daemon, with {} descriptors and {:.1} MiB \
         before, {} and {:.1} MiB after; {} s",
        before.descriptors,
        before.memory_mib,
        after.descriptors,
        after.memory_mib,
        begin.elapsed().as_secs()
    );
    assert!(after.descriptors <= before.descriptors, "seed {seed}: descriptors are leaked");
    assert!(after.memory_mib <= before.memory_mib + GROWTH_MIB_MAX, "seed {seed}: memory is leaked");
}

fn kill_under_load(home: &Home, rng: &mut Rng, place: &str) {
    // Each daemon is started by a command, as a user's is.
    look_at(home, place);
    let daemon = home.daemon_pid().unwrap_or_else(|| panic!("{place}: no daemon"));
    let life = Duration::from_millis(rng.u64(0..LIFE_MS_MAX));
    std::thread::scope(|scope| {
        for _ in 0..COMMANDS {
            let rng = rng.fork();
            scope.spawn(move || commands_for(home, rng, life));
        }
        std::thread::sleep(life);
        kill_process(Pid::from_raw(daemon).unwrap(), Signal::KILL).unwrap();
    });
}

/// Runs commands until the time is over; returns their number.
fn commands_for(home: &Home, mut rng: Rng, time: Duration) -> usize {
    let begin = Instant::now();
    let mut count = 0;
    while begin.elapsed() < time {
        command(home, &mut rng);
        count += 1;
    }
    count
}

/// One daemon runs many commands. Resources that it needs only once are not counted, because it has run each command before.
fn live_long(home: &Home, rng: &mut Rng, time: Duration) -> (Figures, Figures, usize) {
    for verb in VERBS {
        act(home, NAMES[0], verb);
    }
    delete_all(home);
    let daemon = home.daemon_pid().unwrap();
    let before = at_rest(home, usize::MAX);
    let commands = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..COMMANDS)
            .map(|_| {
                let rng = rng.fork();
                scope.spawn(move || commands_for(home, rng, time))
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).sum()
    });
    look_at(home, "the end");
    delete_all(home);
    assert_eq!(home.daemon_pid(), Some(daemon), "the daemon was to live");
    (before, at_rest(home, before.descriptors), commands)
}

/// Waits for the last connections to close, which no event reports.
fn at_rest(home: &Home, descriptors_max: usize) -> Figures {
    let status: Value = serde_json::from_str(&home.text(&["daemon", "status", "--json"])).unwrap();
    let directory = format!("/proc/{}/fd", status["pid"]);
    let count = || std::fs::read_dir(&directory).unwrap().count();
    std::thread::sleep(PAUSE);
    for _ in 0..50 {
        if count() <= descriptors_max {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    let memory_mib = status["resident_bytes"].as_f64().unwrap() / 1024.0 / 1024.0;
    Figures { descriptors: count(), memory_mib }
}

fn delete_all(home: &Home) {
    for vm in vms(home) {
        let _ = home.text(&["vm", "delete", "-q", vm["name"].as_str().unwrap()]);
    }
    home.assert_nothing_left();
}

/// One command of a user, which may be refused, and may lose its daemon.
fn command(home: &Home, rng: &mut Rng) {
    act(home, NAMES[rng.usize(..NAMES.len())], VERBS[rng.usize(..VERBS.len())]);
}

fn act(home: &Home, name: &str, verb: &str) {
    let call = match verb {
        "create" => vec!["vm", "create", "-q", "--memory", "256M", "--name", name],
        "stop" => vec!["vm", "stop", "-q", "--grace", "2", name],
        verb => vec!["vm", verb, "-q", name],
    };
    let _answer = Answer::from(home.banger(&call).start().wait_with_output().unwrap());
}

fn vms(home: &Home) -> Vec<Value> {
    serde_json::from_str(&home.text(&["vm", "list", "--json"])).unwrap()
}

/// Checks that rows, processes and files agree, and that running guests accept commands.
fn look_at(home: &Home, place: &str) {
    let vms = vms(home);
    let mut running = 0;
    for vm in &vms {
        assert!(vm["pending"].is_null(), "{place}: {vm}");
        match vm["state"].as_str().unwrap() {
            "running" => {
                running += 1;
                let answer =
                    home.banger(&["vm", "exec", vm["name"].as_str().unwrap(), "--", "echo", "here"]).run();
                assert_eq!(answer.stdout, "here\n", "{place}: {vm}: {answer:?}");
            }
            "created" | "stopped" | "failed" => assert!(vm["pid"].is_null(), "{place}: {vm}"),
            _ => panic!("{place}: {vm}"),
        }
    }
    assert_eq!(home.machines().len(), running, "{place}: {vms:?}, {:?}", home.machines());
    let ids: BTreeSet<_> = vms.iter().map(|vm| vm["id"].as_str().unwrap().to_owned()).collect();
    for left in home.leftovers() {
        let name = left.file_name().unwrap().to_str().unwrap();
        assert!(ids.contains(name), "{place}: {} has no owner", left.display());
    }
}
