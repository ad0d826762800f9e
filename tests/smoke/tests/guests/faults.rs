//! Errors are reported in one sentence with the next command to type, and nothing is left behind or lost.

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader};

use banger_smoke::harness::{Need, Scenario};
use banger_smoke::{Answer, Home};
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::UnshareFlags;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::pure("invalid_name", 1, "a bad name is refused before anything is made", invalid_name),
    Scenario::pure(
        "invalid_spec",
        1,
        "a bad size, image or kernel is refused before anything is made",
        invalid_spec,
    ),
    Scenario::pure("ctrl_c", 1, "Ctrl-C during a create leaves nothing", ctrl_c),
    Scenario::pure("damaged_image", 1, "a damaged image is named with its cure", damaged_image),
    Scenario::pure(
        "guest_cannot_boot",
        2,
        "a guest that cannot boot is reported with its console",
        guest_cannot_boot,
    ),
    Scenario::pure(
        "silent_guest",
        4,
        "a guest that never answers is given up and kept, and starts when it can",
        silent_guest,
    ),
    Scenario::pure("missing_vmm", 1, "a missing VMM is named with the package that brings it", missing_vmm),
    Scenario::pure("full_disk", 1, "a full disk is told and leaves nothing", full_disk).needs(Need::Root),
];

fn invalid_name() {
    let home = Home::ready();
    for (name, sentence) in [
        ("Bad_Name", "VM name `Bad_Name`: use only a–z, 0–9 and `-`"),
        ("box/../evil", "use only a–z, 0–9 and `-`"),
        ("-a", "start and end with a letter or digit, not `-`"),
        ("a.b", "use only a–z, 0–9 and `-`"),
        ("", "is empty"),
    ] {
        refuse_at_once(&home, &[&format!("--name={name}")], sentence);
    }
    let too_long = "a".repeat(64);
    refuse_at_once(&home, &["--name", &too_long], "63");
    // That a name is taken is the one error that only the daemon can find.
    let _ = home.text(&["vm", "create", "-q", "--no-start", "--name", "dev"]);
    let answer = home.banger(&["vm", "run", "--name", "dev", "--", "true"]).run();
    assert_eq!(answer.status, 1);
    assert!(answer.stderr.contains("a VM named `dev` already exists"), "{answer:?}");
}

fn invalid_spec() {
    let home = Home::ready();
    for (arguments, sentence) in [
        (&["--vcpu", "0"][..], "--vcpu must be between 1 and 32, not 0"),
        (&["--vcpu=-2"], "--vcpu must be between 1 and 32, not -2"),
        (&["--memory", "0"], "--memory must be between 128M and 1T, not 0"),
        (&["--memory=-1G"], "--memory must be between 128M and 1T, not -1G"),
        (&["--memory", "lots"], "`lots` is not a valid size"),
        (&["--disk-size", "1M"], "--disk-size must be between 64M and 2T, not 1M"),
        (&["-d"], "--rm"),
    ] {
        refuse_at_once(&home, arguments, sentence);
    }
    for (arguments, sentence, hint) in [
        (
            // Without `--pull never` a registry would be asked.
            &["--pull", "never", "--image", "no-such-image"][..],
            "there is no local image `no-such-image`",
            "banger image list",
        ),
        (
            &["--kernel", "no-such-kernel"],
            "the kernel `no-such-kernel` is neither local nor in the catalog",
            "banger kernel list --all",
        ),
    ] {
        let call: Vec<&str> = ["vm", "run", "--rm"].iter().chain(arguments).copied().collect();
        let answer = home.banger(&[&call[..], &["--", "true"]].concat()).run();
        assert_eq!(answer.status, 1, "{answer:?}");
        assert!(answer.stderr.contains(sentence) && answer.stderr.contains(hint), "{answer:?}");
    }
    home.assert_nothing_left();
}

/// One clear sentence, before a daemon is even started.
fn refuse_at_once(home: &Home, arguments: &[&str], sentence: &str) {
    let call: Vec<&str> = ["vm", "run", "--rm"].iter().chain(arguments).copied().collect();
    let answer = home.banger(&call).run();
    assert_eq!(answer.status, 2, "{arguments:?}: {answer:?}");
    assert!(answer.stderr.contains(sentence), "{arguments:?}: {answer:?}");
    assert!(!home.path().join("run").exists(), "bad input has started the daemon");
}

fn ctrl_c() {
    let home = Home::ready();
    let mut run = home.banger(&["vm", "run", "--name", "dev", "--", "true"]).start();
    let pid = Pid::from_raw(i32::try_from(run.id()).unwrap()).unwrap();
    let mut lines = BufReader::new(run.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("boot guest")), "the guest never began to boot");
    kill_process(pid, Signal::INT).unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(run.wait().unwrap().code(), Some(130), "{rest:?}");
    home.assert_nothing_left();
}

