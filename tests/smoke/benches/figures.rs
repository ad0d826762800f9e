//! Figures on real guests, printed as JSON: medians of several runs, with both sides of a comparison alternating in the same
//! run. `BANGER_BENCH_RUNS` sets the number of runs (at least 5).
//!
//! The bare side is a lower bound: the same VMM program with the same kernel, initramfs, drives and memory, until the
//! guest's agent answers the handshake of its channel.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a measurement that cannot go on fails right there"
)]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use banger_agent_proto::sync::{Line, LineScanner};
use banger_smoke::Home;
use banger_smoke::statistics::{median, three_digits};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const MEMORY: &str = "512M";
/// The goal's allowance on top of a bare run: 5 %, or this, whichever is more.
const ALLOWANCE: Duration = Duration::from_millis(150);
/// The VM whose machine the bare runs repeat.
const BARE: &str = "bare";
/// Maximum time of `CREATES` concurrent creates, as a share of the time of sequential ones.
const AT_ONCE_GOAL: f64 = 0.6;
const CREATES: usize = 4;
const CREATE_TURNS: usize = 3;
/// Maximum time until a hanging guest is reported.
const HANG_GOAL: Duration = Duration::from_secs(5);

fn main() {
    // `cargo test --benches` asks for a list of tests; there is none.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let runs = std::env::var("BANGER_BENCH_RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(7).max(5);
    let home = Home::ready();
    let bare = BareGuest::prepare(&home);
    // One run of each first, so that both find their files in memory.
    run_true(&home);
    bare.boot();
    let mut whole = Vec::new();
    let mut alone = Vec::new();
    for _ in 0..runs {
        whole.push(run_true(&home));
        alone.push(bare.boot());
    }
    let (ours, theirs) = (median(&mut whole), median(&mut alone));
    let allowed = (theirs.mul_f64(1.05)).max(theirs + ALLOWANCE);
    let (in_a_row, at_once) = creates(&home);
    let creates_ratio = at_once.as_secs_f64() / in_a_row.as_secs_f64();
    let exec = exec_round_trip(&home, runs);
    let hang = hang_told(&home, runs);
    let memory = daemon_memory(&home);
    let figures = json!({
        "runs": runs,
        "guest_memory": MEMORY,
        "vm": bare.vmm,
        "run_true_ms": milliseconds(ours),
        "bare_vmm_until_agent_answers_ms": milliseconds(theirs),
        "ratio": three_digits(ours.as_secs_f64() / theirs.as_secs_f64()),
        "overhead_ms": milliseconds(ours) - milliseconds(theirs),
        "run_goal_met": ours <= allowed,
        "four_creates_in_a_row_ms": milliseconds(in_a_row),
        "four_creates_at_once_ms": milliseconds(at_once),
        "at_once_ratio": three_digits(creates_ratio),
        "at_once_goal_met": creates_ratio <= AT_ONCE_GOAL,
        "exec_true_ms": milliseconds(exec),
        "hang_told_after_ms_max": milliseconds(hang),
        "hang_goal_met": hang <= HANG_GOAL,
        "daemon_idle_resident_mib": memory,
        "memory_goal_met": memory < 20.0,
    });
    println!("{figures:#}");
}

fn run_true(home: &Home) -> Duration {
    let begin = Instant::now();
    let answer = home.banger(&["vm", "run", "-q", "--rm", "--memory", MEMORY, "--", "true"]).run();
    assert_eq!(answer.status, 0, "{answer:?}");
    begin.elapsed()
}

