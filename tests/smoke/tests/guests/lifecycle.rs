//! A VM's life over several commands.

use std::io::{BufRead as _, BufReader};

use banger_smoke::Home;
use rustix::process::{Pid, Signal, kill_process};

use crate::Scenario;

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("data_outlives_stop_restart_and_kill", data_outlives_stop_restart_and_kill),
    ("new_sizes_hold_from_the_next_start_on", new_sizes_hold_from_the_next_start_on),
    (
        "a_guest_that_was_away_is_told_and_gets_the_time_again",
        a_guest_that_was_away_is_told_and_gets_the_time_again,
    ),
    ("what_is_stopped_is_pruned_and_what_runs_is_not", what_is_stopped_is_pruned_and_what_runs_is_not),
    ("four_guests_at_once_do_not_disturb_each_other", four_guests_at_once_do_not_disturb_each_other),
];

fn data_outlives_stop_restart_and_kill() {
    let home = Home::ready();
    assert_eq!(
        home.text(&["vm", "create", "-q", "--name", "dev", "--memory", "512M", "--disk-size", "3G"]),
        "dev\n"
    );
    let guest = |script: &str| home.text(&["vm", "exec", "dev", "--", "sh", "-c", script]);
    let boot_id = || guest("cat /proc/sys/kernel/random/boot_id");
    guest("echo work > /root/file; echo system > /etc/file");
    assert_eq!(guest("df -BG --output=size /root | tail -1").trim(), "3G");
    let first = boot_id();
    let _ = home.text(&["vm", "stop", "-q", "dev"]);
    assert_eq!(home.show("dev")["state"], "stopped");
    let refused = home.banger(&["vm", "exec", "dev", "--", "true"]).run();
    assert_eq!(refused.status, 1);
    assert!(
        refused.stderr.contains("not running") && refused.stderr.contains("banger vm start dev"),
        "{refused:?}"
    );
    let _ = home.text(&["vm", "start", "-q", "dev"]);
    assert_eq!(guest("cat /root/file /etc/file"), "work\nsystem\n");
    let second = boot_id();
    assert_ne!(first, second);
    let _ = home.text(&["vm", "restart", "-q", "dev"]);
    assert_ne!(boot_id(), second);
    guest("echo more >> /root/file; sync");
    let _ = home.text(&["vm", "kill", "-q", "dev"]);
    let vm = home.show("dev");
    assert_eq!((&vm["state"], &vm["last_error"]), (&"stopped".into(), &serde_json::Value::Null), "{vm}");
    let _ = home.text(&["vm", "start", "-q", "dev"]);
    assert_eq!(guest("cat /root/file"), "work\nmore\n");
    let logs = home.text(&["vm", "logs", "dev"]);
    assert!(!logs.is_empty(), "the console log is empty");
    let _ = home.text(&["vm", "delete", "-q", "dev"]);
    home.assert_nothing_left();
}

fn new_sizes_hold_from_the_next_start_on() {
    let home = Home::ready();
    let _ = home.text(&["vm", "create", "-q", "--name", "dev", "--memory", "512M", "--disk-size", "1G"]);
    let guest = |script: &str| home.text(&["vm", "exec", "dev", "--", "sh", "-c", script]);
    let sizes = || {
        guest(
            "nproc; df -BM --output=size /root | tail -1; awk '/MemTotal/{print int($2/1024/100)}' /proc/meminfo",
        )
    };
    guest("echo kept > /root/file");
    let before = sizes();
    let _ = home.text(&["vm", "set", "dev", "--vcpu", "2", "--memory", "700M", "--disk-size", "2G"]);
    assert_eq!(home.show("dev")["needs_restart"], true);
    assert_eq!(sizes(), before, "a running guest has changed");
    let _ = home.text(&["vm", "restart", "-q", "dev"]);
    assert_eq!(home.show("dev")["needs_restart"], serde_json::Value::Null);
    let after = sizes();
    let numbers: Vec<u64> =
        after.split_whitespace().map(|word| word.trim_end_matches('M').parse().unwrap()).collect();
    assert!(numbers[0] == 2 && numbers[1] > 1900 && numbers[2] >= 6, "{before} became {after}");
    assert_eq!(guest("cat /root/file"), "kept\n");
    let shrink = home.banger(&["vm", "set", "dev", "--disk-size", "1G"]).run();
    assert_eq!(shrink.status, 1);
    assert!(shrink.stderr.contains("has 2G and cannot shrink to 1G"), "{shrink:?}");
}

