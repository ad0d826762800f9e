//! The traps of the real program, each met by the driver or shown to be as it is.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use banger_conformance::{
    Does, Entry, Guest as _, LINE, Rig, trial, until, until_console_says, write_tiny_guest,
};
use banger_vmm::firecracker::api::{
    Action, Api, ApiError, BootSource, InstanceState, MachineConfig, NetworkInterface, Vsock,
};
use banger_vmm::firecracker::{OLDEST, version_of};
use banger_vmm::{Network, StartError, Vmm as _};
use libtest_mimic::Trial;

use super::{GUEST, driver, program};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("firecracker::traps::the_program_tells_its_version_and_so_does_its_api", version),
        trial("firecracker::traps::an_unknown_field_is_refused_in_firecrackers_words", unknown_field),
        trial(
            "firecracker::traps::a_refused_machine_config_is_an_error_though_a_start_would_succeed",
            refused_config,
        ),
        trial("firecracker::traps::an_older_machines_sockets_are_no_obstacle", stale_sockets),
        trial("firecracker::traps::a_stale_vsock_socket_would_be_one", stale_vsock),
        trial("firecracker::traps::a_missing_tap_is_not_made", missing_tap),
        trial("firecracker::traps::what_is_no_firecracker_is_refused_in_words", no_firecracker),
        trial("firecracker::traps::a_serial_console_is_there_when_it_was_asked_for", serial_console),
        trial(
            "firecracker::traps::a_kernel_is_entered_by_linux_protocol_where_there_is_no_other",
            linux_entry,
        ),
    ]
}

/// A Firecracker without a driver, for what the driver does not do.
pub(super) struct Bare {
    child: Child,
    directory: tempfile::TempDir,
    pub(super) api: Api,
}

