//! The user-mode network: passt, which opens the guest's connections as this user.
//!
//! QEMU's own stack (slirp) leads the gateway's address to the host's loopback, where a guest has no business; it is
//! never used.

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use banger_sys::inheritance::{Heir, limit};
use banger_sys::launch::DIRECTORY_VARIABLE;
use rustix::io::FdFlags;

use super::sockets::pair;
use super::subnet::{ADDRESS, GATEWAY, NAME_SERVER, PREFIX_LENGTH};

const GATEWAY_MAC: &str = "52:55:0a:00:02:02";

/// Starts passt and returns the socket to it. It ends with the socket.
#[expect(unsafe_code, reason = "what runs between fork and exec may only make system calls")]
pub(crate) fn spawn(program: &Path, directory: &Path) -> io::Result<(UnixStream, Child)> {
    let (ours, passts) = pair()?;
    let mut command = Command::new(program);
    limit(&mut command, Heir::Machine);
    command
        .args(arguments(passts.as_raw_fd(), has_default_route()))
        .current_dir("/")
        .env(DIRECTORY_VARIABLE, directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let inherit = move || rustix::io::fcntl_setfd(&passts, FdFlags::empty()).map_err(io::Error::from);
    // SAFETY: the closure makes one system call; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(inherit) };
    let child = command.spawn()?;
    Ok((ours, child))
}

fn arguments(socket: i32, has_default_route: bool) -> Vec<String> {
    let mut arguments: Vec<String> =
        ["--foreground", "--quiet", "--stderr", "--ipv4-only"].map(str::to_owned).into();
    let prefix_length = PREFIX_LENGTH.to_string();
    let [address, gateway, name_server] = [ADDRESS, GATEWAY, NAME_SERVER].map(|address| address.to_string());
    for (name, value) in [
        ("--fd", socket.to_string().as_str()),
        ("--address", &address),
        ("--netmask", &prefix_length),
        ("--gateway", &gateway),
        ("--mac-addr", GATEWAY_MAC),
        ("--dns-forward", &name_server),
        ("--tcp-ports", "none"),
        ("--udp-ports", "none"),
    ] {
        arguments.extend([name.to_owned(), value.to_owned()]);
    }
    // The agent configures the guest by `identify`.
    for alone in ["--no-map-gw", "--no-dhcp", "--no-dhcpv6", "--no-ndp", "--no-ra"] {
        arguments.push(alone.to_owned());
    }
    if !has_default_route {
        // Without a route passt refuses to start unless told which interface to look at.
        arguments.extend(["--interface".to_owned(), "lo".to_owned()]);
    }
    arguments
}

fn has_default_route() -> bool {
    std::fs::read_to_string(Path::new("/proc/net/route")).is_ok_and(|table| is_default_route_in(&table))
}

/// Looks for a destination and a mask of nought in `/proc/net/route`.
fn is_default_route_in(table: &str) -> bool {
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace();
        fields.nth(1) == Some("00000000") && fields.nth(5) == Some("00000000")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guest_gets_no_way_in_and_no_way_to_the_hosts_loopback() {
        assert_eq!(
            arguments(7, true).join(" "),
            "--foreground --quiet --stderr --ipv4-only --fd 7 --address 10.0.2.15 --netmask 24 --gateway 10.0.2.2 \
             --mac-addr 52:55:0a:00:02:02 --dns-forward 10.0.2.3 --tcp-ports none --udp-ports none --no-map-gw \
             --no-dhcp --no-dhcpv6 --no-ndp --no-ra"
        );
    }

    #[test]
    fn a_host_without_a_route_can_still_start_machines() {
        assert!(arguments(7, false).ends_with(&["--interface".into(), "lo".into()]));
        let head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
        let network = "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let default = "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
        assert!(!is_default_route_in(&format!("{head}{network}")));
        assert!(is_default_route_in(&format!("{head}{network}{default}")));
    }
}