/// Returns the medians for that many creates, sequential and concurrent, alternating.
fn creates(home: &Home) -> (Duration, Duration) {
    let create = || {
        let mut create = home.banger(&["vm", "create", "-q", "--memory", MEMORY]).start();
        move || assert!(create.wait().expect("it can be waited for").success())
    };
    let time = |work: &dyn Fn()| {
        let begin = Instant::now();
        work();
        let took = begin.elapsed();
        let vms: Value = serde_json::from_str(&home.text(&["vm", "list", "--json"])).expect("JSON");
        let names = vms.as_array().into_iter().flatten().filter_map(|vm| vm["name"].as_str());
        let names: Vec<_> = names.filter(|name| *name != BARE).collect();
        assert_eq!(names.len(), CREATES);
        let _ = home.text(&[&["vm", "delete", "-q"], names.as_slice()].concat());
        took
    };
    let (mut in_a_row, mut at_once) = (Vec::new(), Vec::new());
    for _ in 0..CREATE_TURNS {
        in_a_row.push(time(&|| (0..CREATES).for_each(|_| create()())));
        at_once.push(time(&|| {
            let started: Vec<_> = (0..CREATES).map(|_| create()).collect();
            for mut ended in started {
                ended();
            }
        }));
    }
    (median(&mut in_a_row), median(&mut at_once))
}

fn exec_round_trip(home: &Home, runs: usize) -> Duration {
    let _ = home.text(&["vm", "run", "-q", "-d", "--name", "exec", "--wait", "system", "--memory", MEMORY]);
    let mut times: Vec<Duration> = (0..runs * 3)
        .map(|_| {
            let begin = Instant::now();
            assert_eq!(home.banger(&["vm", "exec", "exec", "--", "true"]).run().status, 0);
            begin.elapsed()
        })
        .collect();
    let _ = home.text(&["vm", "delete", "-q", "exec"]);
    median(&mut times)
}

