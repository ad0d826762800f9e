//! One command in one guest: what goes in comes out, and nothing is left behind.

use banger_smoke::Home;

use crate::Scenario;

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("a_command_runs_in_a_debian_guest_and_leaves_nothing", a_command_runs_in_a_debian_guest),
    ("a_command_keeps_its_arguments_streams_and_status", a_command_keeps_its_arguments_streams_and_status),
];

fn a_command_runs_in_a_debian_guest() {
    let home = Home::ready();
    let answer = home.banger(&["vm", "run", "--rm", "--", "sh", "-c", "uname -a; cat /etc/os-release"]).run();
    assert_eq!(answer.status, 0, "{answer:?}");
    assert!(answer.stdout.starts_with("Linux "), "{answer:?}");
    assert!(answer.stdout.contains("VERSION_CODENAME=bookworm"), "{answer:?}");
    let host = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert!(!answer.stdout.contains(host.trim()), "the guest runs the host's kernel: {answer:?}");
    home.assert_nothing_left();
}

fn a_command_keeps_its_arguments_streams_and_status() {
    let home = Home::ready();
    assert_eq!(home.text(&["vm", "run", "-q", "-d", "--name", "dev"]), "dev\n");
    let exec = |command: &[&str]| {
        let arguments: Vec<&str> = ["vm", "exec", "dev", "--"].iter().chain(command).copied().collect();
        home.banger(&arguments)
    };
    // Arguments are a list to the end: nothing splits or expands them.
    let arguments = exec(&["printf", "%s|", "a b", "", "$HOME", "it's", "\"q\"", "two\nlines", "*"]).run();
    assert_eq!(arguments.stdout, "a b||$HOME|it's|\"q\"|two\nlines|*|");
    // The statuses of a shell.
    for (command, status) in [
        (&["sh", "-c", "exit 42"][..], 42),
        (&["sh", "-c", "kill -9 $$"], 137),
        (&["sh", "-c", "kill -15 $$"], 143),
        (&["no-such-program"], 127),
        (&["/etc/passwd"], 126),
    ] {
        assert_eq!(exec(command).run().status, status, "{command:?}");
    }
    // Two streams out, one in, byte for byte.
    let streams = exec(&["sh", "-c", "echo out; echo err >&2"]).run();
    assert_eq!((streams.stdout.as_str(), streams.stderr.as_str()), ("out\n", "err\n"));
    let megabyte: Vec<u8> =
        (0..1_000_000_u32).map(|number| b'a' + u8::try_from(number % 26).unwrap()).collect();
    let echoed = exec(&["cat"]).stdin(&megabyte).run();
    assert_eq!(echoed.stdout.as_bytes(), megabyte, "stdin came back changed");
    // The environment and the place of a command.
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
    // A background process does not hold the command's end back.
    assert_eq!(exec(&["sh", "-c", "sleep 1000 & echo hi"]).run().stdout, "hi\n");
}
