//! `resolv.conf(5)`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use banger_model::egress::HostName;

const PORT: u16 = 53;
/// `MAXNS` of the C library.
const SERVERS_MAX: usize = 3;
const SEARCH_MAX: usize = 6;

/// Name servers and how they are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvConf {
    /// In the order in which they are asked; never empty.
    pub servers: Vec<SocketAddr>,
    /// Domains in which names of one label are looked up.
    pub search: Vec<HostName>,
    /// How long one server is waited for.
    pub timeout: Duration,
    /// How often each server is asked.
    pub attempts: usize,
    /// Each lookup begins with another server.
    pub rotates: bool,
    /// Servers are asked by TCP from the beginning.
    pub uses_tcp: bool,
    /// Nothing is known of IPv6 addresses.
    pub omits_v6: bool,
}

impl Default for ResolvConf {
    fn default() -> Self {
        Self {
            // A server is expected on the host if none is named.
            servers: vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT)],
            search: Vec::new(),
            timeout: Duration::from_secs(5),
            attempts: 2,
            rotates: false,
            uses_tcp: false,
            omits_v6: false,
        }
    }
}

impl ResolvConf {
    /// Reads the text of the file.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut conf = Self::default();
        let mut servers = Vec::new();
        for line in text.lines() {
            // Comments stand on lines of their own.
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => servers.extend(words.next().and_then(server)),
                // The last of the two counts.
                Some("search") => {
                    conf.search = words.filter_map(|word| word.parse().ok()).take(SEARCH_MAX).collect();
                }
                Some("domain") => {
                    conf.search = words.next().and_then(|word| word.parse().ok()).into_iter().collect();
                }
                Some("options") => words.for_each(|word| conf.set(word)),
                _ => {}
            }
        }
        servers.truncate(SERVERS_MAX);
        if !servers.is_empty() {
            conf.servers = servers;
        }
        conf
    }

    fn set(&mut self, option: &str) {
        let (name, value) = option.split_once(':').unwrap_or((option, ""));
        match (name, value.parse::<u8>()) {
            // The bounds are those of the C library.
            ("timeout", Ok(secs)) => self.timeout = Duration::from_secs(secs.clamp(1, 30).into()),
            ("attempts", Ok(attempts)) => self.attempts = attempts.clamp(1, 5).into(),
            ("rotate", _) => self.rotates = true,
            ("use-vc", _) => self.uses_tcp = true,
            ("no-aaaa", _) => self.omits_v6 = true,
            _ => {}
        }
    }
}

/// Reads an address, with the scope that a link-local one needs (`fe80::1%2`). Names of interfaces are not known here.
fn server(text: &str) -> Option<SocketAddr> {
    if let Some((address, scope)) = text.split_once('%') {
        return Some(SocketAddrV6::new(address.parse().ok()?, PORT, 0, scope.parse().ok()?).into());
    }
    text.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, PORT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_search_and_options_are_read() {
        let conf = ResolvConf::read(
            "# made by hand\n; nameserver 192.0.2.1\nnameserver 127.0.0.53\nnameserver odd\nnameserver 2001:db8::1\n\
             domain old.example\nsearch corp.example Sub.Corp.Example. 1.2.3.4\n\
             options edns0 timeout:1 attempts:3 rotate use-vc no-aaaa trust-ad timeout:x\nsortlist x\n",
        );
        assert_eq!(conf.servers, ["127.0.0.53:53", "[2001:db8::1]:53"].map(|server| server.parse().unwrap()));
        assert_eq!(conf.search, ["corp.example", "sub.corp.example"].map(|name| name.parse().unwrap()));
        assert_eq!((conf.timeout, conf.attempts), (Duration::from_secs(1), 3));
        assert!(conf.rotates && conf.uses_tcp && conf.omits_v6);
    }

    #[test]
    fn bounds_and_defaults_are_those_of_the_c_library() {
        assert_eq!(ResolvConf::read(""), ResolvConf::default());
        let conf = ResolvConf::read(
            "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver fe80::1%3\nnameserver 192.0.2.4\n\
             options timeout:0 attempts:200\nsearch a.org\ndomain b.org\n",
        );
        assert_eq!(conf.servers.len(), 3);
        assert_eq!(conf.servers[2], SocketAddrV6::new("fe80::1".parse().unwrap(), 53, 0, 3).into());
        assert_eq!((conf.timeout, conf.attempts), (Duration::from_secs(1), 5));
        assert_eq!(conf.search, ["b.org".parse().unwrap()]);
    }
}
