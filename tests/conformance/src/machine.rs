//! A machine's life. Each function proves one promise.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use banger_sys::process::ProcessIdentity;
use banger_vmm::{ConnectError, Machine, MachineEnd, Network, StartError, handle, orphans};

use crate::rig::{LINE, is_alive, until, until_console_says};
use crate::suite::Subject;

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(60);

/// The guest resets its machine after its line, so the machine ends by itself.
pub(crate) async fn console_then_end(subject: Subject) {
    let (vmm, rig) = (&subject.vmm, subject.rig());
    let machine = vmm.start(&rig.plan).await.unwrap();
    let (first, second) =
        tokio::time::timeout(LONG, async { tokio::join!(machine.ended(), machine.ended()) }).await.unwrap();
    assert_eq!((first, second), (MachineEnd::Exited(0), MachineEnd::Exited(0)));
    assert_eq!(machine.ended().await, MachineEnd::Exited(0));
    let log = &machine.handle().console_log;
    assert!(std::fs::read_to_string(log).unwrap().contains(LINE));
    assert_eq!(std::fs::metadata(log).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(rig.runtime_names(), [""; 0]);
    let started = Instant::now();
    let connected = machine.connect(1024, LONG).await;
    assert!(matches!(connected, Err(ConnectError::MachineEnded)), "{connected:?}");
    assert!(started.elapsed() < LONG / 2);
    machine.kill().await.unwrap();
}

/// The handle on disk describes the machine, and killing the machine removes its files.
pub(crate) async fn kill(subject: Subject) {
    let (vmm, rig) = (&subject.vmm, subject.rig());
    let machine = vmm.start(&rig.plan).await.unwrap();
    assert_eq!(handle::load(&rig.plan.state_directory).unwrap().as_ref(), Some(machine.handle()));
    for socket in rig.runtime_names() {
        let mode = std::fs::metadata(rig.plan.runtime_directory.join(socket)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert!(is_alive(machine.handle()));
    machine.kill().await.unwrap();
    assert_eq!(machine.ended().await, MachineEnd::Signaled(9));
    assert_eq!(rig.processes(), [0; 0]);
    assert_eq!(rig.runtime_names(), [""; 0]);
    machine.kill().await.unwrap();
}

/// A guest that never answers costs a caller at most its deadline; a caller is notified of the machine's end.
pub(crate) async fn silent_guest(subject: Subject) {
    let (vmm, rig) = (&subject.vmm, subject.rig());
    let machine = vmm.start(&rig.plan).await.unwrap();
    let connected = machine.connect(1024, SHORT).await;
    assert!(
        matches!(connected, Err(ConnectError::Silent { deadline }) if deadline == SHORT),
        "{connected:?}"
    );
    let (connected, killed) = tokio::join!(machine.connect(1024, LONG), machine.kill());
    killed.unwrap();
    assert!(matches!(connected, Err(ConnectError::MachineEnded)), "{connected:?}");
}

/// A dropped machine keeps running, is taken over through its handle, and ends under its new owner.
pub(crate) async fn adoption(subject: Subject) {
    let (vmm, rig) = (&subject.vmm, subject.rig());
    let first = vmm.start(&rig.plan).await.unwrap();
    let console = first.handle().console_log.clone();
    drop(first);
    let found = handle::load(&rig.plan.state_directory).unwrap().unwrap();
    assert!(is_alive(&found));
    let second = vmm.adopt(&found).await.unwrap().expect("it runs");
    assert_eq!(second.handle(), &found);
    until_console_says(&console, LINE).await;
    let connected = second.connect(1024, SHORT).await;
    assert!(matches!(connected, Err(ConnectError::Silent { .. })), "{connected:?}");
    second.kill().await.unwrap();
    assert_eq!(second.ended().await, MachineEnd::Unknown);
    assert!(vmm.adopt(&found).await.unwrap().is_none());
}

/// A machine that ended unobserved leaves nothing behind once it was looked up.
pub(crate) async fn ended_unseen(subject: Subject) {
    let (vmm, rig) = (&subject.vmm, subject.rig());
    let machine = vmm.start(&rig.plan).await.unwrap();
    let found = machine.handle().clone();
    drop(machine);
    let process = ProcessIdentity::from(found.process);
    process.open().unwrap().unwrap().signal(rustix::process::Signal::KILL).unwrap();
    until("its end", || !process.is_alive()).await;
    assert!(vmm.adopt(&found).await.unwrap().is_none());
    assert_eq!(rig.runtime_names(), [""; 0]);
}

/// A handle whose process ID now belongs to another process describes a machine that has ended.
pub(crate) async fn stranger(subject: Subject) {
    let (vmm, rig) = (&subject.vmm, subject.rig());
    let machine = vmm.start(&rig.plan).await.unwrap();
    let ours = ProcessIdentity::of(std::process::id()).unwrap();
    let mut wrong = machine.handle().clone();
    machine.kill().await.unwrap();
    wrong.process = ours.into();
    assert!(vmm.adopt(&wrong).await.unwrap().is_none());
    wrong.format_version = 99;
    assert!(vmm.adopt(&wrong).await.is_err());
}

/// A start that is cancelled leaves no process, wherever it was cancelled.
pub(crate) async fn cancelled_start(subject: Subject) {
    let (vmm, rig) = (&subject.vmm, subject.rig());
    for pause in [0, 1, 5, 20, 50, 100] {
        let started = tokio::time::timeout(Duration::from_millis(pause), vmm.start(&rig.plan)).await;
        if let Ok(machine) = started {
            machine.unwrap().kill().await.unwrap();
        }
        until("no process", || rig.processes().is_empty()).await;
    }
}

/// Two machines run side by side, and the end of one does not affect the other.
pub(crate) async fn two_at_once(subject: Subject) {
    let (vmm, one, other) = (&subject.vmm, subject.rig(), subject.rig());
    let (first, second) = tokio::join!(vmm.start(&one.plan), vmm.start(&other.plan));
    let (first, second) = (first.unwrap(), second.unwrap());
    until_console_says(&first.handle().console_log, LINE).await;
    until_console_says(&second.handle().console_log, LINE).await;
    first.kill().await.unwrap();
    assert!(is_alive(second.handle()));
    second.kill().await.unwrap();
}

/// A machine without a handle is found by its state directory.
pub(crate) async fn orphan(subject: Subject) {
    let (vmm, rig) = (&subject.vmm, subject.rig());
    let machine = vmm.start(&rig.plan).await.unwrap();
    let process = machine.handle().process.into();
    let root = rig.state_root();
    assert_eq!(orphans::find_orphans(&root, &[process]).unwrap(), []);
    assert_eq!(orphans::find_orphans(&root, &[]).unwrap(), [(process, rig.plan.state_directory.clone())]);
    orphans::end_orphan(process).unwrap();
    assert_eq!(machine.ended().await, MachineEnd::Signaled(9));
}

/// Each plan that cannot be carried out is refused with an error of its own.
pub(crate) async fn bad_plans(subject: Subject) {
    let (vmm, rig) = (&subject.vmm, subject.rig());
    let reason = |result: Result<Box<dyn Machine>, StartError>| match result {
        Err(StartError::BadPlan { reason }) => reason,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it started"),
    };
    let mut plan = rig.plan.clone();
    plan.kernel.vmlinux = rig.path("no-kernel");
    assert!(reason(vmm.start(&plan).await).contains("no-kernel"));
    let mut plan = rig.plan.clone();
    plan.drives[0].path = rig.path("no-drive");
    assert!(reason(vmm.start(&plan).await).contains("no-drive"));
    let mut plan = rig.plan.clone();
    plan.runtime_directory = rig.path("no-directory");
    assert!(reason(vmm.start(&plan).await).contains("no-directory"));
    let mut plan = rig.plan.clone();
    plan.kernel_arguments = vec!["x".repeat(3000)];
    assert!(reason(vmm.start(&plan).await).contains("command line"));
    assert_eq!(rig.processes(), [0; 0]);
}

/// A file that is not a kernel is refused with the VMM's message.
pub(crate) async fn no_kernel(subject: Subject) {
    let mut rig = subject.rig();
    rig.plan.kernel.vmlinux = rig.path("initramfs");
    match subject.vmm.start(&rig.plan).await {
        Err(StartError::Refused { stderr: words, .. } | StartError::PartRefused { reason: words, .. }) => {
            assert!(!words.is_empty());
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it started"),
    }
    assert_eq!(rig.processes(), [0; 0]);
}

/// The network processes live and end with the machine, and write into a log of their own.
pub(crate) async fn network(subject: Subject) {
    let mut rig = subject.rig();
    rig.plan.network = Network::UserMode { mac: "52:54:00:12:34:56".into() };
    assert_eq!(subject.vmm.guest_network(&rig.plan.network).unwrap().dns_servers, ["10.0.2.3"]);
    let machine = subject.vmm.start(&rig.plan).await.unwrap();
    until_console_says(&machine.handle().console_log, LINE).await;
    let companions: Vec<_> = machine.handle().companions.iter().copied().map(ProcessIdentity::from).collect();
    assert!(!companions.is_empty() && companions.iter().all(ProcessIdentity::is_alive));
    let errors_of = |pid: u32| std::fs::read_link(format!("/proc/{pid}/fd/2")).unwrap();
    let logs = banger_vmm::vmm_logs(machine.handle());
    let of_network = logs.iter().find(|log| log.program == "network").unwrap();
    assert!(companions.iter().all(|companion| errors_of(companion.pid) == of_network.path));
    assert_ne!(errors_of(machine.handle().process.pid).file_name(), of_network.path.file_name());
    machine.kill().await.unwrap();
    assert!(!companions.iter().any(ProcessIdentity::is_alive));
}

/// A directory whose path does not fit the address of a socket serves as any other, as it can be below a home directory.
pub(crate) async fn long_paths(subject: Subject) {
    let (vmm, mut rig) = (&subject.vmm, subject.rig());
    rig.plan.network = Network::UserMode { mac: "52:54:00:12:34:56".into() };
    rig.plan.runtime_directory = rig.path(&"long".repeat(30));
    std::fs::create_dir(&rig.plan.runtime_directory).unwrap();
    drop(vmm.start(&rig.plan).await.unwrap());
    let found = handle::load(&rig.plan.state_directory).unwrap().unwrap();
    let machine = vmm.adopt(&found).await.unwrap().expect("it runs");
    until_console_says(&found.console_log, LINE).await;
    machine.pause().await.unwrap();
    machine.resume().await.unwrap();
    let connected = machine.connect(1024, SHORT).await;
    assert!(matches!(connected, Err(ConnectError::Silent { .. })), "{connected:?}");
    machine.kill().await.unwrap();
    assert_eq!(rig.runtime_names(), [""; 0]);
}

/// Shared drives are read-only for the guest, its own drives are not; both files show it.
pub(crate) async fn drives(subject: Subject) {
    let rig = subject.rig();
    let machine = subject.vmm.start(&rig.plan).await.unwrap();
    let console = &machine.handle().console_log;
    until_console_says(console, "drive base: refused").await;
    until_console_says(console, "drive over: written").await;
    machine.kill().await.unwrap();
    let sector = |name: &str| std::fs::read(rig.path(name)).unwrap()[512..1024].to_vec();
    assert_eq!(sector("base"), [0; 512]);
    assert_eq!(sector("overlay"), b"writ".repeat(128));
}
