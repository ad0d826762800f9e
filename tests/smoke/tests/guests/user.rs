//! The users as which banger runs.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use banger_smoke::harness::{Need, Scenario};
use banger_smoke::{Answer, Home, programs};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::pure(
        "no_root",
        4,
        "a user without any privileges runs VMs, and nothing is written outside banger's own directories",
        no_root,
    )
    .needs(Need::Root),
    Scenario::pure(
        "nothing_inherited",
        4,
        "the first caller's descriptors and secrets reach neither the daemon nor a VM's processes",
        nothing_inherited,
    ),
];

/// `nobody`: it owns nothing, and is in no group.
const USER: u32 = 65534;

/// Promise 5, B33.
fn no_root() {
    let home = Home::ready();
    let place = |name: &str| home.path().join(name);
    fs::create_dir(place("bin")).unwrap();
    for program in ["banger", "bangerd", "banger-agent"] {
        fs::copy(programs().join(program), place("bin").join(program)).unwrap();
    }
    fs::create_dir(place("user")).unwrap();
    // Images and kernels are hard links: the user gets copies, so that the owner of the shared files stays.
    run(Command::new("cp").args(["-r", "--sparse=always"]).arg(place("state")).arg(place("state.user")));
    fs::remove_dir_all(place("state")).unwrap();
    fs::rename(place("state.user"), place("state")).unwrap();
    run(Command::new("chown").args(["-R", &format!("{USER}:{USER}")]).arg(home.path()));
    let banger = |arguments: &[&str]| {
        let mut command = Command::new(place("bin").join("banger"));
        command.args(arguments).uid(USER).gid(USER).current_dir("/").env_clear();
        command.env("PATH", "/usr/bin:/bin").env("HOME", place("user")).env("BANGER_HOME", home.path());
        Answer::from(command.output().unwrap())
    };
    let answer = banger(&["vm", "run", "-d", "--memory", "512M", "--name", "dev"]);
    assert_eq!((answer.status, answer.stdout.as_str()), (0, "dev\n"), "{answer:?}");
    let answer = banger(&["vm", "exec", "dev", "--", "id", "-un"]);
    assert_eq!((answer.status, answer.stdout.as_str()), (0, "root\n"), "{answer:?}");
    // The daemon, the VMM and the VMM's companions.
    let processes = home.processes();
    assert!(processes.len() >= 2, "{processes:?}");
    for process in processes {
        assert_eq!(users(process), [USER; 4], "process {process}");
    }
    let written: Vec<_> = fs::read_dir(place("user")).unwrap().collect();
    assert!(written.is_empty(), "{written:?}");
    assert_eq!(banger(&["vm", "delete", "-q", "dev"]).status, 0);
    assert_eq!(banger(&["daemon", "stop"]).status, 0);
    assert_eq!(home.processes(), [0; 0]);
}

/// The daemon and the machine keep running long after the command that started them.
fn nothing_inherited() {
    let home = Home::ready();
    let file = fs::File::create(home.path().join("lock")).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    // As with a shell's `9>lock` and `3>&1 |`: open in every program that it starts.
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let banger = banger_smoke::Banger::new(
        home.path(),
        &["vm", "run", "-d", "-q", "--memory", "512M", "--name", "dev"],
    )
    .env("SECRET", "hunter2")
    .env("AWS_SECRET_ACCESS_KEY", "hunter2");
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    let answer = banger.run();
    assert_eq!(answer.status, 0, "{answer:?}");
    drop((file, writer));
    let file = fs::File::open(home.path().join("lock")).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .expect("nobody has the lock");
    assert_eq!(rustix::io::read(&reader, &mut [0; 1]).unwrap(), 0, "nobody has the pipe");
    let processes = home.processes();
    assert!(processes.len() >= 3, "daemon, VMM and network: {processes:?}");
    for process in processes {
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment);
        assert!(!environment.contains("hunter2"), "{process}: {environment}");
    }
}

/// Real, effective, saved and file system user of a process.
fn users(process: i32) -> Vec<u32> {
    let status = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    line.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}
