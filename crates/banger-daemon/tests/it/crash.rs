//! The daemon dies by SIGKILL at every place where it changes the host, and its successor puts everything right.
//!
//! A child process runs a daemon of its own, brings its VMs into place, and dies at the n-th place that an act passes.
//! The test then starts the next daemon in the same home and looks at what is there. Whether an act has another place
//! is learned by dying there: a new side effect is covered from the day on which it is written.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use banger_model::VmState;
use banger_sys::failpoint;
use serde_json::{Value, json};

use crate::gate::PATIENCE;
use crate::sandbox::Sandbox;
use crate::truth::assert_rows_are_true;

const HOME: &str = "BANGER_CRASH_HOME";
const ACT: &str = "BANGER_CRASH_ACT";
const PLACE: &str = "BANGER_CRASH_PLACE";
/// More places than any act has: an act that never ends is a mistake of the test.
const PLACES_MAX: usize = 200;

/// What the daemon is doing when it dies.
struct Act {
    name: &'static str,
    /// What is done before to the VM `dev`, after its making; nothing: it is not made.
    before: &'static [&'static str],
    route: &'static str,
    body: fn() -> Value,
    /// States in which `dev` may be found afterwards; `None`: it may be gone.
    after: &'static [Option<VmState>],
}

const NOTHING: fn() -> Value = || json!({});

const ACTS: &[Act] = &[
    Act {
        name: "create",
        before: &[],
        route: "/v1/vms",
        body: || json!({ "name": "dev" }),
        after: &[None, Some(VmState::Running)],
    },
    Act {
        name: "start",
        before: &["create", "kill"],
        route: "/v1/vms/dev/start",
        body: NOTHING,
        after: &[Some(VmState::Stopped), Some(VmState::Failed), Some(VmState::Running)],
    },
    Act {
        name: "stop",
        before: &["create"],
        route: "/v1/vms/dev/stop",
        body: NOTHING,
        after: &[Some(VmState::Running), Some(VmState::Stopped)],
    },
    Act {
        name: "restart",
        before: &["create"],
        route: "/v1/vms/dev/restart",
        body: NOTHING,
        after: &[Some(VmState::Running), Some(VmState::Stopped), Some(VmState::Failed)],
    },
    Act {
        name: "kill",
        before: &["create"],
        route: "/v1/vms/dev/kill",
        body: NOTHING,
        after: &[Some(VmState::Running), Some(VmState::Stopped)],
    },
    Act {
        name: "delete",
        before: &["create"],
        route: "/v1/vms/dev/delete",
        body: NOTHING,
        after: &[None, Some(VmState::Running), Some(VmState::Stopped)],
    },
    Act {
        name: "prune",
        before: &["create", "kill"],
        route: "/v1/vms/dev/delete",
        body: || json!({ "only_stopped": true }),
        after: &[None, Some(VmState::Stopped)],
    },
    Act {
        name: "set",
        before: &["create"],
        route: "/v1/vms/dev/set",
        body: || json!({ "memory_mib": 777, "disk_bytes": 9_u64 << 30, "ttl_secs": 3600 }),
        after: &[Some(VmState::Running)],
    },
    Act {
        name: "touch",
        before: &["create"],
        route: "/v1/vms/dev/touch",
        body: NOTHING,
        after: &[Some(VmState::Running)],
    },
];

fn act(name: &str) -> &'static Act {
    ACTS.iter().find(|act| act.name == name).unwrap()
}

/// Dies at every place of an act in turn.
async fn die_everywhere_in(name: &str) {
    let act = act(name);
    for place in 1..=PLACES_MAX {
        let home = tempfile::tempdir().unwrap();
        let ended = die(home.path(), act, place);
        if ended.success() {
            assert!(place > 2, "{name} passes {} places only", place - 1);
            // It has left its machine running.
            drop(Sandbox::at(home.path(), PATIENCE));
            return;
        }
        assert_eq!(ended.signal(), Some(9), "{name}, place {place}: {ended:?}");
        let mut sandbox = Sandbox::at(home.path(), PATIENCE);
        sandbox.start_daemon().await;
        look_at(&sandbox, &format!("{name}, place {place}"), act).await;
    }
    panic!("{name} has no end");
}

