//! The information about a guest that is available from outside.

use std::time::{Duration, Instant};

use banger_smoke::Home;
use banger_smoke::harness::Scenario;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::pure("vm_ports", 7, "what listens in guests is listed with its program", vm_ports),
    Scenario::pure(
        "vm_stats",
        8,
        "figures come from both sides, and a guest that hangs affects only its own",
        vm_stats,
    ),
];

fn vm_ports() {
    let home = Home::ready();
    create(&home, &["--wait", "system"]);
    // A server of the user's, and the image's sshd, whichever process holds its socket.
    let server = "use Socket; socket(S, PF_INET, SOCK_STREAM, 0); bind(S, sockaddr_in(8080, INADDR_ANY)); \
        listen(S, 1); print qq(up\n); $| = 1; sleep 1000";
    let _ = home.text(&["vm", "exec", "-d", "dev", "--", "perl", "-e", server]);
    let ports = loop_until(|| {
        let ports = json(&home, &["vm", "ports", "--json", "dev"]);
        has_port(&ports, 8080).then_some(ports)
    });
    assert!(has_port(&ports, 22), "{ports}");
    let table = home.text(&["vm", "ports", "other", "dev"]);
    assert!(table.lines().any(|line| line.starts_with("dev ") && line.contains("8080  perl")), "{table}");
    assert!(table.lines().nth(1).unwrap().starts_with("other "), "{table}");
}

fn vm_stats() {
    let home = Home::ready();
    create(&home, &[]);
    // Figures from both sides.
    let stats = json(&home, &["vm", "stats", "--json"]);
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
    // With a guest that hangs, the host's figures arrive in time, together with those of the other VM.
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

/// Makes two VMs at once.
fn create(home: &Home, more: &[&str]) {
    std::thread::scope(|scope| {
        for name in ["dev", "other"] {
            let create = ["vm", "create", "-q", "--memory", "512M", "--name", name];
            scope.spawn(move || home.text(&[&create[..], more].concat()));
        }
    });
}

fn json(home: &Home, arguments: &[&str]) -> Value {
    serde_json::from_str(&home.text(arguments)).unwrap()
}

fn has_port(ports: &Value, port: u64) -> bool {
    ports[0]["ports"].as_array().unwrap().iter().any(|found| found["port"] == port)
}

/// Tries again while a program in the guest starts, which is not visible from outside.
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
