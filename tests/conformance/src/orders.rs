//! Pause, resume and figures.

use std::path::Path;
use std::time::{Duration, Instant};

use banger_sys::process::ProcessIdentity;
use banger_vmm::{ControlError, handle};
use rustix::process::Signal;

use crate::rig::{LINE, until, until_console_says};
use crate::suite::Subject;

/// Longer than a guest that ticks needs for the next tick.
const A_WHILE: Duration = Duration::from_millis(500);

/// The drivers' own deadline is 10 s.
const ANSWER_MAX: Duration = Duration::from_secs(15);

fn length(console: &Path) -> u64 {
    std::fs::metadata(console).unwrap().len()
}

async fn grows(console: &Path) {
    let before = length(console);
    until("the guest ticks", || length(console) > before).await;
}

async fn stands_still(console: &Path) {
    // Earlier output may still be in transit.
    tokio::time::sleep(A_WHILE).await;
    let before = length(console);
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(length(console), before);
}

pub(crate) async fn pause_and_resume(subject: Subject) {
    let rig = subject.rig();
    let machine = subject.vmm.start(&rig.plan).await.unwrap();
    let console = machine.handle().console_log.clone();
    grows(&console).await;
    for _ in 0..2 {
        machine.pause().await.unwrap();
        machine.pause().await.unwrap();
        stands_still(&console).await;
        machine.resume().await.unwrap();
        machine.resume().await.unwrap();
        grows(&console).await;
    }
    machine.pause().await.unwrap();
    machine.kill().await.unwrap();
}

pub(crate) async fn adoption_while_paused(subject: Subject) {
    let rig = subject.rig();
    let first = subject.vmm.start(&rig.plan).await.unwrap();
    grows(&first.handle().console_log).await;
    first.pause().await.unwrap();
    drop(first);
    let found = handle::load(&rig.plan.state_directory).unwrap().unwrap();
    let second = subject.vmm.adopt(&found).await.unwrap().expect("it runs");
    stands_still(&found.console_log).await;
    second.resume().await.unwrap();
    grows(&found.console_log).await;
    second.kill().await.unwrap();
}

pub(crate) async fn stats(subject: Subject) {
    let rig = subject.rig();
    let machine = subject.vmm.start(&rig.plan).await.unwrap();
    grows(&machine.handle().console_log).await;
    let first = machine.stats().await.unwrap();
    assert!(first.resident_bytes > 0 && first.network.is_none(), "{first:?}");
    let mut last = first;
    let begin = Instant::now();
    while last.cpu_time == first.cpu_time && begin.elapsed() < Duration::from_secs(30) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        last = machine.stats().await.unwrap();
    }
    assert!(last.cpu_time > first.cpu_time, "{last:?}");
    machine.kill().await.unwrap();
}

pub(crate) async fn drive_stats(subject: Subject) {
    let rig = subject.rig();
    let machine = subject.vmm.start(&rig.plan).await.unwrap();
    until_console_says(&machine.handle().console_log, ": refused").await;
    until_console_says(&machine.handle().console_log, ": written").await;
    let drives = machine.stats().await.unwrap().drives.expect("the VMM counts");
    // One sector is read from each of two drives, and one is written.
    assert_eq!((drives.read_bytes, drives.reads), (1024, 2), "{drives:?}");
    assert_eq!(drives.written_bytes, 512, "{drives:?}");
    assert_eq!(machine.stats().await.unwrap().drives, Some(drives), "asked again, they are the same");
    drop(machine);
    let found = handle::load(&rig.plan.state_directory).unwrap().unwrap();
    let machine = subject.vmm.adopt(&found).await.unwrap().expect("it runs");
    assert_eq!(machine.stats().await.unwrap().drives, Some(drives), "the next owner is told the same");
    machine.kill().await.unwrap();
}

pub(crate) async fn after_the_end(subject: Subject) {
    let rig = subject.rig();
    let machine = subject.vmm.start(&rig.plan).await.unwrap();
    let (paused, killed) = tokio::join!(machine.pause(), machine.kill());
    killed.unwrap();
    assert!(matches!(paused, Ok(()) | Err(ControlError::MachineEnded { .. })), "{paused:?}");
    assert!(matches!(machine.pause().await, Err(ControlError::MachineEnded { .. })));
    assert!(matches!(machine.stats().await, Err(ControlError::MachineEnded { .. })));
}

pub(crate) async fn silent_vmm(subject: Subject) {
    let rig = subject.rig();
    let machine = subject.vmm.start(&rig.plan).await.unwrap();
    until_console_says(&machine.handle().console_log, LINE).await;
    let process = ProcessIdentity::from(machine.handle().process).open().unwrap().unwrap();
    process.signal(Signal::STOP).unwrap();
    let begin = Instant::now();
    let paused = machine.pause().await;
    assert!(matches!(paused, Err(ControlError::Silent { .. })), "{paused:?}");
    assert!(begin.elapsed() < ANSWER_MAX);
    machine.kill().await.unwrap();
}
