//! The line `hosts:` of `nsswitch.conf(5)`, in outline: which of the file and the servers are asked, in which order.
//!
//! `resolve` (systemd-resolved) stands for the servers, because `/etc/resolv.conf` leads to it. `myhostname`, `mymachines` and
//! the multicast services know names of the host and of its link, which are closed to a guest.

/// Where names come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sources {
    /// From the file, and if they are not there from the servers.
    FilesThenServers,
    /// From the servers, and if they do not exist there from the file.
    ServersThenFiles,
    /// From the file only.
    Files,
    /// From the servers only.
    Servers,
}

impl Default for Sources {
    /// The order of the C library if nothing is said.
    fn default() -> Self {
        Self::FilesThenServers
    }
}

impl Sources {
    /// Reads the text of the file.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let line = text.lines().find_map(|line| line.split('#').next()?.trim().strip_prefix("hosts:"));
        let Some(line) = line else { return Self::default() };
        let place = |names: &[&str]| line.split_whitespace().position(|word| names.contains(&word));
        match (place(&["files"]), place(&["dns", "resolve"])) {
            (Some(files), Some(servers)) if files < servers => Self::FilesThenServers,
            (Some(_), Some(_)) => Self::ServersThenFiles,
            (Some(_), None) => Self::Files,
            (None, Some(_)) => Self::Servers,
            (None, None) => Self::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_line_counts() {
        for (text, sources) in [
            ("", Sources::FilesThenServers),
            ("passwd: files\nhosts: files dns", Sources::FilesThenServers),
            ("hosts:          files mdns4_minimal [NOTFOUND=return] dns # x", Sources::FilesThenServers),
            ("hosts: mymachines resolve [!UNAVAIL=return] files myhostname dns", Sources::ServersThenFiles),
            ("hosts: dns files", Sources::ServersThenFiles),
            ("hosts: files", Sources::Files),
            ("hosts: dns", Sources::Servers),
            ("# hosts: dns\nhosts: nis", Sources::FilesThenServers),
        ] {
            assert_eq!(Sources::read(text), sources, "{text}");
        }
    }
}
