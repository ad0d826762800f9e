//! What a guest reaches, and what it does not. The scenario has two network namespaces of its own, joined by a cable:
//! the host's, in which banger runs, and a neighbour's. A thread that has left the machine's network takes along what
//! it starts.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};

use banger_smoke::Home;
use banger_smoke::harness::{Need, Scenario};
use rustix::thread::UnshareFlags;

pub(crate) const SCENARIOS: &[Scenario] =
    &[Scenario::pure("nat", 21, "a guest reaches the network but not the host", nat).needs(Need::Root)];

const HOST: &str = "192.0.2.1";
const NEIGHBOUR: &str = "192.0.2.2";

/// Runs both sides, each on a thread of its own.
fn nat() {
    let (namespace, of_neighbour) = channel();
    let (is_joined, joined) = channel();
    let neighbour = std::thread::spawn(move || be_the_neighbour(&namespace, &joined));
    let host = std::thread::spawn(move || be_the_host(&of_neighbour, &is_joined));
    for side in [host, neighbour] {
        if let Err(panic) = side.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

fn be_the_neighbour(namespace: &Sender<String>, joined: &Receiver<()>) {
    enter_network_of_its_own();
    let thread = rustix::thread::gettid().as_raw_nonzero();
    namespace.send(format!("/proc/self/task/{thread}/ns/net")).unwrap();
    joined.recv().unwrap();
    ip("link set lo up");
    ip("address add 192.0.2.2/24 dev cable1");
    ip("link set cable1 up");
    serve(NEIGHBOUR, 8080, "from the network");
    // The namespace lives as long as this thread, or a socket of it.
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
    for (address, port) in [("127.0.0.1", 8080), ("127.0.0.1", 8081), (HOST, 8081)] {
        serve(address, port, "from the host");
    }
    let home = Home::ready();
    let _ = home.text(&["vm", "run", "-q", "-d", "--memory", "512M", "--name", "dev"]);
    let fetch = |url: &str| home.banger(&["vm", "exec", "dev", "--", "curl", "-sS", "-m", "3", url]).run();
    assert_eq!(fetch("http://192.0.2.2:8080/").stdout, "from the network");
    for url in
        ["http://10.0.2.2:8081/", "http://10.0.2.2:8080/", "http://10.0.2.3:8081/", "http://192.0.2.1:8081/"]
    {
        refuse(&fetch(url), url);
    }
    // Root in the guest sends what it likes, even packets to the host's loopback.
    let _ = home.text(&[
        "vm",
        "exec",
        "dev",
        "--",
        "sh",
        "-ec",
        "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet
         ip rule add pref 1 to 127.0.0.0/8 table 7
         ip rule add pref 2 table local
         ip rule del pref 0
         ip route add 127.0.0.0/8 via 10.0.2.2 src 10.0.2.15 table 7",
    ]);
    refuse(&fetch("http://127.0.0.1:8081/"), "its loopback by force");
    assert_eq!(fetch("http://192.0.2.2:8080/").stdout, "from the network");
}

fn refuse(answer: &banger_smoke::Answer, what: &str) {
    assert!(answer.status != 0 && answer.stdout.is_empty(), "the guest reached {what}: {answer:?}");
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

fn serve(address: &str, port: u16, text: &'static str) {
    let listener = TcpListener::bind((address, port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            let _ = write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        }
    });
}
