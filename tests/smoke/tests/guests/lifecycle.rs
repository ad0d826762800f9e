//! The life of a VM over several commands.

use banger_smoke::Home;
use banger_smoke::harness::Scenario;
use rustix::process::{Pid, Signal, kill_process};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::pure("vm_lifecycle", 6, "what a guest has written outlives a stop", vm_lifecycle),
    Scenario::pure("vm_restart", 8, "a restart is another boot of the same VM", vm_restart),
    Scenario::pure("vm_kill", 7, "a kill always works, and what was synced is kept", vm_kill),
    Scenario::pure("vm_set", 9, "new sizes hold from the next start on", vm_set),
    Scenario::global("vm_prune", 3, "a prune deletes what is stopped and nothing else", vm_prune),
];

fn vm_lifecycle() {
    let home = Home::ready();
    let create = ["vm", "create", "-q", "--name", "dev", "--memory", "512M", "--disk-size", "3G"];
    assert_eq!(home.text(&create).trim(), home.show("dev")["id"]);
    let guest = |script: &str| home.text(&["vm", "exec", "dev", "--", "sh", "-c", script]);
    // Not synced: B11.
    guest("echo work > /root/file; echo system > /etc/file");
    assert_eq!(guest("df -BG --output=size /root | tail -1").trim(), "3G");
    let first = home.show("dev")["boot_id"].clone();
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
    assert_ne!(home.show("dev")["boot_id"], first);
    let logs = home.text(&["vm", "logs", "dev"]);
    assert!(!logs.is_empty(), "the console log is empty");
    let _ = home.text(&["vm", "delete", "-q", "dev"]);
    home.assert_nothing_left();
}

fn vm_restart() {
    let home = Home::ready();
    let _ = home.text(&["vm", "run", "-q", "-d", "--memory", "512M", "--name", "dev"]);
    let guest = |script: &str| home.text(&["vm", "exec", "dev", "--", "sh", "-c", script]);
    guest("echo kept > /root/file; sleep 1003 >/dev/null 2>&1 &");
    let first = home.show("dev");
    let _ = home.text(&["vm", "restart", "-q", "dev"]);
    let second = home.show("dev");
    assert_eq!((&second["state"], &second["id"]), (&first["state"], &first["id"]), "{second}");
    assert_ne!(second["boot_id"], first["boot_id"]);
    assert_ne!(second["pid"], first["pid"]);
    assert_eq!(guest("cat /root/file; pgrep -c -f '^sleep 1003'; true"), "kept\n0\n");
    // The host key belongs to the VM, not to the boot, so ssh does not ask again.
    let ssh = home.banger(&["vm", "ssh", "dev", "--", "hostname"]).run();
    assert_eq!((ssh.stdout.as_str(), ssh.status), ("dev\n", 0), "{ssh:?}");
}

fn vm_kill() {
    let home = Home::ready();
    let _ = home.text(&["vm", "run", "-q", "-d", "--memory", "512M", "--name", "dev"]);
    let guest = |script: &str| home.text(&["vm", "exec", "dev", "--", "sh", "-c", script]);
    guest("echo more > /root/file; sync");
    // A machine that hangs does not delay it.
    kill_process(machine(&home, "dev"), Signal::STOP).unwrap();
    let _ = home.text(&["vm", "kill", "-q", "dev"]);
    let vm = home.show("dev");
    assert_eq!((&vm["state"], &vm["last_error"]), (&"stopped".into(), &serde_json::Value::Null), "{vm}");
    assert_eq!(home.machines(), [""; 0]);
    let _ = home.text(&["vm", "start", "-q", "dev"]);
    assert_eq!(guest("cat /root/file"), "more\n");
    let _ = home.text(&["vm", "kill", "-q", "--signal", "TERM", "dev"]);
    assert_eq!(home.show("dev")["state"], "stopped");
}

fn machine(home: &Home, vm: &str) -> Pid {
    Pid::from_raw(i32::try_from(home.show(vm)["pid"].as_i64().unwrap()).unwrap()).unwrap()
}

fn vm_set() {
    let home = Home::ready();
    let _ = home.text(&[
        "vm",
        "create",
        "-q",
        "--name",
        "dev",
        "--vcpu",
        "1",
        "--memory",
        "512M",
        "--disk-size",
        "1G",
    ]);
    let guest = |script: &str| home.text(&["vm", "exec", "dev", "--", "sh", "-c", script]);
    let sizes = || {
        guest(
            "nproc; df -BM --output=size / /root | tail -2; awk '/MemTotal/{print int($2/1024/100)}' /proc/meminfo",
        )
    };
    guest("echo kept > /root/file");
    let before = sizes();
    let _ = home.text(&["vm", "set", "dev", "--vcpu", "2", "--memory", "700M", "--disk-size", "2G"]);
    let changed = home.show("dev");
    assert_eq!(changed["needs_restart"], true);
    assert_eq!((&changed["vcpus"], &changed["running"]["vcpus"]), (&2.into(), &1.into()), "{changed}");
    assert!(home.text(&["vm", "list"]).contains("512M -> 700M"));
    assert_eq!(sizes(), before, "a running guest has changed");
    let _ = home.text(&["vm", "restart", "-q", "dev"]);
    assert_eq!(home.show("dev")["needs_restart"], serde_json::Value::Null);
    let after = sizes();
    let numbers: Vec<u64> =
        after.split_whitespace().map(|word| word.trim_end_matches('M').parse().unwrap()).collect();
    assert!(numbers[0] == 2 && numbers[3] >= 6, "{before} became {after}");
    assert!(numbers[1] > 1900 && numbers[2] > 1900, "{before} became {after}");
    assert_eq!(guest("cat /root/file"), "kept\n");
    let shrink = home.banger(&["vm", "set", "dev", "--disk-size", "1G"]).run();
    assert_eq!(shrink.status, 1);
    assert!(shrink.stderr.contains("from 2G to 1G"), "{shrink:?}");
}

fn vm_prune() {
    let home = Home::ready();
    let _ = home.text(&["vm", "create", "-q", "--no-start", "--name", "new"]);
    let _ = home.text(&["vm", "run", "-q", "-d", "--memory", "512M", "--name", "runs"]);
    let unasked = home.banger(&["vm", "prune"]).run();
    assert_eq!(unasked.status, 1, "{unasked:?}");
    assert!(unasked.stderr.contains("use `--yes`"), "{unasked:?}");
    assert_eq!(home.text(&["vm", "prune", "--yes"]), "deleted new\n");
    assert_eq!(home.show("runs")["state"], "running");
    let _ = home.text(&["vm", "kill", "-q", "runs"]);
    let vm = home.show("runs");
    assert_eq!((&vm["state"], &vm["last_error"]), (&"stopped".into(), &serde_json::Value::Null), "{vm}");
    assert_eq!(home.text(&["vm", "prune", "--yes"]), "deleted runs\n");
    home.assert_nothing_left();
}
