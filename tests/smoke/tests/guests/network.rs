//! The destinations that a guest can and cannot reach. The scenario has two network namespaces of its own, joined by a
//! cable: the host's, in which banger runs, and a neighbour's. A thread that has left the machine's network namespace takes
//! along the processes that it starts.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};

use banger_smoke::Home;
use banger_smoke::harness::{Need, Scenario};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::UnshareFlags;

pub(crate) const SCENARIOS: &[Scenario] = &[Scenario::pure(
    "nat",
    21,
    "a guest reaches the network but not the host, even after its network process was killed",
    nat,
)
.needs(Need::Root)];

const HOST: &str = "192.0.2.1";
/// On the host's own network.
const GATEWAY: &str = "192.0.2.2";
/// The same machine by an address behind it, as every server of the world is.
const NEIGHBOUR: &str = "198.51.100.2";

/// The address from which machines in clouds get their credentials.
const METADATA: &str = "169.254.169.254";

/// A port of the guest that a program of the host may want as well.
const GUEST_PORT: u16 = 8126;

/// Number of bytes that are fetched and sent in one go.
const BYTES: usize = 8 << 20;

/// Queries the neighbour by UDP and prints whatever comes back, until it is told to end.
const LISTEN: &str = r#"use Socket; $| = 1;
socket(my $s, PF_INET, SOCK_DGRAM, 17); bind($s, sockaddr_in(8126, INADDR_ANY)) or die;
send($s, "question", 0, sockaddr_in(9000, inet_aton("198.51.100.2")));
my $text = ""; while ($text ne "end") { recv($s, $text, 2000, 0); print "$text\n"; }"#;

