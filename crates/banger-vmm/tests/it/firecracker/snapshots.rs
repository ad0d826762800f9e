//! Snapshots: full and difference, memory by file and by pager, restored by this process and taken over by the next.

use std::path::Path;
use std::time::Duration;

use banger_conformance::{Does, Guest as _, Rig, skipped, trial, until};
use banger_sys::process::ProcessIdentity;
use banger_vmm::firecracker::api::{
    Api, ApiError, MemoryBackend, MemoryBackendType, NetworkOverride, SnapshotLoad,
};
use banger_vmm::{
    ControlError, Machine, MachineEnd, MemorySource, RestorePlan, SnapshotFiles, SnapshotKind, StartError,
    Vmm as _, handle, memory_file,
};
use libtest_mimic::Trial;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::traps::Bare;
use super::{GUEST, driver};

pub(super) fn trials() -> Vec<Trial> {
    let mut trials = without_a_pager();
    match why_no_pager() {
        None => trials.extend(with_a_pager()),
        Some(why) => trials.push(skipped("firecracker::snapshots::pager", why)),
    }
    trials
}

/// Firecracker gets the pages of a restored guest by this device, where the kernel has it.
pub(super) fn why_no_pager() -> Option<&'static str> {
    match std::fs::File::options().read(true).write(true).open("/dev/userfaultfd") {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Some("this user may not open /dev/userfaultfd")
        }
        Ok(_) | Err(_) => None,
    }
}

fn with_a_pager() -> Vec<Trial> {
    vec![
        trial("firecracker::snapshots::a_pager_hands_over_its_memory", || goes_on(MemorySource::Pager)),
        trial("firecracker::snapshots::the_channel_works_with_a_pager", || channel(MemorySource::Pager)),
        trial("firecracker::snapshots::the_machine_ends_when_its_pager_goes", pager_goes),
    ]
}

fn without_a_pager() -> Vec<Trial> {
    vec![
        trial("firecracker::snapshots::a_guest_goes_on_where_it_was", || goes_on(MemorySource::File)),
        trial("firecracker::snapshots::one_snapshot_makes_many_machines", many),
        trial("firecracker::snapshots::the_channel_works_in_what_was_restored", || {
            channel(MemorySource::File)
        }),
        trial("firecracker::snapshots::a_difference_laid_over_the_whole_is_the_later_whole", difference),
        trial("firecracker::snapshots::a_running_machine_refuses_and_goes_on", running_refuses),
        trial("firecracker::snapshots::what_is_no_snapshot_is_refused_in_words", no_snapshot),
        trial("firecracker::snapshots::a_failed_load_ends_the_process", failed_load),
        trial(
            "firecracker::snapshots::an_override_for_an_interface_that_is_not_there_is_refused",
            odd_override,
        ),
    ]
}

fn files(rig: &Rig) -> SnapshotFiles {
    SnapshotFiles { state: rig.path("snapshot-state"), memory: rig.path("snapshot-memory") }
}

fn plan(snapshot: &SnapshotFiles, memory: MemorySource) -> RestorePlan {
    RestorePlan { snapshot: snapshot.clone(), memory, notes_writes: false }
}

fn length(console: &Path) -> u64 {
    std::fs::metadata(console).unwrap().len()
}

async fn grows(console: &Path) {
    let before = length(console);
    until("the guest ticks", || length(console) > before).await;
}

