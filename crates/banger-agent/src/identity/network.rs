//! Configures the loopback and the one interface. Its caller keeps the applied settings, so that a restored guest can remove
//! them.

use std::{fs, net::IpAddr, path::Path};

use banger_agent_proto::NetworkConfig;

use super::netlink::{InterfaceAddress, RouteSocket};

/// The network cannot be configured as requested.
#[derive(Debug, thiserror::Error)]
enum NetworkError {
    #[error("cannot read the address `{0}`")]
    Address(String),
    #[error("cannot read the gateway `{0}`")]
    Gateway(String),
    #[error("there is no network interface{}", if mac.is_empty() { String::new() } else { format!(" `{mac}`") })]
    NoInterface { mac: String },
    #[error("cannot {act}")]
    Kernel { act: &'static str, source: std::io::Error },
}

/// Changes the network from `applied` to `wanted` and returns the failures.
pub(super) fn apply(applied: Option<&NetworkConfig>, wanted: Option<&NetworkConfig>) -> Vec<String> {
    let mut failures = Vec::new();
    let mut note = |outcome: Result<(), NetworkError>| {
        if let Err(error) = outcome {
            failures.push(crate::console::chain(&error));
        }
    };
    let mut socket = match RouteSocket::open() {
        Ok(socket) => socket,
        Err(source) => {
            note(Err(NetworkError::Kernel { act: "talk to the kernel's routing", source }));
            return failures;
        }
    };
    note(loopback(&mut socket));
    if let Some(applied) = applied.filter(|applied| Some(*applied) != wanted) {
        // The old address may be gone already; only the new one matters.
        let _ = forget(&mut socket, applied);
    }
    if let Some(wanted) = wanted {
        note(configure(&mut socket, wanted));
    }
    failures
}

fn loopback(socket: &mut RouteSocket) -> Result<(), NetworkError> {
    let index = read_number(Path::new("/sys/class/net/lo/ifindex")).unwrap_or(1);
    socket.bring_up(index, None).map_err(kernel("bring up the loopback"))
}

fn configure(socket: &mut RouteSocket, wanted: &NetworkConfig) -> Result<(), NetworkError> {
    let index = interface(&wanted.mac)?;
    let address = parse_address(&wanted.address)?;
    let mtu = (wanted.mtu > 0).then_some(wanted.mtu);
    socket.bring_up(index, mtu).map_err(kernel("bring up the interface"))?;
    socket.add_address(index, address).map_err(kernel("set the address"))?;
    if !wanted.gateway.is_empty() {
        let gateway: IpAddr =
            wanted.gateway.parse().map_err(|_bad| NetworkError::Gateway(wanted.gateway.clone()))?;
        let is_direct = address.contains(gateway);
        socket.set_default_route(index, gateway, is_direct).map_err(kernel("set the default route"))?;
    }
    Ok(())
}

fn forget(socket: &mut RouteSocket, applied: &NetworkConfig) -> Result<(), NetworkError> {
    let index = interface(&applied.mac)?;
    // The routes over the address are removed with it.
    socket.remove_address(index, parse_address(&applied.address)?).map_err(kernel("remove the old address"))
}

fn kernel(act: &'static str) -> impl Fn(std::io::Error) -> NetworkError {
    move |source| NetworkError::Kernel { act, source }
}

/// Finds the interface by its hardware address; without one, the first Ethernet interface.
fn interface(mac: &str) -> Result<u32, NetworkError> {
    const ETHERNET: u32 = 1;
    let mut found: Vec<u32> = fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| match mac {
            "" => read_number(&path.join("type")) == Some(ETHERNET),
            mac => fs::read_to_string(path.join("address"))
                .is_ok_and(|address| address.trim_end().eq_ignore_ascii_case(mac)),
        })
        .filter_map(|path| read_number(&path.join("ifindex")))
        .collect();
    found.sort_unstable();
    found.first().copied().ok_or_else(|| NetworkError::NoInterface { mac: mac.to_owned() })
}

fn read_number(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim_end().parse().ok()
}

fn parse_address(text: &str) -> Result<InterfaceAddress, NetworkError> {
    let parse = || {
        let (ip, length) = text.split_once('/')?;
        InterfaceAddress::new(ip.parse().ok()?, length.parse().ok()?)
    };
    parse().ok_or_else(|| NetworkError::Address(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_prefix_length_that_fits() {
        assert!(parse_address("10.0.2.15/24").is_ok());
        assert!(parse_address("fd00::2/64").is_ok());
        for bad in ["", "10.0.2.15", "10.0.2.15/33", "fd00::2/129", "x/24", "10.0.2.15/-1"] {
            assert!(parse_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_gateway_outside_the_network_is_seen() {
        let address = parse_address("10.0.2.15/24").unwrap();
        assert!(address.contains("10.0.2.2".parse().unwrap()));
        assert!(!address.contains("10.0.3.2".parse().unwrap()));
        assert!(!parse_address("172.16.0.2/32").unwrap().contains("172.16.0.1".parse().unwrap()));
        assert!(!address.contains("fd00::1".parse().unwrap()));
    }
}
