//! Random commands on real guests while the daemon is killed again and again: after each kill the next command finds
//! every VM, rows and processes agree, and what runs takes commands. `make soak` runs it; `BANGER_SOAK_GUEST_KILLS` and
//! `BANGER_SOAK_SEED` say how often and which way. The seed is printed first.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a soak that finds something fails right there"
)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use banger_smoke::Home;
use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const NAMES: [&str; 3] = ["ant", "bee", "cat"];
const VERBS: [&str; 6] = ["create", "start", "stop", "restart", "kill", "delete"];
/// Longest life of a daemon: a boot takes some seconds without hardware virtualisation.
const LIFE_MS_MAX: u64 = 6000;
const COMMANDS: usize = 2;

fn main() {
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let kills = number("BANGER_SOAK_GUEST_KILLS").unwrap_or(50);
    let seed = number("BANGER_SOAK_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("soak with guests: {kills} kills, seed {seed}");
    let begin = Instant::now();
    let home = Home::ready();
    let mut rng = Rng::with_seed(seed);
    for kill in 0..kills {
        let place = format!("seed {seed}, kill {kill}");
        // Each daemon is started by a command, as a user's is.
        look_at(&home, &place);
        let daemon = home.daemon_pid().unwrap_or_else(|| panic!("{place}: no daemon"));
        let life = Duration::from_millis(rng.u64(0..LIFE_MS_MAX));
        std::thread::scope(|scope| {
            for _ in 0..COMMANDS {
                let mut rng = rng.fork();
                let home = &home;
                scope.spawn(move || {
                    let begin = Instant::now();
                    while begin.elapsed() < life {
                        command(home, &mut rng);
                    }
                });
            }
            std::thread::sleep(life);
            kill_process(Pid::from_raw(daemon).unwrap(), Signal::KILL).unwrap();
        });
    }
    look_at(&home, "the end");
    for vm in vms(&home) {
        let _ = home.text(&["vm", "delete", "-q", vm["name"].as_str().unwrap()]);
    }
    home.assert_nothing_left();
    println!("soak with guests: {kills} kills, {} s", begin.elapsed().as_secs());
}

/// One command of a user; it may be refused, and it may lose its daemon.
fn command(home: &Home, rng: &mut Rng) {
    let (name, verb) = (NAMES[rng.usize(..NAMES.len())], VERBS[rng.usize(..VERBS.len())]);
    let _answer = match verb {
        "create" => home.banger(&["vm", "create", "-q", "--memory", "256M", "--name", name]).run(),
        "stop" => home.banger(&["vm", "stop", "-q", "--grace", "2", name]).run(),
        verb => home.banger(&["vm", verb, "-q", name]).run(),
    };
}

fn vms(home: &Home) -> Vec<Value> {
    serde_json::from_str(&home.text(&["vm", "list", "--json"])).unwrap()
}

/// Rows, processes and files agree, and what runs takes commands.
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