/// Starts a guest, takes a snapshot of it and ends it.
async fn take(rig: &Rig, files: &SnapshotFiles) {
    let machine = driver().start(&rig.plan).await.unwrap();
    grows(&machine.handle().console_log).await;
    machine.pause().await.unwrap();
    machine.snapshot(files, SnapshotKind::Full).await.unwrap();
    let memory = std::fs::metadata(&files.memory).unwrap();
    assert_eq!(memory.len(), rig.plan.memory.get() << 20);
    for file in [&files.state, &files.memory] {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // It goes on as if nothing had been.
    machine.resume().await.unwrap();
    grows(&machine.handle().console_log).await;
    machine.kill().await.unwrap();
}

/// Another VM with the same drives' contents.
fn another(rig: &Rig) -> Rig {
    let other = GUEST.rig(Does::Halt);
    for name in ["base", "overlay"] {
        std::fs::copy(rig.path(name), other.path(name)).unwrap();
    }
    other
}

async fn goes_on(memory: MemorySource) {
    let rig = GUEST.rig(Does::Tick);
    let files = files(&rig);
    take(&rig, &files).await;
    let other = another(&rig);
    let machine = driver().restore(&other.plan, &plan(&files, memory)).await.unwrap();
    let console = machine.handle().console_log.clone();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!std::fs::read_to_string(&console).unwrap().ends_with('.'), "it comes up paused");
    machine.resume().await.unwrap();
    grows(&console).await;
    assert_eq!(handle::load(&other.plan.state_directory).unwrap().as_ref(), Some(machine.handle()));
    drop(machine);
    let found = handle::load(&other.plan.state_directory).unwrap().unwrap();
    let machine = driver().adopt(&found).await.unwrap().expect("it runs");
    grows(&console).await;
    machine.kill().await.unwrap();
    assert_eq!(other.runtime_names(), [""; 0]);
    assert_eq!(other.processes(), [0; 0]);
}

async fn many() {
    let rig = GUEST.rig(Does::Tick);
    let files = files(&rig);
    take(&rig, &files).await;
    let others: Vec<_> = (0..4).map(|_| another(&rig)).collect();
    let restore_plan = plan(&files, MemorySource::File);
    let driver = driver();
    let machines =
        futures::future::join_all(others.iter().map(|other| driver.restore(&other.plan, &restore_plan)))
            .await;
    let machines: Vec<_> = machines.into_iter().map(Result::unwrap).collect();
    let memory_before = std::fs::metadata(&files.memory).unwrap().modified().unwrap();
    for machine in &machines {
        machine.resume().await.unwrap();
        grows(&machine.handle().console_log).await;
    }
    assert_eq!(std::fs::metadata(&files.memory).unwrap().modified().unwrap(), memory_before);
    for machine in machines {
        machine.kill().await.unwrap();
    }
}

async fn ask(machine: &dyn Machine, text: &[u8]) {
    let mut stream = GUEST.echo(machine).await;
    stream.write_all(text).await.unwrap();
    let mut back = vec![0; text.len()];
    tokio::time::timeout(Duration::from_secs(60), stream.read_exact(&mut back)).await.unwrap().unwrap();
    assert_eq!(back, text);
}

async fn channel(memory: MemorySource) {
    let rig = GUEST.rig(Does::Echo);
    let files = files(&rig);
    let machine = driver().start(&rig.plan).await.unwrap();
    ask(machine.as_ref(), b"before").await;
    machine.pause().await.unwrap();
    machine.snapshot(&files, SnapshotKind::Full).await.unwrap();
    machine.resume().await.unwrap();
    ask(machine.as_ref(), b"after the snapshot").await;
    let other = another(&rig);
    let restored = driver().restore(&other.plan, &plan(&files, memory)).await.unwrap();
    restored.resume().await.unwrap();
    ask(restored.as_ref(), b"in the copy").await;
    // A pause of what was restored, without a snapshot.
    restored.pause().await.unwrap();
    restored.resume().await.unwrap();
    ask(restored.as_ref(), b"in the copy, after a pause").await;
    ask(machine.as_ref(), b"in the first").await;
    for machine in [machine, restored] {
        machine.kill().await.unwrap();
    }
}

async fn difference() {
    let rig = GUEST.rig(Does::Tick);
    let whole = files(&rig);
    take(&rig, &whole).await;
    // The writes of a restored guest are noted, so that the difference holds them and no more.
    let other = another(&rig);
    let noted = RestorePlan { notes_writes: true, ..plan(&whole, MemorySource::File) };
    let machine = driver().restore(&other.plan, &noted).await.unwrap();
    machine.resume().await.unwrap();
    grows(&machine.handle().console_log).await;
    machine.pause().await.unwrap();
    let (later, all) =
        (files(&other), SnapshotFiles { state: other.path("all-s"), memory: other.path("all-m") });
    machine.snapshot(&later, SnapshotKind::Difference).await.unwrap();
    machine.snapshot(&all, SnapshotKind::Full).await.unwrap();
    machine.kill().await.unwrap();
    let room = |path: &Path| std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(path).unwrap()) * 512;
    assert!(
        room(&later.memory) < 1 << 20,
        "{} bytes for a guest that writes next to nothing",
        room(&later.memory)
    );
    let laid = other.path("laid");
    std::fs::copy(&whole.memory, &laid).unwrap();
    memory_file::lay_over(&laid, &later.memory).unwrap();
    assert!(std::fs::read(&laid).unwrap() == std::fs::read(&all.memory).unwrap(), "the memories differ");
    // And it runs.
    let third = another(&rig);
    let snapshot = SnapshotFiles { state: later.state, memory: laid };
    let machine = driver().restore(&third.plan, &plan(&snapshot, MemorySource::File)).await.unwrap();
    machine.resume().await.unwrap();
    grows(&machine.handle().console_log).await;
    machine.kill().await.unwrap();
}