/// Returns the longest time from the moment a machine is stopped to the event that reports it, stopping it at a different
/// time of the daemon's round each time.
fn hang_told(home: &Home, runs: usize) -> Duration {
    let _ = home.text(&["vm", "run", "-q", "-d", "--name", "hang", "--memory", MEMORY]);
    let machine = home.show("hang")["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    let machine = machine.and_then(Pid::from_raw).expect("the machine runs");
    let mut events = home.banger(&["events"]).start();
    let mut lines = BufReader::new(events.stdout.take().expect("a pipe")).lines();
    let mut heard = |kind: &str| {
        let kind = format!("\"kind\":\"{kind}\"");
        assert!(lines.by_ref().map_while(Result::ok).any(|line| line.contains(&kind)), "{kind} was not told");
    };
    let mut longest = Duration::ZERO;
    for run in 0..runs {
        std::thread::sleep(Duration::from_millis(300) * u32::try_from(run).unwrap_or(0));
        let begin = Instant::now();
        kill_process(machine, Signal::STOP).expect("the machine can be stopped");
        heard("vm_unresponsive");
        longest = longest.max(begin.elapsed());
        kill_process(machine, Signal::CONT).expect("the machine can go on");
        heard("vm_responsive");
    }
    events.kill().expect("it can be ended");
    events.wait().expect("it can be waited for");
    let _ = home.text(&["vm", "delete", "-q", "hang"]);
    longest
}

fn daemon_memory(home: &Home) -> f64 {
    let status: Value = serde_json::from_str(&home.text(&["daemon", "status", "--json"])).expect("JSON");
    let bytes = status["resident_bytes"].as_f64().expect("the daemon knows its memory");
    (bytes / 1024.0 / 1024.0 * 10.0).round() / 10.0
}

/// The drives of a stopped VM, and the VMM's command line as the driver writes it.
struct BareGuest {
    directory: tempfile::TempDir,
    arguments: Vec<String>,
    drives: Vec<(PathBuf, PathBuf)>,
    vmm: Value,
}

impl BareGuest {
    /// Takes the command line from a machine of banger, so that both sides run the same guest.
    fn prepare(home: &Home) -> Self {
        let directory = tempfile::tempdir_in("/var/tmp").expect("a temporary directory");
        let _ = home.text(&["vm", "run", "-q", "-d", "--name", BARE, "--memory", MEMORY]);
        let vm = home.show(BARE);
        let line = fs::read_to_string(format!("/proc/{}/cmdline", vm["pid"])).expect("the machine runs");
        let id = vm["id"].as_str().expect("an id").to_owned();
        let _ = home.text(&["vm", "kill", "-q", BARE]);
        let state = home.path().join("state/vms").join(&id);
        let mut drives = Vec::new();
        for name in ["overlay.ext4", "work.ext4"] {
            drives.push((state.join(name), directory.path().join(name)));
            copy_sparse(&state.join(name), &state.join(name).with_extension("fresh"));
        }
        let arguments = line
            .split_terminator('\0')
            .map(|argument| stand_alone(argument, &state, directory.path()))
            .collect();
        Self { directory, arguments: without_network(arguments), drives, vmm: vm["vmm"].clone() }
    }

    /// Starts the VMM with fresh drives; returns when the guest's agent answers.
    fn boot(&self) -> Duration {
        for (from, to) in &self.drives {
            copy_sparse(&from.with_extension("fresh"), to);
        }
        let pipe = self.directory.path().join("pipe");
        let _ = fs::remove_file(&pipe);
        let _ = fs::remove_file(self.directory.path().join("control"));
        let begin = Instant::now();
        let (program, arguments) = self.arguments.split_first().expect("a command line");
        let mut vmm = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the VMM starts");
        wait_for_agent(&mut vmm, &pipe);
        let took = begin.elapsed();
        vmm.kill().expect("the VMM can be ended");
        vmm.wait().expect("the VMM can be waited for");
        took
    }
}

/// Replaces arguments that only the driver can provide: inherited sockets and memory become paths, the VM's drives become
/// copies.
fn stand_alone(argument: &str, state: &Path, directory: &Path) -> String {
    let path = |name: &str| directory.join(name).display().to_string();
    let mut text = argument.replace(&state.join("console.log").display().to_string(), &path("console.log"));
    for name in ["overlay.ext4", "work.ext4"] {
        text = text.replace(&state.join(name).display().to_string(), &path(name));
    }
    for name in ["control", "pipe"] {
        if text.starts_with(&format!("socket,id={name},")) {
            text = format!("socket,id={name},path={},server=on,wait=off", path(name));
        }
    }
    if text.starts_with("memory-backend-file,") {
        let (size, id) = (field(&text, "size"), field(&text, "id"));
        text = format!("memory-backend-memfd,id={id},size={size},share=on");
    }
    text
}

fn field(text: &str, key: &str) -> String {
    let found = text.split(',').find_map(|part| part.strip_prefix(key)?.strip_prefix('='));
    found.unwrap_or_default().to_owned()
}

/// A bare run has no network stack beside it.
fn without_network(arguments: Vec<String>) -> Vec<String> {
    let mut kept = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        if argument == "-netdev" {
            arguments.next();
            kept.extend(["-netdev".to_owned(), "hubport,id=network,hubid=0".to_owned()]);
        } else {
            kept.push(argument);
        }
    }
    kept
}

fn wait_for_agent(vmm: &mut Child, pipe: &Path) {
    let mut stream = loop {
        if let Ok(stream) = UnixStream::connect(pipe) {
            break stream;
        }
        assert!(vmm.try_wait().expect("the VMM can be looked at").is_none(), "the VMM ended at once");
        std::thread::sleep(Duration::from_millis(1));
    };
    stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a deadline");
    stream.write_all(&Line::Syn(1).encode()).expect("the pipe takes the handshake");
    let mut scanner = LineScanner::default();
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte).expect("the agent answers");
        if scanner.push(byte[0]) == Some(Line::Ack(1)) {
            return;
        }
    }
}

fn copy_sparse(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("--sparse=always").args([from, to]).status().expect("cp");
    assert!(status.success(), "cp {} {}", from.display(), to.display());
    File::open(to).expect("the copy").sync_all().expect("it is on disk");
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}
