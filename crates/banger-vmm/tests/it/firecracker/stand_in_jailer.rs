//! A jailer that becomes a stand-in instead of Firecracker: the driver drives a program of any version. Only root jails.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use banger_conformance::{Does, Guest as _, Rig, skipped, trial, until};
use banger_sys::tuning::HostTuning;
use banger_vmm::firecracker::{Firecracker, JailFacts, JailWish, Tuning};
use banger_vmm::{MachineEnd, Network, StartError, Vmm as _};
use libtest_mimic::Trial;

use super::network::a_network_that_was_killed_comes_back;
use super::{GUEST, IN_CELL, driver_of};

/// What the stand-in says it is, in the rig's directory.
const VERSION: &str = "version";
/// In place of a version: it fails.
const FAILS: &str = "fails";
/// In place of a version: it never listens.
const IS_SILENT: &str = "is silent";

pub(super) fn trials() -> Vec<Trial> {
    // This program has no jailer beside it, but it can be one.
    let facts = JailFacts { jailer: Some(PathBuf::new()), ..JailFacts::look(Path::new("/")) };
    if let Err(why) = facts.judge() {
        return vec![skipped("stand_in_jailer", &why)];
    }
    vec![
        trial("stand_in_jailer::a_version_that_is_too_old_is_refused_and_nothing_is_left", too_old),
        trial("stand_in_jailer::a_version_that_nobody_tried_is_driven", untested),
        trial("stand_in_jailer::a_program_without_a_version_is_told", no_version),
        trial("stand_in_jailer::a_start_that_fails_leaves_no_cgroup", no_cgroup_is_left),
        trial("stand_in_jailer::a_start_that_is_given_up_leaves_no_cgroup", given_up),
        trial("stand_in_jailer::a_network_that_was_killed_is_started_again", network),
        trial("stand_in_jailer::a_jailer_that_fails_is_done_without_where_it_need_not_be", done_without),
    ]
}

/// Plays the stand-in if the arguments are a jailer's.
pub(crate) fn play(arguments: &[OsString]) -> Option<ExitCode> {
    let base = arguments.iter().skip_while(|argument| *argument != "--chroot-base-dir").nth(1)?;
    // As a rig has it: `vms/<id>/jail` and `run` in one directory.
    let directory = Path::new(base).ancestors().nth(3)?;
    let version = std::fs::read_to_string(directory.join(VERSION)).ok()?;
    // As the real one, whatever comes of it.
    let id = arguments.iter().skip_while(|argument| *argument != "--id").nth(1)?;
    if let Some(cgroup) = cgroup(id) {
        std::fs::create_dir_all(&cgroup).unwrap();
        std::fs::write(cgroup.join("cgroup.procs"), "0").unwrap();
    }
    match version.as_str() {
        FAILS => {
            eprintln!("no room in this jail");
            return Some(ExitCode::FAILURE);
        }
        IS_SILENT => loop {
            std::thread::park();
        },
        _ => {}
    }
    let listener = UnixListener::bind(directory.join("run/control.sock")).ok()?;
    for stream in listener.incoming().flatten() {
        let version = version.clone();
        std::thread::spawn(move || answer(stream, &version));
    }
    Some(ExitCode::SUCCESS)
}

/// The cgroup of a VM's jail, on a host that has them.
fn cgroup(id: impl AsRef<Path>) -> Option<PathBuf> {
    HostTuning::look().unified_cgroup().map(|mount| mount.join("banger").join(id))
}

fn answer(mut stream: UnixStream, version: &str) {
    let mut request = vec![0; 64 * 1024];
    let count = stream.read(&mut request).unwrap_or_default();
    let answer = if request[..count].starts_with(b"GET /version") {
        let length = version.len();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{version}"
        )
    } else {
        "HTTP/1.1 204 No Content\r\n\r\n".to_owned()
    };
    let _ = stream.write_all(answer.as_bytes());
    // Open until the other side has read it.
    let _ = stream.read(&mut request);
}

/// A driver of a stand-in that answers this when it is asked for its version.
fn driver(rig: &Rig, version: &str) -> Firecracker {
    std::fs::write(rig.path("firecracker"), "").unwrap();
    std::fs::copy(std::env::current_exe().unwrap(), rig.path("jailer")).unwrap();
    std::fs::write(rig.path(VERSION), version).unwrap();
    driver_of(rig.path("firecracker")).with_tuning(Tuning { jailer: JailWish::Always, ..IN_CELL })
}