async fn pager_goes() {
    let rig = GUEST.rig(Does::Tick);
    let files = files(&rig);
    take(&rig, &files).await;
    let other = another(&rig);
    let machine = driver().restore(&other.plan, &plan(&files, MemorySource::Pager)).await.unwrap();
    machine.resume().await.unwrap();
    grows(&machine.handle().console_log).await;
    let pager = ProcessIdentity::from(machine.handle().pager.unwrap()).open().unwrap().unwrap();
    pager.signal(rustix::process::Signal::KILL).unwrap();
    let end = tokio::time::timeout(Duration::from_secs(10), machine.ended()).await.unwrap();
    assert_eq!(end, MachineEnd::Signaled(9));
}

async fn running_refuses() {
    let rig = GUEST.rig(Does::Tick);
    let machine = driver().start(&rig.plan).await.unwrap();
    grows(&machine.handle().console_log).await;
    let refused = machine.snapshot(&files(&rig), SnapshotKind::Full).await;
    assert!(matches!(refused, Err(ControlError::Refused { .. })), "{refused:?}");
    assert!(!files(&rig).state.exists() && !files(&rig).memory.exists());
    grows(&machine.handle().console_log).await;
    machine.kill().await.unwrap();
}

async fn no_snapshot() {
    let rig = GUEST.rig(Does::Halt);
    let missing = files(&rig);
    match driver().restore(&rig.plan, &plan(&missing, MemorySource::File)).await.err() {
        Some(StartError::BadPlan { reason }) => assert!(reason.contains("snapshot-state"), "{reason}"),
        other => panic!("{other:?}"),
    }
    for file in [&missing.state, &missing.memory] {
        std::fs::write(file, "this is no snapshot").unwrap();
    }
    match driver().restore(&rig.plan, &plan(&missing, MemorySource::File)).await.err() {
        Some(StartError::PartRefused { part, reason, .. }) => {
            assert!(part == "snapshot" && !reason.is_empty(), "{part}: {reason}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((rig.processes(), rig.runtime_names()), (vec![], vec![]));
}

fn load(state: &Path, memory: &Path) -> SnapshotLoad {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    SnapshotLoad {
        snapshot_path: text(state),
        mem_backend: MemoryBackend { backend_type: MemoryBackendType::File, backend_path: text(memory) },
        track_dirty_pages: false,
        enable_diff_snapshots: false,
        resume_vm: false,
        network_overrides: Vec::new(),
        vsock_override: None,
    }
}

/// Unlike a failed boot, which leaves Firecracker alive and its defaults in force.
async fn failed_load() {
    let mut bare = Bare::start().await;
    let request = load(&bare.path("missing"), &bare.path("missing"));
    let refused = bare.api.put("/snapshot/load", &request).await;
    assert!(matches!(refused, Err(ApiError::Refused { .. })), "{refused:?}");
    until("its end", || bare.has_ended()).await;
}

async fn odd_override() {
    let rig = GUEST.rig(Does::Tick);
    let files = files(&rig);
    take(&rig, &files).await;
    let bare = Bare::start().await;
    let odd = NetworkOverride { iface_id: "eth7".to_owned(), host_dev_name: "tap0".to_owned() };
    let request = SnapshotLoad { network_overrides: vec![odd], ..load(&files.state, &files.memory) };
    let api: &Api = &bare.api;
    match api.put("/snapshot/load", &request).await {
        Err(ApiError::Refused { reason, .. }) => {
            assert!(reason.to_lowercase().contains("unknown network device"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}
