//! The cell's network: a bridge between Firecracker's tap and the one that the network's process holds.
//!
//! ```text
//! guest ─ firecracker ─ tap0 ─ bridge ─ tap1 ─ network ─▶ the world
//! ```
//! Firecracker makes packets for its tap with unfinished checksums, and several in one. The kernel finishes and divides
//! them on their way to the other tap, which takes none of that; that is what the bridge is for. Nothing in the namespace
//! has an address.
//! Source: `Documentation/networking/tuntap.rst`, `netdevice(7)`, `<linux/if_tun.h>`, `<linux/sockios.h>`.
#![allow(unsafe_code, reason = "ioctl(2) takes an untyped argument; each call names its type")]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};

use banger_sys::socket::hand_over;
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::process::{PidfdFlags, getpid, pidfd_open};

/// Firecracker's tap.
pub(in crate::firecracker) const NAME: &str = "tap0";
const UPLINK: &str = "tap1";
const BRIDGE: &str = "bridge0";

const TUN: &str = "/dev/net/tun";
const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const TUNSETPERSIST: libc::c_ulong = 0x4004_54cb;
const TUNSETOWNER: libc::c_ulong = 0x4004_54cc;
const SIOCBRADDBR: libc::c_ulong = 0x89a0;
const SIOCBRADDIF: libc::c_ulong = 0x89a2;

/// Where a namespace's interfaces are told to have no IPv6: without it each would give itself an address.
const NO_IPV6: &str = "/proc/sys/net/ipv6/conf/default/disable_ipv6";

/// Why there is no network.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TapError {
    #[error("cannot make the interface `{name}`")]
    Make { name: &'static str, source: io::Error },
    #[error("cannot set up the interface `{name}`")]
    SetUp { name: &'static str, source: io::Error },
    #[error("cannot hand the tap to the network's process")]
    HandOver(#[source] io::Error),
}

/// Makes the network of the namespace that the process is in, with packets of at most `mtu` bytes: gives Firecracker's tap to
/// its user, and the other to the network.
pub(super) fn make_for(network: &OwnedFd, owner: u32, mtu: u32) -> Result<(), TapError> {
    // A kernel without IPv6 has no such file.
    let _ = std::fs::write(NO_IPV6, "1");
    let make = |name| move |source| TapError::Make { name, source };
    // Firecracker opens its tap by name, which only its owner may without being the namespace's administrator.
    let guest = open_tap(NAME, libc::IFF_VNET_HDR).map_err(make(NAME))?;
    set(&guest, TUNSETOWNER, libc::c_ulong::from(owner)).map_err(make(NAME))?;
    set(&guest, TUNSETPERSIST, 1).map_err(make(NAME))?;
    let control = control_socket().map_err(make(BRIDGE))?;
    let mut bridge = name_bytes(BRIDGE);
    ioctl(control.as_raw_fd(), SIOCBRADDBR, bridge.as_mut_ptr().cast()).map_err(make(BRIDGE))?;
    let set_up = |name| move |source| TapError::SetUp { name, source };
    join_bridge(&control, NAME).map_err(set_up(NAME))?;
    for name in [BRIDGE, NAME] {
        bring_up(&control, name, mtu).map_err(set_up(name))?;
    }
    let process =
        pidfd_open(getpid(), PidfdFlags::empty()).map_err(|errno| TapError::HandOver(errno.into()))?;
    hand_over_uplink(network, process.as_fd(), mtu)
}

/// Makes the other tap of the namespace that this process is in, and gives it to the network with Firecracker's process. The
/// tap goes with the network.
pub(super) fn hand_over_uplink(
    network: impl AsFd,
    process: BorrowedFd<'_>,
    mtu: u32,
) -> Result<(), TapError> {
    let set_up = |source| TapError::SetUp { name: UPLINK, source };
    let uplink = open_tap(UPLINK, 0).map_err(|source| TapError::Make { name: UPLINK, source })?;
    let control = control_socket().map_err(set_up)?;
    join_bridge(&control, UPLINK).map_err(set_up)?;
    bring_up(&control, UPLINK, mtu).map_err(set_up)?;
    hand_over(network, &[uplink.as_fd(), process]).map_err(TapError::HandOver)
}

fn open_tap(name: &str, more_flags: libc::c_int) -> io::Result<File> {
    let tap = File::options().read(true).write(true).open(TUN)?;
    let mut request = Request::of(name);
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | more_flags;
    request.set_flags(i16::try_from(flags).map_err(io::Error::other)?);
    request.send(tap.as_raw_fd(), TUNSETIFF)?;
    Ok(tap)
}

fn control_socket() -> io::Result<OwnedFd> {
    // Of this family, because it is there even where IP is not.
    socket(AddressFamily::UNIX, SocketType::DGRAM, None).map_err(io::Error::from)
}

fn join_bridge(control: &OwnedFd, name: &str) -> io::Result<()> {
    let index = rustix::net::netdevice::name_to_index(control, name)?;
    let mut request = Request::of(BRIDGE);
    request.set_number(i32::try_from(index).map_err(io::Error::other)?);
    request.send(control.as_raw_fd(), SIOCBRADDIF)
}

fn bring_up(control: &OwnedFd, name: &str, packet_bytes_max: u32) -> io::Result<()> {
    let mut mtu = Request::of(name);
    mtu.set_number(i32::try_from(packet_bytes_max).map_err(io::Error::other)?);
    mtu.send(control.as_raw_fd(), libc::SIOCSIFMTU)?;
    let mut up = Request::of(name);
    up.set_flags(i16::try_from(libc::IFF_UP).map_err(io::Error::other)?);
    up.send(control.as_raw_fd(), libc::SIOCSIFFLAGS)
}

/// `struct ifreq`.
struct Request(libc::ifreq);

impl Request {
    fn of(name: &str) -> Self {
        // SAFETY: all bytes zero is a valid `ifreq`: an empty name and a union of numbers.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        request.ifr_name = name_bytes(name);
        Self(request)
    }

    fn set_flags(&mut self, flags: i16) {
        self.0.ifr_ifru.ifru_flags = flags;
    }

    /// The interface's index and its MTU stand in the same place.
    fn set_number(&mut self, number: i32) {
        self.0.ifr_ifru.ifru_ifindex = number;
    }

    fn send(&mut self, descriptor: RawFd, request: libc::c_ulong) -> io::Result<()> {
        ioctl(descriptor, request, std::ptr::from_mut(&mut self.0).cast())
    }
}

/// The name with an end mark: all names here are shorter than the field.
fn name_bytes(name: &str) -> [libc::c_char; libc::IFNAMSIZ] {
    let mut bytes = [0; libc::IFNAMSIZ];
    for (to, from) in bytes.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    bytes
}

fn set(tap: &File, request: libc::c_ulong, value: libc::c_ulong) -> io::Result<()> {
    // SAFETY: these requests take a number in place of a pointer.
    check(unsafe { libc::ioctl(tap.as_raw_fd(), request, value) })
}

fn ioctl(descriptor: RawFd, request: libc::c_ulong, argument: *mut libc::c_void) -> io::Result<()> {
    // SAFETY: every caller passes a live pointer to what its request reads and writes: an `ifreq`, or an interface name.
    check(unsafe { libc::ioctl(descriptor, request, argument) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
