//! Random acts on a few VMs, several at once, while the daemon dies by SIGKILL at random places again and again. After
//! each death its successor starts, and rows, processes and files must agree; nobody may have lost a VM.
//!
//! `make soak` runs it; `BANGER_SOAK_KILLS` or `BANGER_SOAK_MINUTES` say how long, `BANGER_SOAK_SEED` which way. The seed is printed first.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "a soak that finds something fails right there; the parts of the tests have more than is used here"
)]

#[path = "it/fake_source.rs"]
mod fake_source;
#[path = "it/fake_vmms.rs"]
mod fake_vmms;
#[path = "it/gate.rs"]
mod gate;
#[path = "it/machines.rs"]
mod machines;
#[path = "it/sandbox.rs"]
mod sandbox;
#[path = "it/truth.rs"]
mod truth;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use banger_sys::failpoint;
use fastrand::Rng;
use serde_json::json;

use crate::gate::PATIENCE;
use crate::sandbox::Sandbox;
use crate::truth::assert_rows_are_true;

const HOME: &str = "BANGER_SOAK_HOME";
const PLACE: &str = "BANGER_SOAK_PLACE";
const READY: &str = "ready";
/// Places that a daemon may pass before it dies.
const PLACES_MAX: usize = 120;
const CALLERS: usize = 3;
const NAMES: [&str; 5] = ["ant", "bee", "cat", "dog", "elk"];
/// Acts after which a VM is there.
const KEEPING: [&str; 6] = ["create", "start", "stop", "restart", "set", "touch"];
const VERBS: [&str; 8] = ["create", "start", "stop", "restart", "kill", "delete", "set", "touch"];

fn main() {
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if let Some(home) = std::env::var_os(HOME) {
        return runtime.block_on(be_the_daemon(Path::new(&home)));
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("BANGER_SOAK_SEED").unwrap_or_else(|| fastrand::u64(..));
    // The soak with real guests gets the other half.
    let time = number("BANGER_SOAK_MINUTES").map(|minutes| Duration::from_secs(minutes * 30));
    let kills_max = match time {
        Some(_) => u64::MAX,
        None => number("BANGER_SOAK_KILLS").unwrap_or(1000),
    };
    println!("soak: seed {seed}");
    runtime.block_on(soak(kills_max, time.unwrap_or(Duration::MAX), seed));
}

async fn soak(kills_max: u64, time: Duration, seed: u64) {
    let begin = Instant::now();
    let home = tempfile::Builder::new().prefix("bs").tempdir_in("/var/tmp").unwrap();
    let sandbox = Sandbox::at(home.path(), PATIENCE);
    let mut rng = Rng::with_seed(seed);
    let (mut acts, mut done) = (0, 0);
    // Names of VMs that were there when somebody last acted on them, and whose end nobody has asked for.
    let mut kept = BTreeSet::new();
    let mut kills = 0;
    while kills < kills_max && begin.elapsed() < time {
        let mut daemon = start_daemon(home.path(), rng.usize(1..=PLACES_MAX));
        let place = format!("seed {seed}, kill {kills}");
        assert_rows_are_true(&sandbox, &place).await;
        let names: BTreeSet<String> = sandbox.vms().await.iter().map(|vm| vm.name.to_string()).collect();
        for name in &kept {
            assert!(names.contains(name), "{place}: `{name}` is lost");
        }
        let callers = (0..CALLERS).map(|_| act_until_the_end(&sandbox, rng.fork()));
        let told = futures::future::join_all(callers).await;
        let answers: Vec<_> = told.into_iter().flatten().collect();
        acts += answers.len();
        done += answers.iter().filter(|(_, _, is_done)| *is_done).count();
        let made = answers.iter().filter(|(_, verb, is_done)| *is_done && KEEPING.contains(verb));
        kept.extend(made.map(|(name, _, _)| (*name).to_owned()));
        // Of several callers nobody knows who came last: what one of them wanted to delete may be gone.
        for (name, _, _) in answers.iter().filter(|(_, verb, _)| *verb == "delete") {
            kept.remove(*name);
        }
        let ended = daemon.wait().unwrap();
        assert_eq!(ended.signal(), Some(9), "{place}: {ended:?}");
        kills += 1;
    }
    let mut sandbox = sandbox;
    sandbox.start_daemon().await;
    assert_rows_are_true(&sandbox, "the end").await;
    for vm in sandbox.vms().await {
        sandbox.act(vm.name.as_str(), "delete").await.unwrap();
    }
    sandbox.nothing_is_left().await;
    println!("soak: {acts} acts, {done} of them done, {kills} kills, {} s", begin.elapsed().as_secs());
}

/// Acts at random until the daemon is dead. A name belongs to one caller at a time only by chance; that is the point.
async fn act_until_the_end(sandbox: &Sandbox, mut rng: Rng) -> Vec<(&'static str, &'static str, bool)> {
    let mut answers = Vec::new();
    loop {
        let (name, verb) = (NAMES[rng.usize(..NAMES.len())], VERBS[rng.usize(..VERBS.len())]);
        let (path, body) = match verb {
            "create" => ("/v1/vms".to_owned(), json!({ "name": name })),
            "set" => (format!("/v1/vms/{name}/set"), json!({ "memory_mib": rng.u64(512..1024) })),
            verb => (format!("/v1/vms/{name}/{verb}"), json!({})),
        };
        let is_done = match sandbox.client.post(&path, &body).await {
            Ok(begun) => match sandbox.client.follow(begun, |_| {}).await {
                Ok(_ended) => true,
                Err(banger_client::ClientError::Refused(_)) => false,
                Err(_dead) => {
                    answers.push((name, verb, false));
                    return answers;
                }
            },
            Err(banger_client::ClientError::Refused(_)) => false,
            Err(_dead) => {
                answers.push((name, verb, false));
                return answers;
            }
        };
        answers.push((name, verb, is_done));
    }
}

async fn be_the_daemon(home: &Path) {
    let place: usize = std::env::var(PLACE).unwrap().parse().unwrap();
    let mut sandbox = Sandbox::at(home, PATIENCE);
    sandbox.start_daemon().await;
    let passed = AtomicUsize::new(0);
    println!("{READY}");
    failpoint::watch(move |_name| {
        if passed.fetch_add(1, Ordering::SeqCst) + 1 == place {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
            std::thread::sleep(PATIENCE);
        }
    });
    std::future::pending::<()>().await;
}

fn start_daemon(home: &Path, place: usize) -> Child {
    let mut daemon = Command::new(std::env::current_exe().unwrap())
        .env(HOME, home)
        .env(PLACE, place.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(daemon.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), READY);
    daemon
}
