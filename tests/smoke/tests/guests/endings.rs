//! Guests that end, by themselves or by force, and the reports about their end.

use std::io::{BufRead as _, BufReader};

use banger_smoke::harness::Scenario;
use banger_smoke::{Answer, Home};
use rustix::process::{Pid, Signal, kill_process};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::pure(
        "guest_reboots",
        12,
        "a reboot in a guest is another boot of the same VM, even while no daemon runs",
        guest_reboots,
    ),
    Scenario::pure(
        "guest_powers_off",
        9,
        "a guest that powers off or halts leaves a stopped VM and no error",
        guest_powers_off,
    ),
    Scenario::pure(
        "everything_killed",
        6,
        "a guest in which root kills every process can be entered at once",
        everything_killed,
    ),
    Scenario::pure(
        "client_of_rm_killed",
        4,
        "the VM of `vm run --rm` is deleted with its client, even if the client is killed",
        client_of_rm_killed,
    ),
    Scenario::pure(
        "way_out",
        9,
        "who comes while a guest shuts down enters its next boot, and a start waits for its end",
        way_out,
    ),
    Scenario::pure(
        "init_commands",
        7,
        "the first command may speak to the init, also from a script, and what it writes to /tmp stays",
        init_commands,
    ),
];

/// Runs a command in a guest that the command ends.
fn last_command(home: &Home, vm: &str, script: &str) -> Answer {
    let answer = home.banger(&["vm", "exec", vm, "--", "sh", "-c", &format!("{script}; sleep 1000")]).run();
    assert_eq!(answer.status, 1, "{answer:?}");
    answer
}

fn machine(home: &Home, vm: &str) -> Pid {
    Pid::from_raw(i32::try_from(home.show(vm)["pid"].as_i64().unwrap()).unwrap()).unwrap()
}

