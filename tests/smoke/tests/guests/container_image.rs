//! A container image as the root of a machine, without systemd and sshd, and with process settings in its config.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use banger_smoke::Home;
use banger_smoke::harness::Scenario;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::pure(
        "container_image",
        13,
        "a container image without init and sshd works at once, as its config requires",
        container_image,
    ),
    Scenario::pure(
        "first_process",
        16,
        "an image's command is process 1, receives signals, is joined by later commands, and can write where its user may",
        first_process,
    ),
    Scenario::pure(
        "odd_root",
        20,
        "a root whose system directories are links, files or missing boots, and nothing of the image is hidden",
        odd_root,
    ),
];

const TOOLS: [&str; 13] =
    ["sh", "id", "pwd", "echo", "cat", "ps", "mount", "hostname", "sleep", "init", "sync", "grep", "ls"];

fn container_image() {
    let home = Home::ready();
    let layout = home.path().join("layout");
    make_layout(&layout);
    let source = format!("oci:{}:v1", layout.display());
    assert_eq!(home.text(&["image", "pull", "-q", &source, "--name", "tiny"]), "tiny\n");
    let again = home.banger(&["image", "pull", "-q", &source, "--name", "tiny"]).run();
    assert_eq!((again.status, again.stdout.as_str()), (0, "tiny\n"), "{again:?}");

    // Its entry point with its command, as configured; or the caller's words in their place, in the same environment.
    let run = ["vm", "run", "-q", "--rm", "--image", "tiny", "--memory", "512M"];
    assert_eq!(home.text(&run), "entry cmd A=image 1000:1000 /srv\n");
    let script = r#"echo "$A $(id -u) $(pwd) $HOME""#;
    let with = |more: &[&str]| home.text(&[&run, more].concat());
    assert_eq!(with(&["--", "sh", "-c", script]), "image 1000 /srv /home/user\n");
    let ours = ["-e", "A=ours", "--user", "root", "--workdir", "/tmp", "--", "sh", "-c", script];
    assert_eq!(with(&ours), "ours 0 /tmp /root\n");

    // The agent is its init and handles its sessions. (`create` does not run the image's command: that one ends
    // at once, and would end a session that joined its process namespace just before.)
    let _ = home.text(&["vm", "create", "-q", "--image", "tiny", "--name", "t", "--memory", "512M"]);
    let guest = |words: &[&str]| home.text(&[&["vm", "exec", "t", "--user", "root", "--"], words].concat());
    assert_eq!(guest(&["hostname"]), "t\n");
    assert!(!guest(&["ps"]).contains("{init}"), "busybox's init was not started");
    let ssh = home.banger(&["vm", "ssh", "t", "--", "id -u; pwd; exit 5"]).run();
    assert_eq!((ssh.stdout.as_str(), ssh.status), ("0\n/srv\n", 5), "{ssh:?}");
    // Files that it writes survive a stop and a start.
    let _ = guest(&["sh", "-c", "echo kept > /kept; echo home > /root/home"]);
    let _ = home.text(&["vm", "stop", "-q", "t"]);
    let _ = home.text(&["vm", "start", "-q", "t"]);
    assert_eq!(guest(&["cat", "/kept", "/root/home"]), "kept\nhome\n");
    let _ = home.text(&["vm", "delete", "-q", "t"]);
    home.assert_nothing_left();
}

/// Counts to one, waits for signals, and writes as php-fpm and nginx do.
const SERVICE: &str = "#!/bin/sh
[ $$ -eq 1 ] || exit 100
echo GET >> /dev/stdout && echo ERR >> /dev/stderr || exit 101
trap 'echo heard' HUP
trap 'exit 9' USR1
echo $$ > /home/user/service.pid || exit 102
while :; do sleep 0.1; done
";