fn a_guest_that_was_away_is_told_and_gets_the_time_again() {
    let home = Home::ready();
    let _ = home.text(&["vm", "run", "-q", "-d", "--memory", "512M", "--name", "dev"]);
    let mut events = home.banger(&["events"]).start();
    let mut lines = BufReader::new(events.stdout.take().unwrap()).lines();
    let mut heard = |kind: &str| {
        lines.by_ref().map(Result::unwrap).any(|line| line.contains(&format!("\"kind\":\"{kind}\"")))
    };
    let machine = Pid::from_raw(i32::try_from(home.show("dev")["pid"].as_i64().unwrap()).unwrap()).unwrap();
    // The guest's clock falls behind while it is away; without that it would be a poor test under some VMMs.
    let _ = home.text(&["vm", "exec", "dev", "--", "date", "-s", "@1000000000"]);
    kill_process(machine, Signal::STOP).unwrap();
    assert!(heard("vm_unresponsive"));
    let table = home.text(&["vm", "list"]);
    assert!(table.contains("unresponsive"), "{table}");
    kill_process(machine, Signal::CONT).unwrap();
    assert!(heard("vm_responsive"));
    // The clock is set beside the event: its own command waits for neither.
    let wait = "until [ $(date +%s) -gt 1500000000 ]; do sleep 0.1; done; date +%s";
    let guest: u64 = home.text(&["vm", "exec", "dev", "--", "sh", "-c", wait]).trim().parse().unwrap();
    let host = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!(host.abs_diff(guest) <= 5, "guest {guest}, host {host}");
    // One that hangs for good can still be ended.
    kill_process(machine, Signal::STOP).unwrap();
    assert!(heard("vm_unresponsive"));
    let _ = home.text(&["vm", "kill", "-q", "dev"]);
    assert_eq!(home.show("dev")["state"], "stopped");
    events.kill().unwrap();
    events.wait().unwrap();
}

fn what_is_stopped_is_pruned_and_what_runs_is_not() {
    let home = Home::ready();
    let _ = home.text(&["vm", "create", "-q", "--no-start", "--name", "new"]);
    let _ = home.text(&["vm", "run", "-q", "-d", "--memory", "512M", "--name", "runs"]);
    let unasked = home.banger(&["vm", "prune"]).run();
    assert_eq!(unasked.status, 1, "{unasked:?}");
    assert!(unasked.stderr.contains("banger vm prune --force"), "{unasked:?}");
    assert_eq!(home.text(&["vm", "prune", "-q", "--force"]), "deleted new\n");
    assert_eq!(home.show("runs")["state"], "running");
    let _ = home.text(&["vm", "kill", "-q", "--signal", "TERM", "runs"]);
    let vm = home.show("runs");
    assert_eq!((&vm["state"], &vm["last_error"]), (&"stopped".into(), &serde_json::Value::Null), "{vm}");
    assert_eq!(home.text(&["vm", "prune", "-q", "--force"]), "deleted runs\n");
    home.assert_nothing_left();
}

fn four_guests_at_once_do_not_disturb_each_other() {
    let home = Home::ready();
    let names = ["a", "b", "c", "d"];
    let runs = names.map(|name| {
        let script = format!("hostname; echo {name} > /root/me; cat /root/me");
        home.banger(&["vm", "run", "-q", "--memory", "512M", "--name", name, "--", "sh", "-c", &script])
            .start()
    });
    for (name, run) in names.into_iter().zip(runs) {
        let answer = banger_smoke::Answer::from(run.wait_with_output().unwrap());
        assert_eq!(answer.stdout, format!("{name}\n{name}\n"), "{answer:?}");
    }
    let list: Vec<serde_json::Value> = serde_json::from_str(&home.text(&["vm", "list", "--json"])).unwrap();
    let mut ids: Vec<&str> = list.iter().filter_map(|vm| vm["id"].as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    let deleted = home.banger(&["vm", "delete", "-q", "d", "missing", "b", "a", "c"]).run();
    assert_eq!(deleted.status, 1, "{deleted:?}");
    assert!(deleted.stderr.contains("there is no VM `missing`"), "{deleted:?}");
    home.assert_nothing_left();
}