fn nothing_is_left(rig: &Rig) {
    assert_eq!((rig.processes(), rig.runtime_names()), (vec![], vec![]));
    assert!(!rig.plan.state_directory.join("jail").exists());
    assert!(!has_cgroup(rig));
}

fn has_cgroup(rig: &Rig) -> bool {
    cgroup(rig.plan.vm.as_str()).is_some_and(|cgroup| cgroup.exists())
}

async fn no_cgroup_is_left() {
    let rig = GUEST.rig(Does::Run);
    match driver(&rig, FAILS).start(&rig.plan).await.err() {
        Some(StartError::Refused { stderr, .. }) => assert_eq!(stderr, "no room in this jail"),
        other => panic!("{other:?}"),
    }
    nothing_is_left(&rig);
}

async fn given_up() {
    let rig = GUEST.rig(Does::Run);
    let driver = driver(&rig, IS_SILENT);
    {
        let mut start = std::pin::pin!(driver.start(&rig.plan));
        let jailed = until("the jailer runs", || has_cgroup(&rig) || cgroup("").is_none());
        tokio::select! {
            started = &mut start => panic!("{:?}", started.err()),
            () = jailed => {}
        }
    }
    until("nothing is left", || rig.processes().is_empty() && !has_cgroup(&rig)).await;
}

/// The cell alone would do, but this Firecracker is an empty file: what is told is the cell's refusal, and not the jailer's.
async fn done_without() {
    let rig = GUEST.rig(Does::Run);
    let driver = driver(&rig, FAILS).with_tuning(Tuning { jailer: JailWish::Auto, ..IN_CELL });
    match driver.start(&rig.plan).await.err() {
        Some(StartError::Refused { stderr, .. }) => {
            assert!(stderr.contains("is it a static program?"), "{stderr}");
        }
        other => panic!("{other:?}"),
    }
    nothing_is_left(&rig);
}

async fn too_old() {
    let rig = GUEST.rig(Does::Run);
    match driver(&rig, r#"{"firecracker_version":"1.4.1"}"#).start(&rig.plan).await.err() {
        Some(error @ StartError::TooOld { .. }) => {
            assert_eq!(error.to_string(), "`firecracker` is version 1.4.1; at least 1.5 is needed");
        }
        other => panic!("{other:?}"),
    }
    nothing_is_left(&rig);
}

async fn untested() {
    let rig = GUEST.rig(Does::Run);
    let driver = driver(&rig, r#"{"firecracker_version":"1.99.0"}"#);
    let machine = driver.start(&rig.plan).await.unwrap();
    assert_eq!(rig.processes(), [machine.handle().process.pid]);
    machine.kill().await.unwrap();
    assert_eq!(machine.ended().await, MachineEnd::Signaled(9));
    nothing_is_left(&rig);
}

async fn network() {
    let mut rig = GUEST.rig(Does::Run);
    rig.plan.network = Network::UserMode { mac: "52:54:00:12:34:56".into() };
    let machine = driver(&rig, r#"{"firecracker_version":"1.16.1"}"#).start(&rig.plan).await.unwrap();
    a_network_that_was_killed_comes_back(machine.as_ref()).await;
    let restarted = banger_vmm::handle::load(&rig.plan.state_directory).unwrap().unwrap();
    for network in &restarted.companions {
        let errors = std::fs::read_link(format!("/proc/{}/fd/2", network.pid)).unwrap();
        assert_eq!(errors, rig.plan.state_directory.join("network.log"));
    }
    let devices = std::fs::read_to_string(format!("/proc/{}/net/dev", machine.handle().process.pid)).unwrap();
    for device in ["bridge0:", "tap0:", "tap1:"] {
        assert!(devices.contains(device), "{devices}");
    }
    machine.kill().await.unwrap();
    // It sees the machine's end by itself, whoever else ends it.
    nothing_is_left(&rig);
}

async fn no_version() {
    let rig = GUEST.rig(Does::Run);
    let error = driver(&rig, "{}").start(&rig.plan).await.err();
    assert!(matches!(error, Some(StartError::Control { .. })), "{error:?}");
    nothing_is_left(&rig);
}
