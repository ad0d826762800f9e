//! What can be seen of a guest from outside.

use std::time::{Duration, Instant};

use banger_smoke::Home;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::Scenario;

pub(crate) const SCENARIOS: &[Scenario] =
    &[("listeners_and_figures_of_guests_are_seen", listeners_and_figures_of_guests_are_seen)];

fn listeners_and_figures_of_guests_are_seen() {
    let home = Home::ready();
    for name in ["dev", "other"] {
        let _ = home.text(&["vm", "create", "-q", "--memory", "512M", "--wait", "system", "--name", name]);
    }
    let json = |arguments: &[&str]| -> Value { serde_json::from_str(&home.text(arguments)).unwrap() };
    // A server of the user's, and the image's sshd, whoever holds its socket.
    let server = "use Socket; socket(S, PF_INET, SOCK_STREAM, 0); bind(S, sockaddr_in(8080, INADDR_ANY)); \
        listen(S, 1); print qq(up\n); $| = 1; sleep 1000";
    let _ = home.text(&["vm", "exec", "-d", "dev", "--", "perl", "-e", server]);
    let ports = loop_until(|| {
        let ports = json(&["vm", "ports", "--json", "dev"]);
        has_port(&ports, 8080).then_some(ports)
    });
    assert!(has_port(&ports, 22), "{ports}");
    let table = home.text(&["vm", "ports", "other", "dev"]);
    assert!(table.lines().any(|line| line.starts_with("dev ") && line.contains("8080  perl")), "{table}");
    assert!(table.lines().nth(1).unwrap().starts_with("other "), "{table}");
    // Figures of both sides.
    let stats = json(&["vm", "stats", "--json"]);
    let of = |name: &str| {
        stats.as_array().unwrap().iter().find(|one| one["target"] == name).unwrap()["stats"].clone()
    };
    let dev = of("dev");
    assert!(dev["host"]["machine"]["resident_bytes"].as_u64().unwrap() > 50 << 20, "{dev}");
    assert!(dev["host"]["disks"][0]["allocated_bytes"].as_u64().unwrap() > 0, "{dev}");
    assert!(dev["cpu_percent"].as_f64().is_some(), "{dev}");
    assert_eq!(dev["guest"]["cpus"], 1);
    let mounts: Vec<_> =
        dev["guest"]["file_systems"].as_array().unwrap().iter().map(|one| &one["mount_point"]).collect();
    assert_eq!(mounts, ["/", "/root"]);
    // A guest that hangs: the host's figures come, in time, and those of the other VM with them.
    let machine = Pid::from_raw(i32::try_from(home.show("dev")["pid"].as_i64().unwrap()).unwrap()).unwrap();
    kill_process(machine, Signal::STOP).unwrap();
    let begun = Instant::now();
    let answer = home.banger(&["vm", "stats"]).run();
    let took = begun.elapsed();
    kill_process(machine, Signal::CONT).unwrap();
    assert_eq!(answer.status, 1, "{answer:?}");
    assert!(
        answer.stdout.lines().any(|line| line.starts_with("dev ") && line.contains("unresponsive")),
        "{answer:?}"
    );
    assert!(
        answer.stdout.lines().any(|line| line.starts_with("other ") && line.contains("running")),
        "{answer:?}"
    );
    assert!(took < Duration::from_secs(7), "{took:?}");
}

fn has_port(ports: &Value, port: u64) -> bool {
    ports[0]["ports"].as_array().unwrap().iter().any(|found| found["port"] == port)
}

/// Tries again while a program in the guest comes up: nothing tells of that from outside.
fn loop_until<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(done) = attempt() {
            return done;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it did not come up");
        std::thread::sleep(Duration::from_millis(200));
    }
}