/// Runs the daemon that dies; one that passes fewer places ends well.
fn die(home: &Path, act: &Act, place: usize) -> ExitStatus {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::a_daemon_that_dies", "--ignored"])
        .env(HOME, home)
        .env(ACT, act.name)
        .env(PLACE, place.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.wait().unwrap()
}

#[tokio::test]
#[ignore = "is the process that other tests start and that dies"]
async fn a_daemon_that_dies() {
    let Some(home) = std::env::var_os(HOME) else { return };
    let act = act(&std::env::var(ACT).unwrap());
    let place: usize = std::env::var(PLACE).unwrap().parse().unwrap();
    let mut sandbox = Sandbox::at(Path::new(&home), PATIENCE);
    sandbox.start_daemon().await;
    for step in act.before {
        match *step {
            "create" => drop(sandbox.create("dev").await),
            verb => drop(sandbox.act("dev", verb).await.unwrap()),
        }
    }
    let passed = AtomicUsize::new(0);
    failpoint::watch(move |_name| {
        if passed.fetch_add(1, Ordering::SeqCst) + 1 == place {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
            // The signal comes when it comes; not one step further until then.
            std::thread::sleep(PATIENCE);
        }
    });
    let begun = sandbox.begin(act.route, (act.body)()).await.unwrap();
    sandbox.finish(begun).await.unwrap();
    // Without unwinding: the machines go on, as after any end of a daemon.
    std::process::exit(0);
}

/// What must be true after any death, and after what follows it.
async fn look_at(sandbox: &Sandbox, place: &str, act: &Act) {
    assert_rows_are_true(sandbox, place).await;
    let vm = sandbox.vm("dev").await;
    let state = vm.as_ref().map(|vm| vm.state);
    assert!(act.after.contains(&state), "{place}: {vm:?}");
    if act.before.is_empty() && vm.is_none() {
        assert!(sandbox.directories().is_empty(), "{place}");
    }
    // Whatever is asked next works.
    match state {
        Some(VmState::Running) => {
            let (output, _) = sandbox.exec("dev", &[b"echo", b"here"]).await;
            assert_eq!(output, b"here\n", "{place}");
            sandbox.act("dev", "stop").await.unwrap_or_else(|error| panic!("{place}: {error:?}"));
        }
        Some(_) => {
            sandbox.act("dev", "start").await.unwrap_or_else(|error| panic!("{place}: {error:?}"));
        }
        None => drop(sandbox.create("dev").await),
    }
    assert_rows_are_true(sandbox, place).await;
    sandbox.act("dev", "delete").await.unwrap_or_else(|error| panic!("{place}: {error:?}"));
    sandbox.nothing_is_left().await;
}

macro_rules! a_death_anywhere_in {
    ($($test:ident: $act:literal),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $test() {
                die_everywhere_in($act).await;
            }
        )*

        #[test]
        fn every_act_is_died_in() {
            assert_eq!(ACTS.iter().map(|act| act.name).collect::<Vec<_>>(), [$($act),*]);
        }
    };
}

a_death_anywhere_in! {
    a_death_in_a_create_loses_and_leaves_nothing: "create",
    a_death_in_a_start_loses_and_leaves_nothing: "start",
    a_death_in_a_stop_loses_and_leaves_nothing: "stop",
    a_death_in_a_restart_loses_and_leaves_nothing: "restart",
    a_death_in_a_kill_loses_and_leaves_nothing: "kill",
    a_death_in_a_delete_loses_and_leaves_nothing: "delete",
    a_death_in_a_prune_loses_and_leaves_nothing: "prune",
    a_death_in_a_set_loses_and_leaves_nothing: "set",
    a_death_in_a_touch_loses_and_leaves_nothing: "touch",
}