impl Bare {
    pub(super) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("api.sock");
        let child = Command::new(program().unwrap())
            .args(["--id", "bare", "--api-sock"])
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("the API listens", || std::os::unix::net::UnixStream::connect(&socket).is_ok()).await;
        Self { child, directory, api: Api::new(socket, Duration::from_secs(10)) }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn reason(result: Result<(), ApiError>) -> String {
    match result {
        Err(ApiError::Refused { status, reason, .. }) if status == 400 => reason,
        other => panic!("{other:?}"),
    }
}

async fn version() {
    let bare = Bare::start().await;
    let version = bare.api.version().await.unwrap();
    eprintln!("the real program is Firecracker {version}");
    assert_eq!(version_of(&program().unwrap()).unwrap(), version);
    assert!(version >= OLDEST);
    assert_eq!(bare.api.instance().await.unwrap().state, InstanceState::NotStarted);
    assert_eq!(bare.api.instance().await.unwrap().id, "bare");
}

async fn unknown_field() {
    #[derive(serde::Serialize)]
    struct Odd {
        odd: bool,
    }
    let bare = Bare::start().await;
    let reason = reason(bare.api.put("/vsock", &Odd { odd: true }).await);
    assert!(reason.contains("unknown field `odd`"), "{reason}");
}

async fn refused_config() {
    let bare = Bare::start().await;
    let config = |vcpu_count| MachineConfig {
        vcpu_count,
        mem_size_mib: 256,
        smt: false,
        track_dirty_pages: false,
        huge_pages: None,
    };
    reason(bare.api.put("/machine-config", &config(99)).await);
    // This is the trap: what was refused is as if it had never been said.
    let guest = GUEST.rig(Does::Halt);
    let boot = BootSource {
        kernel_image_path: text(&guest.plan.kernel.vmlinux),
        initrd_path: text(&guest.plan.kernel.initramfs),
        boot_args: "quiet".to_owned(),
    };
    bare.api.put("/boot-source", &boot).await.unwrap();
    bare.api.put("/actions", &Action::InstanceStart).await.unwrap();
    let made = bare.api.machine_config().await.unwrap();
    assert_eq!((made.vcpu_count, made.mem_size_mib), (1, 128));
    // And this is the driver, with a part that Firecracker refuses.
    let mut rig = GUEST.rig(Does::Halt);
    rig.plan.network = Network::UserMode { mac: "52:54:00:12:34:56".into() };
    // A file that nobody can write to.
    rig.plan.drives[1].path = "/proc/version".into();
    match driver().start(&rig.plan).await.err() {
        Some(StartError::PartRefused { part, reason, .. }) => {
            assert!(
                part == "drive `overlay`" && reason.contains("/machine/drives/overlay"),
                "{part}: {reason}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((rig.processes(), rig.runtime_names()), (vec![], vec![]));
}

async fn stale_sockets() {
    let rig = GUEST.rig(Does::Halt);
    for name in ["control.sock", "channel.sock", "channel.sock_1026", "pager.sock"] {
        drop(std::os::unix::net::UnixListener::bind(rig.plan.runtime_directory.join(name)).unwrap());
    }
    for _ in 0..2 {
        driver().start(&rig.plan).await.unwrap().kill().await.unwrap();
    }
    assert_eq!(rig.runtime_names(), [""; 0]);
}

async fn stale_vsock() {
    let bare = Bare::start().await;
    let socket = bare.path("vsock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let reason = reason(bare.api.put("/vsock", &Vsock { guest_cid: 3, uds_path: text(&socket) }).await);
    assert!(reason.contains("Address in use") || reason.contains("Address already in use"), "{reason}");
}

/// Firecracker makes a tap that is missing where it has the right to, and nobody is connected to it. In a cell it has not.
async fn missing_tap() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run");
    std::fs::create_dir(&run).unwrap();
    let mut cell = in_a_cell(directory.path(), &run);
    let socket = run.join("api.sock");
    until("the API listens", || std::os::unix::net::UnixStream::connect(&socket).is_ok()).await;
    let interface = NetworkInterface {
        iface_id: "eth0".to_owned(),
        host_dev_name: "no-such-tap".to_owned(),
        guest_mac: "52:54:00:12:34:57".to_owned(),
    };
    let api = Api::new(&socket, Duration::from_secs(10));
    let reason = reason(api.put("/network-interfaces/eth0", &interface).await);
    assert!(reason.contains("not permitted"), "{reason}");
    drop(cell.1.take());
    rustix::process::kill_process(cell.0, rustix::process::Signal::KILL).unwrap();
    rustix::process::waitpid(Some(cell.0), rustix::process::WaitOptions::empty()).unwrap();
}

/// Starts a Firecracker that nobody configures in a cell: returns its process and the socket to the cell.
fn in_a_cell(cover: &Path, run: &Path) -> (rustix::process::Pid, Option<std::os::unix::net::UnixStream>) {
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsRawFd as _;
    let (mut talk, far_talk) = std::os::unix::net::UnixStream::pair().unwrap();
    rustix::io::fcntl_setfd(&far_talk, rustix::io::FdFlags::empty()).unwrap();
    let bind =
        |from: &Path, to: &str| format!(r#"{{"from":"{}","to":"{to}","access":"Write"}}"#, from.display());
    let plan = format!(
        r#"{{"program":"{}","arguments":["--api-sock","/run/api.sock"],"binds":[{},{},{}],"cover":"{}","talk":{},"network":null,"mtu":1500,"pager":null}}"#,
        program().unwrap().display(),
        bind(run, "/run"),
        bind(Path::new("/dev/kvm"), "/dev/kvm"),
        bind(Path::new("/dev/net/tun"), "/dev/net/tun"),
        cover.display(),
        far_talk.as_raw_fd(),
    );
    let mut starter = Command::new(std::env::current_exe().unwrap())
        .args(["cell", "--id", "0123456789abcdef"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    drop(far_talk);
    starter.stdin.take().unwrap().write_all(plan.as_bytes()).unwrap();
    let mut pid = [0; 4];
    talk.read_exact(&mut pid).unwrap();
    assert!(starter.wait().unwrap().success());
    talk.write_all(b"g").unwrap();
    (rustix::process::Pid::from_raw(i32::from_ne_bytes(pid)).unwrap(), Some(talk))
}

async fn no_firecracker() {
    let rig = GUEST.rig(Does::Halt);
    // A script needs an interpreter, which no cell has.
    let script = rig.path("firecracker");
    banger_sys::files::write_atomic(&script, b"#!/bin/sh\n", 0o755).unwrap();
    match super::driver_of(script).start(&rig.plan).await.err() {
        Some(StartError::Refused { stderr, .. }) => {
            assert!(stderr.contains("is it a static program?"), "{stderr}");
        }
        other => panic!("{other:?}"),
    }
    match super::driver_of(rig.path("missing")).start(&rig.plan).await.err() {
        Some(StartError::Refused { stderr, .. }) => assert!(stderr.contains("missing"), "{stderr}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(rig.processes(), [0; 0]);
}

/// As every kernel is by Firecracker before 1.12.
async fn linux_entry() {
    let rig = Rig::with_kernel(|path| write_tiny_guest(path, LINE, Does::Echo, Entry::Linux));
    let machine = driver().start(&rig.plan).await.unwrap();
    until_console_says(&machine.handle().console_log, LINE).await;
    drop(GUEST.echo(machine.as_ref()).await);
    machine.kill().await.unwrap();
}

async fn serial_console() {
    let rig = GUEST.rig(Does::Halt);
    let tuning = banger_vmm::firecracker::Tuning { serial_console: true, ..super::IN_CELL };
    for (driver, has_note) in [(driver(), true), (driver().with_tuning(tuning), false)] {
        let machine = driver.start(&rig.plan).await.unwrap();
        until_console_says(&machine.handle().console_log, banger_conformance::LINE).await;
        let console = std::fs::read_to_string(&machine.handle().console_log).unwrap();
        assert_eq!(console.contains("serial_console = true"), has_note, "{console}");
        machine.kill().await.unwrap();
    }
}
