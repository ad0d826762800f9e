//! Single commands in a guest: input and output pass unchanged, and nothing is left behind.

use std::io::{BufRead as _, BufReader};

use banger_smoke::Home;
use banger_smoke::harness::Scenario;
use rustix::process::{Pid, Signal, kill_process};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::pure(
        "rm_run",
        3,
        "a command runs in a Debian guest with its own kernel, and nothing is left behind",
        rm_run,
    ),
    Scenario::pure(
        "exit_code",
        7,
        "`vm run` exits with the status of its command, never with that of a tool",
        exit_code,
    ),
    Scenario::pure(
        "detach_run",
        3,
        "`vm run -d` prints a name and leaves a machine that accepts commands",
        detach_run,
    ),
    Scenario::pure(
        "vm_command",
        4,
        "how the command of `vm run -d` ended and what it wrote is known later, also after a killed daemon and a stop",
        vm_command,
    ),
    Scenario::pure(
        "vm_exec",
        5,
        "arguments, streams, environment and status of a command pass unchanged",
        vm_exec,
    ),
];

fn rm_run() {
    let home = Home::ready();
    let answer = home.banger(&["vm", "run", "--rm", "--", "sh", "-c", "uname -a; cat /etc/os-release"]).run();
    assert_eq!(answer.status, 0, "{answer:?}");
    assert!(answer.stdout.starts_with("Linux "), "{answer:?}");
    assert!(answer.stdout.contains("VERSION_CODENAME=bookworm"), "{answer:?}");
    let host = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert!(!answer.stdout.contains(host.trim()), "the guest runs the host's kernel: {answer:?}");
    home.assert_nothing_left();
}

/// B20, B21, B26.
fn exit_code() {
    let home = Home::ready();
    let run = |command: &[&str]| {
        let call = ["vm", "run", "--rm", "--memory", "512M", "--"];
        home.banger(&[&call[..], command].concat()).run()
    };
    let answer = run(&["sh", "-c", "echo out; exit 42"]);
    assert_eq!((answer.status, answer.stdout.as_str()), (42, "out\n"), "{answer:?}");
    assert!(!answer.stderr.contains("running"), "a VM that is gone is called running: {answer:?}");
    assert_eq!(run(&["sh", "-c", "kill -9 $$"]).status, 137);
    assert_eq!(run(&["no-such-program"]).status, 127);
    home.assert_nothing_left();
}

fn vm_command() {
    let home = Home::ready();
    let script = "mkfifo /root/go; echo begun >&2; cat /root/go; echo last; exit 3";
    let run = ["vm", "run", "-q", "-d", "--memory", "512M", "--name", "dev", "--", "sh", "-c", script];
    let _ = home.text(&run);
    let mut follower = home.banger(&["vm", "logs", "-f", "dev"]).start();
    let mut line = String::new();
    BufReader::new(follower.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n");
    assert_eq!(home.show("dev")["command"]["is_running"], true);
    let daemon = Pid::from_raw(home.daemon_pid().unwrap()).unwrap();
    kill_process(daemon, Signal::KILL).unwrap();
    let _ = follower.wait().unwrap();

    let _ = home.text(&["vm", "exec", "dev", "--", "sh", "-c", "echo went on >/root/go"]);
    // Following ends with the command.
    let output = "begun\nwent on\nlast\n";
    assert_eq!(home.text(&["vm", "logs", "-f", "dev"]), output);
    let ended = home.show("dev")["command"].clone();
    assert_eq!((&ended["is_running"], &ended["exit_code"]), (&false.into(), &3.into()), "{ended}");
    let events = home.text(&["events", "--after", "0", "--no-follow"]);
    let is_end = |line: &&str| line.contains("vm_command_ended");
    let [end] = events.lines().filter(is_end).collect::<Vec<_>>()[..] else { panic!("{events}") };
    assert!(end.contains("command ended with status 3"), "{end}");

    for action in ["stop", "start"] {
        let _ = home.text(&["vm", action, "-q", "dev"]);
        assert_eq!(home.text(&["vm", "logs", "dev"]), output, "after the {action}");
        assert_eq!(home.show("dev")["command"], ended, "after the {action}");
    }
    assert_ne!(home.text(&["vm", "logs", "--console", "dev"]), output);
}

fn detach_run() {
    let home = Home::ready();
    assert_eq!(home.text(&["vm", "run", "-d", "--memory", "512M", "--name", "dev"]), "dev\n");
    let vm = home.show("dev");
    assert_eq!(vm["state"], "running", "{vm}");
    assert_eq!(home.text(&["vm", "exec", "dev", "--", "hostname"]), "dev\n");
    // A second VM with this name is refused, which does not affect the first.
    let again = home.banger(&["vm", "run", "-q", "-d", "--memory", "512M", "--name", "dev"]).run();
    assert_eq!(again.status, 1, "{again:?}");
    assert!(again.stderr.contains("a VM named `dev` already exists"), "{again:?}");
    assert_eq!(home.show("dev")["boot_id"], vm["boot_id"]);
}

fn vm_exec() {
    let home = Home::ready();
    assert_eq!(home.text(&["vm", "run", "-d", "--name", "dev"]), "dev\n");
    let exec = |command: &[&str]| {
        let arguments: Vec<&str> = ["vm", "exec", "dev", "--"].iter().chain(command).copied().collect();
        home.banger(&arguments)
    };
    // Arguments stay a list to the end: nothing splits or expands them.
    let arguments = exec(&["printf", "%s|", "a b", "", "$HOME", "it's", "\"q\"", "two\nlines", "*"]).run();
    assert_eq!(arguments.stdout, "a b||$HOME|it's|\"q\"|two\nlines|*|");
    // The statuses that a shell would return.
    for (command, status) in [
        (&["sh", "-c", "exit 42"][..], 42),
        (&["sh", "-c", "kill -9 $$"], 137),
        (&["sh", "-c", "kill -15 $$"], 143),
        (&["no-such-program"], 127),
        (&["/etc/passwd"], 126),
    ] {
        assert_eq!(exec(command).run().status, status, "{command:?}");
    }
    // Two output streams and one input stream, byte for byte.
    let streams = exec(&["sh", "-c", "echo out; echo err >&2"]).run();
    assert_eq!((streams.stdout.as_str(), streams.stderr.as_str()), ("out\n", "err\n"));
    let megabyte: Vec<u8> =
        (0..1_000_000_u32).map(|number| b'a' + u8::try_from(number % 26).unwrap()).collect();
    let echoed = exec(&["cat"]).stdin(&megabyte).run();
    assert_eq!(echoed.stdout.as_bytes(), megabyte, "stdin came back changed");
    // The environment and working directory of a command.
    let place = home.text(&[
        "vm",
        "exec",
        "-e",
        "GREETING=hello there",
        "--workdir",
        "/tmp",
        "--user",
        "nobody",
        "dev",
        "--",
        "sh",
        "-c",
        "echo $GREETING; pwd; id -un",
    ]);
    assert_eq!(place, "hello there\n/tmp\nnobody\n");
    // A background process does not delay the command's end.
    assert_eq!(exec(&["sh", "-c", "sleep 1000 & echo hi"]).run().stdout, "hi\n");
}
