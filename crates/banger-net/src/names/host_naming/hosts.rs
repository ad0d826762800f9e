//! `hosts(5)`.

use std::collections::HashMap;
use std::net::IpAddr;

use banger_model::egress::HostName;

/// Number of names that are kept. Lists against advertisements are longer, but they name hosts that are to be unreachable.
const NAMES_MAX: usize = 16 * 1024;
/// Number of addresses that one name can have.
const ADDRESSES_MAX: usize = 32;

/// Names and their addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    addresses: HashMap<HostName, Vec<IpAddr>>,
}

impl Hosts {
    /// Reads the text of the file.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut addresses: HashMap<HostName, Vec<IpAddr>> = HashMap::new();
        for line in text.lines() {
            let mut words = line.split('#').next().unwrap_or(line).split_whitespace();
            let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
            for name in words.filter_map(|word| word.parse::<HostName>().ok()) {
                if addresses.len() >= NAMES_MAX && !addresses.contains_key(&name) {
                    return Self { addresses };
                }
                let of_name = addresses.entry(name).or_default();
                if of_name.len() < ADDRESSES_MAX && !of_name.contains(&address) {
                    of_name.push(address);
                }
            }
        }
        Self { addresses }
    }

    /// Returns the addresses of a name, in the order of the file; `None`: it is not there.
    #[must_use]
    pub fn addresses(&self, name: &HostName) -> Option<&[IpAddr]> {
        self.addresses.get(name).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_all_their_addresses_in_order() {
        let hosts = Hosts::read(
            "127.0.0.1 localhost # here\n\n#192.0.2.9 gone\n192.0.2.1\tDB db.corp.example.\n2001:db8::1 db\n192.0.2.1 db\n\
             odd words\n192.0.2.3\n::1%lo scoped\n192.0.2.4 1.2.3.4 ok\n",
        );
        let addresses = |name: &str| {
            let addresses = hosts.addresses(&name.parse().unwrap()).unwrap_or_default();
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(addresses("db"), "192.0.2.1 2001:db8::1");
        assert_eq!(addresses("db.corp.example"), "192.0.2.1");
        assert_eq!(addresses("ok"), "192.0.2.4");
        assert_eq!(addresses("gone") + &addresses("words") + &addresses("scoped"), "");
    }

    #[test]
    fn a_long_file_is_bounded() {
        let text: String = (0..NAMES_MAX + 10).map(|number| format!("0.0.0.0 n{number}.example\n")).collect();
        assert_eq!(Hosts::read(&text).addresses.len(), NAMES_MAX);
        let many: String = (0..100).map(|number| format!("192.0.2.{number} a\n")).collect();
        assert_eq!(Hosts::read(&many).addresses(&"a".parse().unwrap()).unwrap().len(), ADDRESSES_MAX);
    }
}
