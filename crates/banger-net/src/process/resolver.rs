//! Where the host's own resolver is.
//! Source: `resolv.conf(5)`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const PORT: u16 = 53;

/// Returns the first resolver that a text in the form of `resolv.conf` names.
pub(super) fn of(text: &str) -> SocketAddr {
    // Without any, a resolver is expected on the host itself.
    SocketAddr::new(first(text).unwrap_or(Ipv4Addr::LOCALHOST.into()), PORT)
}

fn first(text: &str) -> Option<IpAddr> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let is_server = words.next() == Some("nameserver");
        words.next().filter(|_| is_server)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_resolver_is_taken() {
        let text = "# nameserver 192.0.2.9\nsearch example.org\nnameserver odd\nnameserver 127.0.0.53\nnameserver ::1\n";
        assert_eq!(first(text), Some("127.0.0.53".parse().unwrap()));
        assert_eq!(first("options edns0\n"), None);
    }
}
