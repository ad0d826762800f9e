//! A guest, the host with the guest's network process, and the world.
//!
//! ```text
//! guest ─ tap ─ process ─ host ─ cable ─ world
//! 10.0.2.15                192.0.2.1     192.0.2.2 (on the host's own network), 198.51.100.1 and 2001:db8:1::1 (behind it)
//! ```

use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::Path;
use std::process::{Child, Command};

use banger_model::NetworkAttachment;
use banger_net::UserNetwork;
use banger_net::control::{NetworkControl, Rules};
use banger_sys::launch::Started;
use banger_sys::socket::hand_over;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::line::carry;
use crate::namespace::{Namespace, replace_files};

/// A host of the world, which is reached over a gateway.
pub(crate) const WORLD: &str = "198.51.100.1";
pub(crate) const WORLD_V6: &str = "2001:db8:1::1";
/// A host on the host's own network.
pub(crate) const LAN: &str = "192.0.2.2";
pub(crate) const HOST: &str = "192.0.2.1";

pub(crate) struct Lab {
    pub(crate) guest: Namespace,
    pub(crate) host: Namespace,
    pub(crate) world: Namespace,
    pub(crate) process: u32,
    /// Its end is the end of the network.
    machine: Child,
    _network: Started,
    _runtime: tokio::runtime::Runtime,
    pub(crate) directory: tempfile::TempDir,
}

/// What the lines on both sides of the process are like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lines {
    Good,
    /// They lose and reorder frames.
    Bad,
}

/// What the files of the host say about names: `/etc/resolv.conf` and `/etc/hosts`.
#[derive(Clone, Copy)]
pub(crate) struct Naming(pub(crate) &'static str, pub(crate) &'static str);

impl Lab {
    /// Talks to the network's process, as the daemon does.
    pub(crate) fn control(&self) -> NetworkControl {
        NetworkControl::connect(self.directory.path()).unwrap()
    }

    pub(crate) fn new() -> Self {
        Self::build(Lines::Good, Naming("", ""), Rules::default())
    }

    pub(crate) fn with(lines: Lines) -> Self {
        Self::build(lines, Naming("", ""), Rules::default())
    }

    pub(crate) fn with_names(naming: Naming) -> Self {
        Self::build(Lines::Good, naming, Rules::default())
    }

    pub(crate) fn with_rules(rules: Rules) -> Self {
        Self::build(Lines::Good, Naming("", ""), rules)
    }

    fn build(lines: Lines, Naming(resolv_conf, hosts): Naming, rules: Rules) -> Self {
        let [guest, host, world] = [(); 3].map(|()| Namespace::new());
        match lines {
            Lines::Good => {
                host.ip("link add cable0 type veth peer name cable1");
                host.give("cable1", &world);
            }
            Lines::Bad => {
                let ends = [host.run(|| open_tap("cable0")), world.run(|| open_tap("cable1"))];
                std::thread::spawn(move || carry(&ends[0], &ends[1]));
            }
        }
        host.ip("address add 192.0.2.1/24 dev cable0");
        host.ip("address add 2001:db8::1/64 dev cable0 nodad");
        host.ip("link set cable0 up");
        for address in ["192.0.2.2/24 dev cable1", "2001:db8::2/64 dev cable1 nodad"] {
            world.ip(&format!("address add {address}"));
        }
        for address in [WORLD, "198.51.100.2", "203.0.113.9"] {
            world.ip(&format!("address add {address}/32 dev lo"));
        }
        world.ip(&format!("address add {WORLD_V6}/128 dev lo nodad"));
        world.ip("link set cable1 up");
        host.ip("route add default via 192.0.2.2 dev cable0");
        host.ip("-6 route add default via 2001:db8::2 dev cable0");
        // Whoever the user is, echoes are allowed here.
        host.run(|| std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647").unwrap());
        let mut tap = guest.run(|| open_tap("eth0"));
        if lines == Lines::Bad {
            let (ours, networks) =
                socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
            let guests = std::mem::replace(&mut tap, networks);
            std::thread::spawn(move || carry(&guests, &ours));
        }
        guest.ip("link set eth0 mtu 65520");
        guest.ip("address add 10.0.2.15/24 dev eth0");
        guest.ip("link set eth0 up");
        guest.ip("route add default via 10.0.2.2 dev eth0");
        let machine = Command::new("sleep").arg("100000").spawn().unwrap();
        let machine_process = pidfd_open(Pid::from_child(&machine), PidfdFlags::empty()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let errors = File::create(directory.path().join("network.log")).unwrap();
        let program = std::env::current_exe().unwrap();
        let files = [("resolv.conf", resolv_conf), ("hosts", hosts), ("nsswitch.conf", "hosts: files dns\n")];
        let files = files.map(|(name, text)| {
            std::fs::write(directory.path().join(name), text).unwrap();
            (directory.path().join(name), Path::new("/etc").join(name))
        });
        let (network, socket) = host.run(|| {
            replace_files(&files);
            let _entered = runtime.enter();
            UserNetwork::new(program, rules)
                .launch(NetworkAttachment::Tap, directory.path(), &errors)
                .unwrap()
        });
        hand_over(&socket, &[tap.as_fd(), machine_process.as_fd()]).unwrap();
        let process = network.identity.pid;
        Self { guest, host, world, process, machine, _network: network, _runtime: runtime, directory }
    }

    /// Resident memory of the network's process, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Processor time of the network's process so far, in ticks of 10 ms.
    pub(crate) fn processor_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process)).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.machine.kill();
        let _ = self.machine.wait();
    }
}

/// Opens the guest's device.
#[expect(unsafe_code, reason = "ioctl(2) takes an untyped argument")]
fn open_tap(name: &str) -> OwnedFd {
    const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
    let tap = File::options().read(true).write(true).open("/dev/net/tun").unwrap();
    // SAFETY: all bytes zero is a valid `ifreq`, and the request reads one.
    let result = unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(name.as_bytes()) {
            *to = from.cast_signed();
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as i16;
        libc::ioctl(tap.as_raw_fd(), TUNSETIFF, &raw mut request)
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    tap.into()
}

/// Lets this program have many sockets.
pub(crate) fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}
