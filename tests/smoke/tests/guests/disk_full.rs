//! A guest that fills the host's disk is paused and reported, resumes when there is space, and can be ended.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;

use banger_smoke::Home;
use banger_smoke::harness::{Need, Scenario};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount,
};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::UnshareFlags;

pub(crate) const SCENARIOS: &[Scenario] = &[Scenario::pure(
    "disk_full",
    12,
    "a guest that fills the host's disk is paused, resumes when there is space, and can be stopped and deleted",
    disk_full,
)
.needs(Need::Root)];

/// Space that is taken from the disk beside the guest, to be returned later.
const BALLAST_BYTES: usize = 50 << 20;

fn disk_full() {
    // Namespaces belong to threads: everything below, including the processes that it starts, sees the small disk.
    let scenario = std::thread::spawn(|| {
        let home = Home::ready();
        home.configure("");
        put_on_a_small_disk(&home.path().join("state"));
        pause_and_go_on(&home);
        stop_and_delete(&home);
        let _ = home.banger(&["daemon", "stop", "--force"]).run();
        unmount(home.path().join("state"), UnmountFlags::DETACH).unwrap();
    });
    if let Err(panic) = scenario.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Mounts a disk of 100 MiB over a state directory; kernels and images stay where they are.
fn put_on_a_small_disk(state: &Path) {
    #[expect(unsafe_code, reason = "unsharing is unsafe where it takes away files; mounts are not")]
    // SAFETY: only the mount namespace of this thread changes; no memory and no descriptors.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
    let outside = state.with_file_name("outside");
    fs::rename(state, &outside).unwrap();
    fs::create_dir(state).unwrap();
    mount("tmpfs", state, "tmpfs", MountFlags::empty(), c"size=100M,mode=700").unwrap();
    for kind in ["kernels", "images"] {
        fs::create_dir(state.join(kind)).unwrap();
        mount_bind(outside.join(kind), state.join(kind)).unwrap();
    }
}

fn pause_and_go_on(home: &Home) {
    let _ = home.text(&["vm", "run", "-q", "-d", "--memory", "512M", "--name", "dev"]);
    let ballast = home.path().join("state/ballast");
    File::create(&ballast).unwrap().write_all(&vec![7; BALLAST_BYTES]).unwrap();
    let mut events = home.banger(&["events"]).start();
    let mut lines = BufReader::new(events.stdout.take().unwrap()).lines();
    let mut heard = |kind: &str| {
        lines
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.contains(&format!("\"kind\":\"{kind}\"")))
            .unwrap()
    };
    let write = "dd if=/dev/zero of=/root/x bs=1M count=45 && sync && touch /root/done";
    let _ = home.text(&["vm", "exec", "-d", "dev", "--", "sh", "-c", write]);
    assert!(heard("vm_paused").contains("host disk full"));
    assert!(home.text(&["vm", "list"]).contains("paused: host disk full"));
    assert_eq!(home.show("dev")["paused"], "host_disk_full");
    let refused = home.banger(&["vm", "exec", "dev", "--", "true"]).run();
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(refused.stderr.contains("is paused (host disk full)"), "{refused:?}");
    // The next daemon starts on the full disk and finds the guest in the same state.
    kill_process(Pid::from_raw(home.daemon_pid().unwrap()).unwrap(), Signal::KILL).unwrap();
    assert!(heard("vm_paused").contains("host disk full"));
    fs::remove_file(ballast).unwrap();
    let _ = heard("vm_resumed");
    let wait = "until [ -e /root/done ]; do sleep 0.1; done; stat -c %s /root/x";
    assert_eq!(home.text(&["vm", "exec", "dev", "--", "sh", "-c", wait]), "47185920\n");
    events.kill().unwrap();
    events.wait().unwrap();
}

fn stop_and_delete(home: &Home) {
    let mut events = home.banger(&["events"]).start();
    let lines = BufReader::new(events.stdout.take().unwrap()).lines();
    let fill = "dd if=/dev/zero of=/root/y bs=1M count=200";
    let _ = home.text(&["vm", "exec", "-d", "dev", "--", "sh", "-c", fill]);
    assert!(lines.map(Result::unwrap).any(|line| line.contains("\"kind\":\"vm_paused\"")));
    events.kill().unwrap();
    events.wait().unwrap();
    let refused = home.banger(&["vm", "create", "--no-start"]).run();
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(refused.stderr.contains("must stay free"), "{refused:?}");
    assert!(refused.stderr.contains("banger vm delete"), "{refused:?}");
    let _ = home.text(&["vm", "stop", "-q", "dev"]);
    let stopped = home.show("dev");
    assert_eq!(stopped["state"], "stopped");
    assert!(stopped["last_error"].as_str().unwrap().contains("was not shut down"), "{stopped}");
    let _ = home.text(&["vm", "delete", "-q", "dev"]);
    home.assert_nothing_left();
    let _ = home.text(&["vm", "create", "-q", "--no-start", "--name", "next"]);
}