/// Runs both sides, each on a thread of its own.
fn nat() {
    let (namespace, of_neighbour) = channel();
    let (is_joined, joined) = channel();
    let (is_asked, asked) = channel();
    let (is_over, over) = channel();
    let neighbour = std::thread::spawn(move || be_the_neighbour(&namespace, &joined, &is_asked, &over));
    let host = std::thread::spawn(move || be_the_host(&of_neighbour, &is_joined, &asked, &is_over));
    for side in [host, neighbour] {
        if let Err(panic) = side.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

fn be_the_neighbour(
    namespace: &Sender<String>,
    joined: &Receiver<()>,
    is_asked: &Sender<()>,
    over: &Receiver<()>,
) {
    enter_network_of_its_own();
    let thread = rustix::thread::gettid().as_raw_nonzero();
    namespace.send(format!("/proc/self/task/{thread}/ns/net")).unwrap();
    joined.recv().unwrap();
    ip("link set lo up");
    ip("address add 192.0.2.2/24 dev cable1");
    ip("link set cable1 up");
    for address in [METADATA, NEIGHBOUR] {
        ip(&format!("address add {address}/32 dev lo"));
    }
    serve(NEIGHBOUR, 8080, "from the network");
    serve(GATEWAY, 8080, "from the host's own network");
    serve(METADATA, 80, "credentials");
    serve_bulk(NEIGHBOUR, 8082);
    answer_twice(is_asked, over);
    // The namespace lives as long as this thread, or a socket in it.
}

/// Answers a query twice: at once, and when the host is done.
fn answer_twice(is_asked: &Sender<()>, over: &Receiver<()>) {
    let socket = UdpSocket::bind((NEIGHBOUR, 9000)).unwrap();
    let mut question = [0; 100];
    let (_, guest) = socket.recv_from(&mut question).unwrap();
    socket.send_to(b"answer", guest).unwrap();
    is_asked.send(()).unwrap();
    over.recv().unwrap();
    socket.send_to(b"end", guest).unwrap();
}

fn be_the_host(
    neighbour: &Receiver<String>,
    is_joined: &Sender<()>,
    asked: &Receiver<()>,
    is_over: &Sender<()>,
) {
    enter_network_of_its_own();
    ip("link set lo up");
    ip("link add cable0 type veth peer name cable1");
    let namespace = neighbour.recv().unwrap().replace("self", &std::process::id().to_string());
    ip(&format!("link set cable1 netns {namespace}"));
    is_joined.send(()).unwrap();
    ip("address add 192.0.2.1/24 dev cable0");
    ip("link set cable0 up");
    ip("route add default via 192.0.2.2 dev cable0");
    // A range that the kernel regards as its own, without an address of an interface.
    ip("route add local 203.0.113.0/24 dev lo");
    for (address, port) in [("127.0.0.1", 8080), ("127.0.0.1", 8081), (HOST, 8081), ("203.0.113.7", 8081)] {
        serve(address, port, "from the host");
    }
    let home = Home::ready();
    let _ = home.text(&["vm", "run", "-q", "-d", "--memory", "512M", "--name", "dev"]);
    let fetch = |url: &str| home.banger(&["vm", "exec", "dev", "--", "curl", "-sS", "-m", "3", url]).run();
    assert_eq!(fetch(&format!("http://{NEIGHBOUR}:8080/")).stdout, "from the network");
    ip("address add 198.51.100.9/32 dev lo");
    serve("198.51.100.9", 8081, "from the host");
    refuse(
        &home,
        &[
            "http://198.51.100.9:8081/",
            "http://10.0.2.2:8081/",
            "http://10.0.2.2:8080/",
            "http://10.0.2.3:8081/",
            "http://192.0.2.1:8081/",
            "http://192.0.2.2:8080/",
            "http://203.0.113.7:8081/",
            "http://169.254.169.254/",
        ],
    );
    carry_much(&home);
    hear_only_answers(&home, asked, is_over);
    // Root in the guest sends whatever it likes, even packets to the host's loopback.
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
    refuse(&home, &["http://127.0.0.1:8081/"]);
    assert_eq!(fetch(&format!("http://{NEIGHBOUR}:8080/")).stdout, "from the network");
    come_back(&home);
    assert_eq!(fetch(&format!("http://{NEIGHBOUR}:8080/")).stdout, "from the network");
    refuse(&home, &["http://192.0.2.1:8081/"]);
}

/// Kills the network process, as a host short of memory does, and waits for the next one.
pub(crate) fn come_back(home: &Home) {
    let mut events = home.banger(&["events"]).start();
    let mut lines = BufReader::new(events.stdout.take().unwrap()).lines().map(Result::unwrap);
    for pid in home.networks() {
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }
    for kind in ["vm_network_lost", "vm_network_restored"] {
        assert!(lines.any(|line| line.contains(&format!("\"kind\":\"{kind}\""))), "{kind} is not told");
    }
    events.kill().unwrap();
    events.wait().unwrap();
}

fn carry_much(home: &Home) {
    let script = format!(
        "curl -sS http://{NEIGHBOUR}:8082/ | wc -c
         head -c {BYTES} /dev/urandom > /root/much
         curl -sS -H Expect: -T /root/much http://{NEIGHBOUR}:8082/ | cmp - /root/much && echo same"
    );
    assert_eq!(home.text(&["vm", "exec", "dev", "--", "sh", "-ec", &script]), format!("{BYTES}\nsame\n"));
}

/// The guest does not receive datagrams between programs of the host, and takes no port from them.
fn hear_only_answers(home: &Home, asked: &Receiver<()>, is_over: &Sender<()>) {
    let guest = home.banger(&["vm", "exec", "dev", "--", "perl", "-e", LISTEN]);
    let guest = std::thread::spawn(move || guest.run());
    asked.recv().unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, GUEST_PORT)).expect("the guest's port is the guest's alone");
    let mut ports = bound_udp_ports();
    assert!(ports.len() > 1, "nobody has a port for the guest: {ports:?}");
    ports.push(GUEST_PORT);
    for address in ["127.0.0.1", HOST] {
        for port in &ports {
            // A refusal of an earlier datagram may be reported here.
            let _ = socket.send_to(b"secret", (address, *port));
        }
    }
    is_over.send(()).unwrap();
    let heard = guest.join().unwrap();
    assert_eq!(heard.stdout, "answer\nend\n", "{heard:?}");
}

/// Returns the UDP ports in use by programs in this thread's network namespace.
fn bound_udp_ports() -> Vec<u16> {
    let table = std::fs::read_to_string("/proc/thread-self/net/udp").unwrap();
    let port = |line: &str| u16::from_str_radix(line.split_whitespace().nth(1)?.rsplit_once(':')?.1, 16).ok();
    table.lines().skip(1).filter_map(port).collect()
}

/// Requests all of them at once.
fn refuse(home: &Home, urls: &[&str]) {
    let ask = "for url in \"$@\"; do curl -sS -m 3 \"$url\" & done; wait";
    let answer = home.banger(&[&["vm", "exec", "dev", "--", "sh", "-c", ask, "sh"], urls].concat()).run();
    assert!(answer.stdout.is_empty(), "the guest reached the host: {answer:?}");
    assert_eq!(answer.stderr.lines().count(), urls.len(), "{answer:?}");
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

/// Sends a lot of data, and echoes what it receives.
fn serve_bulk(address: &str, port: u16) {
    let listener = TcpListener::bind((address, port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            let mut body = vec![b'x'; BYTES];
            if head.starts_with(b"PUT") {
                stream.read_exact(&mut body).unwrap();
            }
            let _ = write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {BYTES}\r\n\r\n");
            let _ = stream.write_all(&body);
        }
    });
}
