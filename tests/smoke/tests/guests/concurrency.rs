//! Many concurrent callers do not disturb, repeat or lose each other's work.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Child;

use banger_smoke::harness::Scenario;
use banger_smoke::{Answer, Home};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::pure("concurrent_run", 6, "four guests at once do not disturb each other", concurrent_run),
    Scenario::pure(
        "key_rotation",
        14,
        "concurrent creates after a rotation of the user's key all accept the new key",
        key_rotation,
    ),
    Scenario::pure(
        "prune_beside_creates",
        7,
        "a prune during creates deletes no VM that is being made or is running",
        prune_beside_creates,
    ),
    Scenario::pure(
        "daemon_killed_under_load",
        6,
        "killing the daemon under load loses no VM and leaves no partial one",
        daemon_killed_under_load,
    ),
    Scenario::pure(
        "first_runs",
        43,
        "concurrent first runs on an empty state pull kernel and image once, and all succeed",
        first_runs,
    ),
];

fn concurrent_run() {
    let home = Home::ready();
    let names = ["a", "b", "c", "d"];
    let runs = names.map(|name| {
        let script = format!("hostname; echo {name} > /root/me; cat /root/me");
        home.banger(&["vm", "run", "-q", "--memory", "512M", "--name", name, "--", "sh", "-c", &script])
            .start()
    });
    for (name, run) in names.into_iter().zip(runs) {
        let answer = Answer::from(run.wait_with_output().unwrap());
        assert_eq!(answer.stdout, format!("{name}\n{name}\n"), "{answer:?}");
    }
    let list: Vec<Value> = serde_json::from_str(&home.text(&["vm", "list", "--json"])).unwrap();
    let mut ids: Vec<&str> = list.iter().filter_map(|vm| vm["id"].as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    let deleted = home.banger(&["vm", "delete", "-q", "d", "missing", "b", "a", "c"]).run();
    assert_eq!(deleted.status, 1, "{deleted:?}");
    assert!(deleted.stderr.contains("there is no VM `missing`"), "{deleted:?}");
    home.assert_nothing_left();
}

/// S1 to S13, B1, B2: the image is not there yet, and everybody wants it.
fn first_runs() {
    let home = Home::empty();
    let names = ["a", "b", "c"];
    let runs = names.map(|name| {
        home.banger(&["vm", "run", "-q", "--rm", "--memory", "512M", "--name", name, "--", "hostname"])
            .start()
    });
    for (name, run) in names.into_iter().zip(runs) {
        let answer = Answer::from(run.wait_with_output().unwrap());
        assert_eq!((answer.status, answer.stdout), (0, format!("{name}\n")), "{}", answer.stderr);
    }
    home.assert_nothing_left();
    // One image and one kernel, both complete, and nothing partial beside them: later callers waited for the first.
    for (kind, name) in [("images", "debian-bookworm"), ("kernels", "debian-12")] {
        let found: Vec<_> = fs::read_dir(home.path().join("state").join(kind))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(found, [name]);
    }
}

/// S14 to S19, B3.
fn key_rotation() {
    let home = Home::ready();
    let create = |name: &str| home.text(&["vm", "create", "-q", "--memory", "512M", "--name", name]);
    let _ = create("old");
    let key = home.path().join("state/ssh/id_ed25519");
    let before = fs::read(&key).unwrap();
    let _ = home.text(&["daemon", "stop"]);
    for file in [&key, &key.with_extension("pub")] {
        fs::remove_file(file).unwrap();
    }
    std::thread::scope(|scope| {
        for name in ["new1", "new2"] {
            scope.spawn(move || create(name));
        }
    });
    assert!(fs::read(&key).unwrap() != before, "the key was not rotated");
    for name in ["new1", "new2"] {
        let ssh = home.banger(&["vm", "ssh", name, "--", "hostname"]).run();
        assert_eq!((ssh.status, ssh.stdout), (0, format!("{name}\n")), "{}", ssh.stderr);
    }
    let images = home.path().join("state/images/debian-bookworm");
    let staged = fs::read_dir(images)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .find(|name| name.to_string_lossy().contains("tmp") || name.to_string_lossy().contains("refresh"));
    assert_eq!(staged, None);
}

fn prune_beside_creates() {
    let home = Home::ready();
    let _ = home.text(&["vm", "create", "-q", "--no-start", "--name", "stopped"]);
    let mut creates: Vec<Child> = ["a", "b"]
        .map(|name| home.banger(&["vm", "create", "-q", "--memory", "512M", "--name", name]).start())
        .into();
    let mut pruned = 0;
    // As many as there is time for: some meet a VM that has no row, no disks, or no machine yet.
    while creates.iter_mut().any(|create| create.try_wait().unwrap().is_none()) {
        let answer = home.banger(&["vm", "prune", "--yes"]).run();
        assert_eq!(answer.status, 0, "{answer:?}");
        assert!(answer.stdout.is_empty() || answer.stdout == "deleted stopped\n", "{answer:?}");
        pruned += answer.stdout.lines().count();
    }
    assert_eq!(pruned, 1, "`stopped` was to be deleted once");
    for create in creates {
        let answer = Answer::from(create.wait_with_output().unwrap());
        assert_eq!(answer.status, 0, "{answer:?}");
    }
    for name in ["a", "b"] {
        assert_eq!(home.text(&["vm", "exec", name, "--", "hostname"]), format!("{name}\n"));
    }
}

fn daemon_killed_under_load() {
    let home = Home::ready();
    let create = ["vm", "create", "-q", "--memory", "512M", "--name"];
    let _ = home.text(&[&create[..], &["runs"]].concat());
    let guest = |script: &str| home.text(&["vm", "exec", "runs", "--", "sh", "-c", script]);
    let _ = home.text(&["vm", "exec", "-d", "runs", "--", "sh", "-c", "exec sleep 1004"]);
    let before = home.show("runs");
    // A command, a stop and a create are in progress.
    let exec = home.banger(&["vm", "exec", "runs", "--", "sh", "-c", "echo begun; exec sleep 1005"]).start();
    let mut half = home.banger(&["vm", "create", "--memory", "512M", "--name", "half"]).start();
    let mut lines = BufReader::new(half.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("boot guest")), "the guest never began to boot");
    let daemon = Pid::from_raw(home.daemon_pid().unwrap()).unwrap();
    kill_process(daemon, Signal::KILL).unwrap();
    // A create continues with the next daemon; a command's connection is gone, and its caller gets an error.
    let told: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(half.wait().unwrap().code(), Some(0), "{told:?}");
    assert_ne!(Answer::from(exec.wait_with_output().unwrap()).status, 0);
    // One VM is unchanged, and the other exists once and is complete.
    let list: Vec<Value> = serde_json::from_str(&home.text(&["vm", "list", "--json"])).unwrap();
    assert!(list.iter().all(|vm| vm["pending"].is_null() && vm["state"] == "running"), "{list:?}");
    assert_eq!(list.len(), 2, "{list:?}");
    let after = home.show("runs");
    for key in ["id", "state", "pid", "boot_id"] {
        assert_eq!(after[key], before[key], "{after}");
    }
    assert_eq!(guest("pgrep -c -f '^sleep 1004'"), "1\n");
    assert_eq!(home.machines().len(), 2, "{list:?}");
    assert_eq!(home.leftovers().len(), 2, "{:?}", home.leftovers());
    assert_eq!(home.text(&["vm", "exec", "half", "--", "hostname"]), "half\n");
    let _ = home.text(&["vm", "delete", "-q", "runs", "half"]);
    home.assert_nothing_left();
}
