//! A container image as the root of a machine: without systemd, without sshd, with a config that says how its processes
//! start.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use banger_smoke::Home;
use banger_smoke::harness::Scenario;

pub(crate) const SCENARIOS: &[Scenario] = &[Scenario::pure(
    "container_image",
    13,
    "a container image without init and sshd works at once, as its config says",
    container_image,
)];

const TOOLS: [&str; 11] =
    ["sh", "id", "pwd", "echo", "cat", "ps", "mount", "hostname", "sleep", "init", "sync"];

fn container_image() {
    let home = Home::ready();
    let layout = home.path().join("layout");
    make_layout(&layout);
    let source = format!("oci:{}:v1", layout.display());
    assert_eq!(home.text(&["image", "pull", "-q", &source, "--name", "tiny"]), "tiny\n");
    let again = home.banger(&["image", "pull", "-q", &source, "--name", "tiny"]).run();
    assert_eq!(again.status, 1);
    assert!(again.stderr.contains("already pulled"), "{again:?}");

    // Its entry point with its command, as it says; the caller's words instead of them, in the same surroundings.
    let run = ["vm", "run", "-q", "--rm", "--image", "tiny", "--memory", "512M"];
    assert_eq!(home.text(&run), "entry cmd A=image 1000:1000 /srv\n");
    let script = r#"echo "$A $(id -u) $(pwd) $HOME""#;
    let with = |more: &[&str]| home.text(&[&run, more].concat());
    assert_eq!(with(&["--", "sh", "-c", script]), "image 1000 /srv /home/user\n");
    let ours = ["-e", "A=ours", "--user", "root", "--workdir", "/tmp", "--", "sh", "-c", script];
    assert_eq!(with(&ours), "ours 0 /tmp /root\n");

    // The agent is its init and its door.
    let _ = home.text(&["vm", "run", "-q", "-d", "--image", "tiny", "--name", "t", "--memory", "512M"]);
    let guest = |words: &[&str]| home.text(&[&["vm", "exec", "t", "--user", "root", "--"], words].concat());
    assert_eq!(guest(&["hostname"]), "t\n");
    assert!(!guest(&["ps"]).contains("{init}"), "busybox's init was not started");
    let ssh = home.banger(&["vm", "ssh", "t", "--", "id -u; pwd; exit 5"]).run();
    assert_eq!((ssh.stdout.as_str(), ssh.status), ("0\n/srv\n", 5), "{ssh:?}");
    // What it writes survives a stop and a start.
    let _ = guest(&["sh", "-c", "echo kept > /kept; echo home > /root/home"]);
    let _ = home.text(&["vm", "stop", "-q", "t"]);
    let _ = home.text(&["vm", "start", "-q", "t"]);
    assert_eq!(guest(&["cat", "/kept", "/root/home"]), "kept\nhome\n");
    let _ = home.text(&["vm", "delete", "-q", "t"]);
    home.assert_nothing_left();
}

/// Makes an image of busybox, with `umoci`.
pub(crate) fn make_layout(layout: &Path) {
    let image = format!("{}:v1", layout.display());
    let bundle = layout.with_extension("bundle");
    let umoci = |arguments: &[&str]| {
        let output = Command::new("umoci").args(arguments).output().expect("`umoci` is installed");
        assert!(output.status.success(), "umoci {arguments:?}: {output:?}");
    };
    umoci(&["init", "--layout", &layout.display().to_string()]);
    umoci(&["new", "--image", &image]);
    umoci(&["unpack", "--rootless", "--image", &image, &bundle.display().to_string()]);
    let root = bundle.join("rootfs");
    for directory in ["bin", "sbin", "etc", "srv", "tmp", "home/user"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).expect("`busybox-static` is installed");
    for tool in TOOLS {
        let directory = if tool == "init" { "sbin" } else { "bin" };
        symlink("/bin/busybox", root.join(directory).join(tool)).unwrap();
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n";
    fs::write(root.join("etc/passwd"), passwd).unwrap();
    let entry = "#!/bin/sh\necho \"entry $1 A=$A $(id -u):$(id -g) $(pwd)\"\n";
    fs::write(root.join("entry"), entry).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(root.join("entry"), mode).unwrap();
    umoci(&["repack", "--image", &image, &bundle.display().to_string()]);
    let config = [
        "--config.entrypoint",
        "/entry",
        "--config.cmd",
        "cmd",
        "--config.env",
        "A=image",
        "--config.user",
        "user",
        "--config.workingdir",
        "/srv",
    ];
    umoci(&[&["config", "--image", &image][..], &config].concat());
    fs::remove_dir_all(bundle).unwrap();
}
