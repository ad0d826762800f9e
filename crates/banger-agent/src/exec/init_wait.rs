//! Commands that communicate with the image's init. When the agent becomes ready, the init has only just started, and
//! `systemctl` would say that the system was not booted with systemd. Such a command waits until the init accepts requests;
//! every other starts at once. A rule decides which programs these are. They are found on the command line, in the text of a
//! shell's `-c`, and in a script that the command names; programs that a compiled program starts cannot be seen.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use banger_agent_proto::ExecStart;
use tokio::net::UnixStream;

use super::power_command::is_power_verb;
use crate::{control::Init, os::appearance};

/// Maximum wait of a command; then it starts and reports the problem itself. The host waits a little longer.
const DEADLINE: Duration = Duration::from_secs(25);

/// Pause between two attempts to connect to a socket that exists but is not open yet.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// Maximum number of bytes of a script that are examined.
const SCRIPT_BYTES_MAX: u64 = 64 * 1024;

/// Programs that communicate with systemd itself.
const OF_MANAGER: [&str; 8] = [
    "systemctl",
    "service",
    "invoke-rc.d",
    "journalctl",
    "systemd-analyze",
    "systemd-cgls",
    "systemd-cgtop",
    "deb-systemd-invoke",
];
/// Programs that communicate with services of systemd over the system bus. Those that end the system ask logind there before
/// they ask systemd.
const OF_BUS: [&str; 15] = [
    "reboot",
    "poweroff",
    "halt",
    "shutdown",
    "telinit",
    "systemd-run",
    "loginctl",
    "hostnamectl",
    "timedatectl",
    "localectl",
    "machinectl",
    "networkctl",
    "resolvectl",
    "busctl",
    "gdbus",
];
/// Programs that communicate with `OpenRC`.
const OF_OPENRC: [&str; 4] = ["rc-service", "rc-status", "service", "rc"];
/// Programs that start and stop services of what they install and remove, if called with these words.
const PACKAGE_MANAGERS: [&str; 9] =
    ["apt", "apt-get", "aptitude", "dpkg", "dnf", "yum", "zypper", "pacman", "apk"];
const PACKAGE_WORDS: [&str; 12] = [
    "install",
    "reinstall",
    "upgrade",
    "full-upgrade",
    "dist-upgrade",
    "remove",
    "purge",
    "add",
    "del",
    "-i",
    "--configure",
    "-S",
];
/// Programs that run the text or the file in their arguments.
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "zsh", "ash", "busybox"];
/// Programs that run the command in their arguments.
const WRAPPERS: [&str; 10] =
    ["env", "sudo", "timeout", "nohup", "setsid", "nice", "time", "eatmydata", "xargs", "script"];

/// The part of the init that a command waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Manager,
    Bus,
    OpenRc,
}

/// Waits until the init accepts requests, if a command needs that; reports first whether it must wait.
pub(super) struct InitWait {
    doors: Vec<PathBuf>,
}

impl InitWait {
    /// Returns what a command must wait for; `None` if it need not wait.
    pub(super) fn of(start: &ExecStart, init: Init, root: &Path) -> Option<Self> {
        let arguments: Vec<_> = start.argv.iter().map(|argument| String::from_utf8_lossy(argument)).collect();
        let arguments: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
        // Once the last part is ready, nothing needs to be examined.
        if doors_of(Door::last(init)?, root).iter().all(|door| door.exists()) {
            return None;
        }
        let directory = match start.working_directory.as_ref() {
            [] => root.join("root"),
            said => root.join(relative(&String::from_utf8_lossy(said))),
        };
        let script = |path: &str| read_script(root, &directory, path);
        let closed: Vec<_> = doors_of(door(&arguments, init, script)?, root)
            .into_iter()
            .filter(|door| !door.exists())
            .collect();
        (!closed.is_empty()).then_some(Self { doors: closed })
    }

    /// Waits until every part is ready, or the deadline has passed.
    pub(super) async fn wait(self) {
        let opened = async {
            for door in &self.doors {
                appearance::wait_for(door).await?;
                wait_until_open(door).await;
            }
            Ok::<(), io::Error>(())
        };
        if let Ok(Err(error)) = tokio::time::timeout(DEADLINE, opened).await {
            crate::console::error(&error);
        }
    }
}

