//! The way from a machine's tap to the world, and the closed way to the host. No guest of a few instructions has a network
//! of its own, so the bridge of the machine's namespace plays the guest: frames take the same way from there on.
//!
//! The test has two namespaces: the host's, in which the driver starts its machine, and a neighbour's, joined by a cable.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use banger_conformance::{Does, Guest as _, LINE, skipped, trial, until_console_says};
use banger_model::NetworkTrouble;
use banger_sys::process::ProcessIdentity;
use banger_vmm::firecracker::Firecracker;
use banger_vmm::{Machine, Network, Vmm as _, handle};
use libtest_mimic::Trial;
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use super::{GUEST, driver, jailed};

const NAME: &str = "firecracker::network::a_tap_leads_to_the_world_and_not_to_the_host";
const JAILED_NAME: &str = "firecracker-jailed::a_tap_leads_to_the_world_and_not_to_the_host";
const NEIGHBOUR: &str = "192.0.2.2";
const HOST: &str = "192.0.2.1";

/// Bytes that are fetched in one go.
const BYTES: usize = 64 << 20;

pub(super) fn trials() -> Vec<Trial> {
    if !rustix::process::geteuid().is_root() {
        return vec![skipped(NAME, "only root can join namespaces with a cable")];
    }
    let in_cell = trial(NAME, || a_tap_leads_to_the_world_and_not_to_the_host(driver()));
    let in_jail = match jailed::why_not() {
        None => trial(JAILED_NAME, || a_tap_leads_to_the_world_and_not_to_the_host(jailed::jailed())),
        Some(why) => skipped(JAILED_NAME, &why),
    };
    vec![in_cell, in_jail]
}

async fn a_tap_leads_to_the_world_and_not_to_the_host(driver: Firecracker) {
    let (namespace, of_neighbour) = channel();
    let (is_joined, joined) = channel();
    let neighbour = std::thread::spawn(move || be_the_neighbour(&namespace, &joined));
    be_the_host(&of_neighbour, &is_joined);
    neighbour.join().unwrap();
    let mut rig = GUEST.rig(Does::Halt);
    rig.plan.network = Network::UserMode { mac: "52:54:00:12:34:56".into() };
    let machine = driver.start(&rig.plan).await.unwrap();
    until_console_says(&machine.handle().console_log, LINE).await;
    let pid = machine.handle().process.pid;
    for command in [
        "address add 10.0.2.15/24 dev bridge0",
        "route add default via 10.0.2.2",
        "link set lo up",
        // Root in the guest sends what it likes, even packets to the host's loopback.
        "route add 198.51.100.0/24 via 10.0.2.2",
    ] {
        inside(pid, "ip", &command.split(' ').collect::<Vec<_>>());
    }
    let fetch = |address: &str, port: u16| inside(pid, "python3", &["-c", FETCH, address, &port.to_string()]);
    let fetched = fetch(NEIGHBOUR, 8080);
    assert_eq!(String::from_utf8_lossy(&fetched.stdout).trim(), "16 from the network", "{fetched:?}");
    let begin = std::time::Instant::now();
    let fetched = fetch(NEIGHBOUR, 8082);
    assert!(fetched.stdout.starts_with(BYTES.to_string().as_bytes()), "{fetched:?}");
    eprintln!("{} MiB in {:.1} s", BYTES >> 20, begin.elapsed().as_secs_f32());
    for (address, port) in [("10.0.2.2", 8081), ("10.0.2.3", 8081), (HOST, 8081)] {
        let fetched = fetch(address, port);
        assert!(fetched.stdout.is_empty() && !fetched.status.success(), "{address}: {fetched:?}");
    }
    assert!(fetch(NEIGHBOUR, 8080).status.success());
    a_network_that_was_killed_comes_back(machine.as_ref()).await;
    let fetched = fetch(NEIGHBOUR, 8080);
    assert_eq!(String::from_utf8_lossy(&fetched.stdout).trim(), "16 from the network", "{fetched:?}");
    machine.kill().await.unwrap();
}

/// Kills what carries a machine's network, and waits until it is told to be gone and to be back.
pub(super) async fn a_network_that_was_killed_comes_back(machine: &dyn Machine) {
    let mut network = machine.network();
    let first = ProcessIdentity::from(machine.handle().companions[0]);
    first.kill().unwrap();
    for told in [Some(NetworkTrouble::Restarting), None] {
        let changed =
            tokio::time::timeout(Duration::from_secs(60), network.wait_for(|trouble| *trouble == told));
        changed.await.expect("the network is started again").unwrap();
    }
    let state = machine.handle().console_log.parent().unwrap();
    let second = ProcessIdentity::from(handle::load(state).unwrap().unwrap().companions[0]);
    assert!(second != first && second.is_alive());
}

/// Prints how much came, and its begin.
const FETCH: &str = "import socket, sys\n\
    stream = socket.create_connection((sys.argv[1], int(sys.argv[2])), 4)\n\
    count, begin = 0, b''\n\
    while part := stream.recv(1 << 20):\n\
    \x20   count, begin = count + len(part), begin or part[:64]\n\
    print(count, begin.decode() if count < 64 else '')";

fn be_the_neighbour(namespace: &Sender<String>, joined: &Receiver<()>) {
    enter_network_of_its_own();
    let thread = rustix::thread::gettid().as_raw_nonzero();
    namespace.send(format!("/proc/self/task/{thread}/ns/net")).unwrap();
    joined.recv().unwrap();
    ip("link set lo up");
    ip("address add 192.0.2.2/24 dev cable1");
    ip("link set cable1 up");
    serve(NEIGHBOUR, 8080, b"from the network".to_vec());
    serve(NEIGHBOUR, 8082, vec![b'x'; BYTES]);
    // The namespace lives as long as a socket of it.
}

fn be_the_host(neighbour: &Receiver<String>, is_joined: &Sender<()>) {
    enter_network_of_its_own();
    ip("link set lo up");
    ip("link add cable0 type veth peer name cable1");
    let namespace = neighbour.recv().unwrap().replace("self", &std::process::id().to_string());
    ip(&format!("link set cable1 netns {namespace}"));
    is_joined.send(()).unwrap();
    ip("address add 192.0.2.1/24 dev cable0");
    ip("link set cable0 up");
    ip("route add default via 192.0.2.2 dev cable0");
    for address in ["127.0.0.1", HOST] {
        serve(address, 8081, b"from the host".to_vec());
    }
}

#[expect(
    unsafe_code,
    reason = "unsharing is unsafe where it takes away files; here it takes away the network"
)]
fn enter_network_of_its_own() {
    // SAFETY: only the network namespace of this thread changes; no memory and no descriptors.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {output:?}");
}

/// Runs a program in a machine's network.
#[expect(unsafe_code, reason = "a namespace is changed between fork and exec")]
fn inside(pid: u32, program: &str, arguments: &[&str]) -> Output {
    let namespace = std::fs::File::open(format!("/proc/{pid}/ns/net")).unwrap();
    let mut command = Command::new(program);
    let enter = move || {
        use std::os::fd::AsFd as _;
        let kind = Some(LinkNameSpaceType::Network);
        rustix::thread::move_into_link_name_space(namespace.as_fd(), kind).map_err(std::io::Error::from)
    };
    // SAFETY: the closure makes one system call.
    unsafe { command.args(arguments).pre_exec(enter) };
    command.output().unwrap()
}

fn serve(address: &str, port: u16, content: Vec<u8>) {
    let listener = TcpListener::bind((address, port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(&content);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read(&mut [0; 64]);
        }
    });
}