fn damaged_image() {
    let home = Home::ready();
    let rootfs = home.path().join("state/images/debian-bookworm/rootfs.ext4");
    let copy = rootfs.with_extension("copy");
    // The file is a hard link, so a copy is truncated, not the image that all scenarios share.
    fs::write(&copy, "cut").unwrap();
    fs::rename(&copy, &rootfs).unwrap();
    let answer = home.banger(&["vm", "run", "--rm", "--", "true"]).run();
    assert_eq!(answer.status, 1);
    assert!(answer.stderr.contains("rootfs.ext4"), "{answer:?}");
    assert!(answer.stderr.contains("banger image pull --force debian-bookworm"), "{answer:?}");
    home.assert_nothing_left();
}

fn guest_cannot_boot() {
    let home = Home::ready();
    let _ = home.text(&["vm", "create", "-q", "--no-start", "--memory", "512M", "--name", "dev"]);
    let rootfs = home.path().join("state/images/debian-bookworm/rootfs.ext4");
    let size = fs::metadata(&rootfs).unwrap().len();
    // A root of the right size that is not a file system, so the agent cannot mount it.
    fs::remove_file(&rootfs).unwrap();
    OpenOptions::new().write(true).create_new(true).open(&rootfs).unwrap().set_len(size).unwrap();
    let answer = home.banger(&["vm", "start", "dev"]).run();
    assert_eq!(answer.status, 1, "{answer:?}");
    assert!(answer.stderr.contains("ended before it was ready"), "{answer:?}");
    assert!(answer.stderr.contains("banger-agent: cannot"), "the console is missing: {answer:?}");
    assert!(answer.stderr.contains("banger vm logs dev"), "{answer:?}");
    // The VM is kept because of its log.
    assert_eq!(home.show("dev")["state"], "failed");
    assert!(home.text(&["vm", "logs", "dev"]).contains("banger-agent: cannot"));
    assert_eq!(home.machines(), [""; 0]);
    let _ = home.text(&["vm", "delete", "-q", "dev"]);
    home.assert_nothing_left();
}

fn silent_guest() {
    let home = Home::ready();
    // No guest answers within its first second without hardware virtualisation; with it, this proves nothing.
    home.configure("boot_deadline_secs = 1\nvmm = 'qemu'\ndisk_floor = '0'\n");
    let answer = home.banger(&["vm", "run", "--rm", "--name", "dev", "--", "true"]).run();
    assert_eq!(answer.status, 1, "{answer:?}");
    assert!(answer.stderr.contains("the guest of VM `dev` did not answer within 1 s"), "{answer:?}");
    home.assert_nothing_left();
    let answer = home.banger(&["vm", "run", "--name", "dev", "--", "true"]).run();
    assert_eq!(answer.status, 1, "{answer:?}");
    assert!(answer.stderr.contains("banger vm logs dev"), "{answer:?}");
    assert_eq!(home.show("dev")["state"], "failed");
    assert_eq!(home.machines(), [""; 0]);
    // With enough time it boots, so nothing of it was lost.
    home.configure("disk_floor = '0'\n");
    let _ = home.text(&["daemon", "stop"]);
    let _ = home.text(&["vm", "start", "-q", "dev"]);
    assert_eq!(home.text(&["vm", "exec", "dev", "--", "hostname"]), "dev\n");
}

/// The VMs' directory is a tiny file system of its own, in a mount namespace of this scenario's thread.
fn full_disk() {
    let scenario = std::thread::spawn(|| {
        let home = Home::ready();
        let vms = home.path().join("state/vms");
        fs::create_dir_all(&vms).unwrap();
        #[expect(unsafe_code, reason = "unsharing is unsafe where it takes away files; mounts are not")]
        // SAFETY: only the mount namespace of this thread changes; no memory and no descriptors.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
        rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .unwrap();
        rustix::mount::mount("tmpfs", &vms, "tmpfs", MountFlags::empty(), c"size=96k").unwrap();
        let answer = home.banger(&["vm", "run", "--rm", "--", "true"]).run();
        assert_eq!(answer.status, 1, "{answer:?}");
        assert!(
            answer.stderr.contains("the disk is full") && answer.stderr.contains("free space"),
            "{answer:?}"
        );
        home.assert_nothing_left();
        let _ = home.banger(&["daemon", "stop", "--force"]).run();
        rustix::mount::unmount(&vms, rustix::mount::UnmountFlags::empty()).unwrap();
    });
    if let Err(panic) = scenario.join() {
        std::panic::resume_unwind(panic);
    }
}

fn missing_vmm() {
    let home = Home::ready();
    let answer: Answer = home.banger(&["vm", "run", "--rm", "--", "true"]).env("PATH", "/nonexistent").run();
    assert_eq!(answer.status, 1);
    assert!(answer.stderr.contains("`qemu-system-x86_64` is not installed"), "{answer:?}");
    assert!(answer.stderr.contains("sudo apt-get install qemu-system-x86"), "{answer:?}");
    let doctor = home.banger(&["doctor"]).run();
    assert_eq!(doctor.status, 1, "{doctor:?}");
    assert!(doctor.stdout.contains("sudo apt-get install qemu-system-x86"), "{doctor:?}");
    home.assert_nothing_left();
}
