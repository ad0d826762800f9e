//! What may die without taking more with it.

use std::io::{BufRead as _, BufReader};

use banger_smoke::Home;
use rustix::process::{Pid, Signal, kill_process};

use crate::Scenario;

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("a_vm_survives_the_kill_of_the_daemon", a_vm_survives_the_kill_of_the_daemon),
    ("killing_the_client_ends_its_command", killing_the_client_ends_its_command),
    ("a_machine_that_dies_is_told_and_can_be_started", a_machine_that_dies_is_told_and_can_be_started),
];

fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

fn a_vm_survives_the_kill_of_the_daemon() {
    let home = Home::ready();
    let mut run = home
        .banger(&[
            "vm",
            "run",
            "--memory",
            "512M",
            "--name",
            "dev",
            "--",
            "sh",
            "-c",
            "echo begun; exec sleep 1000",
        ])
        .start();
    let mut line = String::new();
    BufReader::new(run.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n");
    let before = home.show("dev");
    kill(home.daemon_pid().unwrap(), Signal::KILL);
    // The run in progress is told; the VM goes on, and the next command finds it.
    assert_eq!(run.wait().unwrap().code(), Some(1));
    let after = home.show("dev");
    assert_eq!((&after["state"], &after["pid"]), (&before["state"], &before["pid"]), "{after}");
    let boot_id = home.text(&["vm", "exec", "dev", "--", "cat", "/proc/sys/kernel/random/boot_id"]);
    assert_eq!(after["boot_id"], boot_id.trim());
}

fn killing_the_client_ends_its_command() {
    let home = Home::ready();
    let _ = home.text(&["vm", "run", "-q", "-d", "--memory", "512M", "--name", "dev"]);
    // The command and its child hold a lock; it is free when both are gone.
    let script = "exec 9>/run/held; flock 9; (sleep 1001 & wait) & echo begun; wait";
    let mut exec = home.banger(&["vm", "exec", "dev", "--", "sh", "-c", script]).start();
    let mut line = String::new();
    BufReader::new(exec.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n");
    kill(i32::try_from(exec.id()).unwrap(), Signal::KILL);
    exec.wait().unwrap();
    let _ = home.text(&["vm", "exec", "dev", "--", "flock", "-w", "60", "/run/held", "true"]);
    // A detached one stays.
    let _ = home.text(&["vm", "exec", "-d", "dev", "--", "sleep", "1002"]);
    assert_eq!(home.text(&["vm", "exec", "dev", "--", "pgrep", "-c", "-f", "^sleep 1002"]), "1\n");
}

fn a_machine_that_dies_is_told_and_can_be_started() {
    let home = Home::ready();
    let _ = home.text(&["vm", "run", "-q", "-d", "--memory", "512M", "--name", "dev"]);
    let follower = home.banger(&["vm", "logs", "-f", "dev"]).start();
    let crash = "echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger";
    assert_ne!(home.banger(&["vm", "exec", "dev", "--", "sh", "-c", crash]).run().status, 0);
    // Following ends with the machine, and shows its last words.
    let console = banger_smoke::Answer::from(follower.wait_with_output().unwrap());
    assert!(console.stdout.contains("sysrq triggered crash"), "{console:?}");
    // The end of the machine is an event of the daemon; a command of the same VM waits for the lock of its record.
    let _ = home.text(&["vm", "start", "-q", "dev"]);
    assert_eq!(home.text(&["vm", "exec", "dev", "--", "hostname"]), "dev\n");
}
