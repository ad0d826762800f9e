//! A VM's life over several commands.

use banger_smoke::Home;

use crate::Scenario;

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("data_outlives_stop_restart_and_kill", data_outlives_stop_restart_and_kill),
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