/// A socket exists a moment before a process listens on it. Anything that is not a socket is ready once it exists.
async fn wait_until_open(door: &Path) {
    while let Err(error) = UnixStream::connect(door).await {
        if error.kind() != io::ErrorKind::ConnectionRefused || !is_socket(door) {
            return;
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

fn has_bus(root: &Path) -> bool {
    ["usr/bin/dbus-daemon", "usr/bin/dbus-broker-launch", "bin/dbus-daemon"]
        .iter()
        .any(|program| root.join(program).exists())
}

impl Door {
    /// Returns the part of an init that becomes ready last.
    fn last(init: Init) -> Option<Self> {
        match init {
            Init::Systemd => Some(Self::Bus),
            Init::Busybox | Init::Other => Some(Self::OpenRc),
            Init::Ours => None,
        }
    }
}

/// Returns the files that exist once a part is ready; none if it is not waited for.
fn doors_of(door: Door, root: &Path) -> Vec<PathBuf> {
    match door {
        // An image without a bus has nothing to wait for there.
        Door::Bus if has_bus(root) => {
            vec![root.join("run/systemd/private"), root.join("run/dbus/system_bus_socket")]
        }
        Door::Manager | Door::Bus => vec![root.join("run/systemd/private")],
        Door::OpenRc if root.join("sbin/openrc").exists() => vec![root.join("run/openrc/softlevel")],
        Door::OpenRc => Vec::new(),
    }
}

/// Returns the beginning of a script; `None` if the file is something else.
fn read_script(root: &Path, directory: &Path, path: &str) -> Option<String> {
    let path = if path.starts_with('/') { root.join(relative(path)) } else { directory.join(path) };
    // Neither a pipe nor a device is opened, because that could block for ever.
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = Vec::new();
    std::fs::File::open(&path).ok()?.take(SCRIPT_BYTES_MAX).read_to_end(&mut text).ok()?;
    // A file with zero bytes is a program, not a script.
    (!text.contains(&0)).then(|| String::from_utf8_lossy(&text).into_owned())
}

fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

/// `script` returns the text of the file at a path, if it is a script.
fn door(arguments: &[&str], init: Init, script: impl Fn(&str) -> Option<String>) -> Option<Door> {
    let (path, rest) = arguments.split_first()?;
    let program = path.rsplit('/').next().unwrap_or(path);
    if let Some(door) = door_of_program(program, rest, init) {
        return Some(door);
    }
    let runs_arguments = SHELLS.contains(&program) || WRAPPERS.contains(&program);
    let texts: &[&str] = if runs_arguments { rest } else { &[] };
    let may_be_scripts = texts.iter().copied().chain(path.contains('/').then_some(*path));
    let scripts = may_be_scripts.filter(|argument| !argument.starts_with('-')).filter_map(script);
    let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).chain(scripts).collect();
    // Every word may be a program.
    let is_word = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    let words: Vec<&str> = texts.iter().flat_map(|text| text.split(|c| !is_word(c))).collect();
    let doors: Vec<_> = words.iter().filter_map(|word| door_of_program(word, &words, init)).collect();
    doors.iter().copied().find(|door| *door == Door::Bus).or_else(|| doors.first().copied())
}

fn door_of_program(program: &str, arguments: &[&str], init: Init) -> Option<Door> {
    let manages_packages =
        || PACKAGE_MANAGERS.contains(&program) && arguments.iter().any(|word| PACKAGE_WORDS.contains(word));
    match init {
        Init::Systemd if OF_BUS.contains(&program) || is_power_verb(program, arguments) => Some(Door::Bus),
        Init::Systemd if OF_MANAGER.contains(&program) || manages_packages() => Some(Door::Manager),
        Init::Busybox | Init::Other if OF_OPENRC.contains(&program) => Some(Door::OpenRc),
        Init::Systemd | Init::Busybox | Init::Other | Init::Ours => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_the_init_are_recognised() {
        for (arguments, expected) in [
            (&["systemctl", "status"][..], Some(Door::Manager)),
            (&["/usr/bin/systemctl", "start", "nginx"], Some(Door::Manager)),
            (&["service", "ssh", "status"], Some(Door::Manager)),
            (&["journalctl", "-b"], Some(Door::Manager)),
            (&["sh", "-c", "sync; reboot; sleep 1"], Some(Door::Bus)),
            (&["shutdown", "-h", "now"], Some(Door::Bus)),
            (&["systemctl", "--no-block", "poweroff"], Some(Door::Bus)),
            (&["systemd-run", "--wait", "true"], Some(Door::Bus)),
            (&["loginctl"], Some(Door::Bus)),
            (&["hostnamectl", "set-hostname", "x"], Some(Door::Bus)),
            (&["sh", "-c", "echo hi; systemctl is-system-running"], Some(Door::Manager)),
            (&["bash", "-lc", "systemctl stop x && loginctl"], Some(Door::Bus)),
            (&["sudo", "-n", "systemctl", "restart", "x"], Some(Door::Manager)),
            (&["env", "A=1", "/bin/systemctl"], Some(Door::Manager)),
            (&["apt-get", "-y", "install", "nginx"], Some(Door::Manager)),
            (&["sh", "-c", "apt-get update && apt-get install -y nginx"], Some(Door::Manager)),
            (&["apt-get", "update"], None),
            (&["make", "systemctl"], None),
            (&["echo", "systemctl"], None),
            (&["sh", "-c", "echo mysystemctl"], None),
            (&["sh"], None),
            (&[""], None),
            (&[], None),
        ] {
            assert_eq!(door(arguments, Init::Systemd, |_| None), expected, "{arguments:?}");
        }
        assert_eq!(door(&["rc-service", "sshd", "start"], Init::Other, |_| None), Some(Door::OpenRc));
        for init in [Init::Ours, Init::Busybox, Init::Other] {
            assert_eq!(door(&["systemctl"], init, |_| None), None);
        }
    }

    #[test]
    fn commands_of_the_init_are_recognised_in_scripts_that_are_named() {
        let script = |path: &str| path.ends_with("s.sh").then(|| "#!/bin/sh\nsystemd-run x\n".to_owned());
        for arguments in
            [&["/root/s.sh"][..], &["./s.sh", "x"], &["sh", "s.sh"], &["sudo", "bash", "-e", "/tmp/s.sh"]]
        {
            assert_eq!(door(arguments, Init::Systemd, script), Some(Door::Bus), "{arguments:?}");
        }
        for arguments in [&["cat", "s.sh"][..], &["/bin/true", "/root/s.sh"], &["sh", "-s.sh"]] {
            assert_eq!(door(arguments, Init::Systemd, script), None, "{arguments:?}");
        }
    }

    #[test]
    fn only_a_file_with_text_is_a_script() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(root.path().join(name), bytes).unwrap();
        write("s.sh", b"poweroff");
        write("program", b"\x7fELF\0poweroff");
        let read = |path: &str| read_script(root.path(), root.path(), path);
        assert_eq!(read("/s.sh").as_deref(), Some("poweroff"));
        assert_eq!(read("s.sh").as_deref(), Some("poweroff"));
        assert_eq!([read("/program"), read("/none"), read("/")], [None, None, None]);
    }

    #[tokio::test]
    async fn a_command_waits_until_the_door_is_there_and_open() {
        let root = tempfile::tempdir().unwrap();
        let start = |argv: &[&str]| ExecStart {
            argv: argv.iter().map(|argument| argument.as_bytes().to_vec().into()).collect(),
            ..ExecStart::default()
        };
        assert!(InitWait::of(&start(&["true"]), Init::Systemd, root.path()).is_none());
        let waiting = InitWait::of(&start(&["systemctl"]), Init::Systemd, root.path()).unwrap().wait();
        tokio::pin!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
        std::fs::create_dir_all(root.path().join("run/systemd")).unwrap();
        assert!(futures::poll!(&mut waiting).is_pending());
        let _listener = tokio::net::UnixListener::bind(root.path().join("run/systemd/private")).unwrap();
        tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("the door is open");
        // From now on, commands no longer wait.
        assert!(InitWait::of(&start(&["systemctl"]), Init::Systemd, root.path()).is_none());
        // An image without a bus is not waited for either.
        assert!(InitWait::of(&start(&["loginctl"]), Init::Systemd, root.path()).is_none());
    }
}
