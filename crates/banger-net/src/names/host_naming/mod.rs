//! How the host resolves names, read from the texts of its configuration. The files are read by the caller.

mod hosts;
mod resolv_conf;
mod switch;

pub use hosts::Hosts;
pub use resolv_conf::ResolvConf;
pub use switch::Sources;

/// What the files of the host say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostNaming {
    /// `/etc/resolv.conf`.
    pub resolv_conf: ResolvConf,
    /// `/etc/hosts`.
    pub hosts: Hosts,
    /// The line `hosts:` of `/etc/nsswitch.conf`.
    pub sources: Sources,
}

impl HostNaming {
    /// Reads the texts of the three files. A file that does not exist is an empty text. Lines that are not understood are
    /// skipped, as the host's own library does.
    #[must_use]
    pub fn read(resolv_conf: &str, hosts: &str, nsswitch: &str) -> Self {
        Self {
            resolv_conf: ResolvConf::read(resolv_conf),
            hosts: Hosts::read(hosts),
            sources: Sources::read(nsswitch),
        }
    }
}