fn guest_reboots() {
    let home = Home::ready();
    let _ = home.text(&["vm", "run", "-q", "-d", "--memory", "512M", "--name", "dev"]);
    let before = home.show("dev");
    let mut events = home.banger(&["events"]).start();
    let mut lines = BufReader::new(events.stdout.take().unwrap()).lines();
    let mut wait_for = |part: &str| lines.by_ref().map(Result::unwrap).any(|line| line.contains(part));
    // The init ends the command first, and that is what its caller sees.
    let reboot = "echo kept > /root/file; reboot; sleep 1000";
    let told = home.banger(&["vm", "exec", "dev", "--", "sh", "-c", reboot]).run();
    assert!(told.status > 128 && told.stderr.contains("the guest is rebooting"), "{told:?}");
    assert!(wait_for("the guest rebooted"));
    assert!(wait_for("\"value\":\"running\""));
    let guest = |script: &str| home.text(&["vm", "exec", "dev", "--", "sh", "-c", script]);
    assert_eq!(guest("cat /root/file"), "kept\n");
    let after = home.show("dev");
    assert_eq!((&after["id"], &after["last_error"]), (&before["id"], &serde_json::Value::Null), "{after}");
    assert_ne!(after["boot_id"], before["boot_id"]);
    // No daemon runs when it happens: the next daemon finds the guest's last message.
    let qemu = machine(&home, "dev");
    let exec = home.banger(&["vm", "exec", "-d", "dev", "--", "sh", "-c", "sleep 1; reboot -f"]).run();
    assert_eq!(exec.status, 0, "{exec:?}");
    kill_process(Pid::from_raw(home.daemon_pid().unwrap()).unwrap(), Signal::KILL).unwrap();
    let ended = rustix::process::pidfd_open(qemu, rustix::process::PidfdFlags::empty()).unwrap();
    let mut ended = [rustix::event::PollFd::new(&ended, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut ended, None).unwrap();
    // It would continue with the next daemon.
    events.kill().unwrap();
    events.wait().unwrap();
    // The first caller waits only for the boot.
    let _ = home.text(&["vm", "restart", "-q", "dev"]);
    let again = home.show("dev");
    assert_eq!(
        (&again["state"], &again["last_error"]),
        (&"running".into(), &serde_json::Value::Null),
        "{again}"
    );
    assert_eq!(guest("cat /root/file"), "kept\n");
}

fn guest_powers_off() {
    let home = Home::ready();
    let _ = home.text(&["vm", "run", "-q", "-d", "--memory", "512M", "--name", "dev"]);
    for (script, why) in [("poweroff -f", "the guest powered off"), ("halt -f", "the guest halted")] {
        // A machine that has halted is ended when its guest gives no sign of life.
        let told = last_command(&home, "dev", script);
        assert!(told.stderr.contains(why), "{told:?}");
        let vm = home.show("dev");
        assert_eq!((&vm["state"], &vm["last_error"]), (&"stopped".into(), &serde_json::Value::Null), "{vm}");
        let _ = home.text(&["vm", "start", "-q", "dev"]);
    }
    // A machine that a process of the host ends is a different case.
    let qemu = machine(&home, "dev");
    let mut exec = home.banger(&["vm", "exec", "dev", "--", "sh", "-c", "echo begun; sleep 1000"]).start();
    let mut line = String::new();
    BufReader::new(exec.stdout.take().unwrap()).read_line(&mut line).unwrap();
    kill_process(qemu, Signal::KILL).unwrap();
    let told = Answer::from(exec.wait_with_output().unwrap());
    assert!(told.stderr.contains("killed from outside, by signal 9"), "{told:?}");
}

fn everything_killed() {
    let home = Home::ready();
    let _ = home.text(&["vm", "run", "-q", "-d", "--memory", "512M", "--name", "dev"]);
    let before = home.show("dev")["boot_id"].clone();
    let guest = |script: &str| home.text(&["vm", "exec", "dev", "--", "sh", "-c", script]);
    for script in ["kill -9 -1", "pkill -9 banger", "pkill -9 ."] {
        let _ = home.banger(&["vm", "exec", "dev", "--", "sh", "-c", script]).run();
        assert_eq!(guest("hostname"), "dev\n", "after {script}");
    }
    let ssh = home.banger(&["vm", "ssh", "dev", "--", "id -un"]).run();
    assert_eq!((ssh.stdout.as_str(), ssh.status), ("root\n", 0), "{ssh:?}");
    let after = home.show("dev");
    assert_eq!((&after["state"], &after["boot_id"]), (&"running".into(), &before), "{after}");
    // Processes that it starts can be killed for lack of memory, but not the process itself.
    assert_eq!(
        guest("cat /proc/self/oom_score_adj; cat /proc/$(pgrep -f '^@banger-agent')/oom_score_adj"),
        "0\n-1000\n"
    );
}

fn client_of_rm_killed() {
    let home = Home::ready();
    let call =
        ["vm", "run", "-q", "--rm", "--memory", "512M", "--", "sh", "-c", "echo begun; exec sleep 1000"];
    let mut run = home.banger(&call).start();
    let mut line = String::new();
    BufReader::new(run.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n");
    let mut events = home.banger(&["events", "--after", "0"]).start();
    let mut lines = BufReader::new(events.stdout.take().unwrap()).lines();
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(lines.any(|line| line.unwrap().contains("\"kind\":\"vm_removed\"")));
    events.kill().unwrap();
    events.wait().unwrap();
    home.assert_nothing_left();
}

fn init_commands() {
    let home = Home::ready();
    let run = |command: &[&str]| {
        let call = [&["vm", "run", "-q", "--rm", "--memory", "512M", "--"], command].concat();
        home.banger(&call).run()
    };
    let script = "systemctl is-active -- -.mount && sshd -T | grep -c ^port";
    let answer = run(&["sh", "-c", script]);
    assert_eq!(answer.status, 0, "{answer:?}");
    assert_eq!(answer.stdout, "active\n1\n", "{answer:?}");
    // The system's bus is later than the init's own socket.
    let answer = run(&["systemd-run", "--wait", "--quiet", "true"]);
    assert_eq!((answer.status, answer.stderr.as_str()), (0, ""), "{answer:?}");
    let _ = home.text(&["vm", "run", "-q", "-d", "--memory", "512M", "--name", "dev"]);
    let file = home.path().join("script");
    std::fs::write(&file, "systemctl is-active -- -.mount; systemd-run --wait --quiet true\n").unwrap();
    let _ = home.text(&["vm", "cp", "-q", file.to_str().unwrap(), "dev:/tmp/script"]);
    let answer = home.banger(&["vm", "exec", "dev", "--", "sh", "/tmp/script"]).run();
    assert_eq!((answer.status, answer.stdout.as_str()), (0, "active\n"), "{answer:?}");
    let _ = home.banger(&["vm", "exec", "dev", "--", "systemctl", "is-system-running", "--wait"]).run();
    assert_eq!(
        home.text(&["vm", "exec", "dev", "--", "cat", "/tmp/script"]),
        std::fs::read_to_string(file).unwrap()
    );
}

fn way_out() {
    let home = Home::ready();
    let _ = home.text(&["vm", "run", "-q", "-d", "--memory", "512M", "--name", "dev"]);
    let before = home.show("dev");
    // Nobody waits in between: the services of the first boot are still stopping.
    let _ = home.text(&["vm", "exec", "dev", "--", "reboot"]);
    let boot_id = home.text(&["vm", "exec", "dev", "--", "cat", "/proc/sys/kernel/random/boot_id"]);
    assert_ne!(boot_id.trim(), before["boot_id"].as_str().unwrap());
    let rebooted = home.show("dev");
    assert_eq!(boot_id.trim(), rebooted["boot_id"].as_str().unwrap());
    let _ = home.text(&["vm", "exec", "dev", "--", "poweroff"]);
    let start = home.banger(&["vm", "start", "dev"]).run();
    assert!(start.status == 0 && !start.stderr.contains("already running"), "{start:?}");
    let started = home.show("dev");
    assert_ne!(started["boot_id"], rebooted["boot_id"]);
    assert_eq!(started["last_error"], serde_json::Value::Null);
}