fn first_process() {
    let home = Home::ready();
    let layout = home.path().join("layout");
    let config =
        ["--config.entrypoint", "/service", "--config.user", "user", "--config.workingdir", "/not/there"];
    make_image(&layout, &config, |root| {
        write_program(&root.join("service"), SERVICE);
        fs::set_permissions(root.join("home/user"), std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .unwrap();
    });
    pull(&home, &layout, "service");
    let run = ["vm", "run", "-q", "--name", "s", "--image", "service", "--memory", "512M"];
    let mut service = home.banger(&run).start();
    let mut output = std::io::BufReader::new(service.stdout.take().unwrap());
    assert_eq!(next_line(&mut output), "GET\n");
    // The numbers in a pid file of the image's command are valid for later commands.
    let exec = |script: &str| home.banger(&["vm", "exec", "s", "--", "sh", "-c", script]).run();
    let script = "until [ -s ~/service.pid ]; do sleep 0.1; done; kill -HUP $(cat ~/service.pid); pwd";
    assert_eq!(exec(script).stdout, "/not/there\n");
    assert_eq!(next_line(&mut output), "heard\n");
    let ended = exec("kill -USR1 1; sleep 100");
    assert_eq!(ended.status, 137);
    assert!(ended.stderr.contains("the image's command"), "{ended:?}");
    assert_eq!(service.wait().unwrap().code(), Some(9));
    // The machine still runs, with the agent as its first process.
    assert_eq!(exec("echo $$; grep -c '^PPid:.0$' /proc/1/status").stdout.lines().last(), Some("1"));
    for user in ["4294967295", "-1:0", "0:2147483648"] {
        let refused = home.banger(&["vm", "exec", &format!("--user={user}"), "s", "--", "id"]).run();
        assert!(refused.status != 0 && refused.stderr.contains("between 0 and 2147483647"), "{refused:?}");
    }
    let _ = home.text(&["vm", "delete", "-q", "--force", "s"]);
    home.assert_nothing_left();
}

/// Prepares the root of an image.
type Prepare = fn(&Path);

fn odd_root() {
    let home = Home::ready();
    let bootc: Prepare = |root| {
        replace_by_link(root, "root", "var/roothome");
        replace_by_link(root, "tmp", "sysroot/tmp");
        replace_by_link(root, "home", "/var/home");
        fs::create_dir_all(root.join("var/roothome")).unwrap();
        fs::create_dir_all(root.join("sysroot")).unwrap();
        fs::write(root.join("var/roothome/of-image"), "").unwrap();
    };
    let absolute: Prepare = |root| {
        for name in ["root", "run", "var", "tmp"] {
            replace_by_link(root, name, &format!("/data/{name}"));
        }
        fs::create_dir_all(root.join("data/root")).unwrap();
        fs::write(root.join("data/root/of-image"), "").unwrap();
        fs::create_dir_all(root.join("data/var/lib/docker")).unwrap();
        fs::write(root.join("data/var/lib/docker/of-image"), "").unwrap();
    };
    let loops_and_files: Prepare = |root| {
        replace_by_link(root, "run", "/var/run");
        fs::create_dir_all(root.join("var/lib")).unwrap();
        symlink("/run", root.join("var/run")).unwrap();
        fs::write(root.join("var/lib/docker"), "").unwrap();
        fs::create_dir_all(root.join("root")).unwrap();
        fs::write(root.join("root/of-image"), "").unwrap();
    };
    let script = "cd ~ && ls of-image && echo x > mine && echo x > /tmp/t && echo x > /run/r && mount";
    // An engine's directory that is empty or missing becomes one that the engine can use.
    let roots = [(bootc, true), (absolute, false), (loops_and_files, false)];
    for (number, (prepare, is_bound)) in roots.into_iter().enumerate() {
        let (layout, name) = (home.path().join(format!("layout{number}")), format!("odd{number}"));
        make_image(&layout, &[], prepare);
        pull(&home, &layout, &name);
        let run = ["vm", "run", "-q", "--rm", "--image", &name, "--memory", "512M", "--", "sh", "-c", script];
        let said = home.text(&run);
        assert!(said.starts_with("of-image\n"), "{said}");
        assert_eq!(said.contains("/var/lib/docker type ext4"), is_bound, "{said}");
    }
    home.assert_nothing_left();
}

fn pull(home: &Home, layout: &Path, name: &str) {
    let source = format!("oci:{}:v1", layout.display());
    let _ = home.text(&["image", "pull", "-q", &source, "--name", name]);
}

fn next_line(output: &mut impl std::io::BufRead) -> String {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    line
}

fn replace_by_link(root: &Path, name: &str, target: &str) {
    let _ = fs::remove_dir_all(root.join(name));
    symlink(target, root.join(name)).unwrap();
}

fn write_program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

/// Makes a busybox image that prints what its config sets.
pub(crate) fn make_layout(layout: &Path) {
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
    let entry = "#!/bin/sh\necho \"entry $1 A=$A $(id -u):$(id -g) $(pwd)\"\n";
    make_image(layout, &config, |root| write_program(&root.join("entry"), entry));
}

/// Makes a busybox image with `umoci`.
fn make_image(layout: &Path, config: &[&str], prepare: impl Fn(&Path)) {
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
    prepare(&root);
    umoci(&["repack", "--image", &image, &bundle.display().to_string()]);
    umoci(&[&["config", "--image", &image][..], config].concat());
    fs::remove_dir_all(bundle).unwrap();
}
