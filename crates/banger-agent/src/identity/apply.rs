//! Applies one `Identify`, step by step.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::PathBuf};

use banger_agent_proto::{IdentifyRequest, NetworkConfig};

use super::trust::{self, Trust};
use super::{clock, files, network, texts};
use crate::os::ioctl;

/// The identity that was applied last, and the root to which it was applied.
#[derive(Debug)]
pub(crate) struct Identity {
    root: PathBuf,
    is_guest: bool,
    network: Option<NetworkConfig>,
    trust: Trust,
}

impl Identity {
    /// The identity of this machine.
    pub(crate) fn of_guest() -> Self {
        Self { root: PathBuf::from("/"), is_guest: true, network: None, trust: Trust::default() }
    }

    /// An identity that consists only of files below `root`: name, network and clock of the machine stay unchanged.
    pub(crate) fn of_directory(root: PathBuf) -> Self {
        Self { root, is_guest: false, network: None, trust: Trust::default() }
    }

    /// Tells whether this identity applies to the machine itself.
    pub(crate) fn is_guest(&self) -> bool {
        self.is_guest
    }

    /// Applies all parts and returns those that failed, one sentence each.
    pub(crate) fn apply(&mut self, wanted: &IdentifyRequest) -> Vec<String> {
        let mut warnings = Warnings::default();
        warnings.note(self.set_clock(wanted));
        warnings.note(self.seed(wanted));
        warnings.note(self.name(wanted));
        warnings.note(self.machine_id(wanted));
        warnings.note(self.host_key(wanted));
        warnings.note(self.authorized_keys(wanted));
        warnings.note(self.resolv_conf(wanted));
        warnings.note(self.trust(wanted));
        if self.is_guest {
            warnings.0.extend(network::apply(self.network.as_ref(), wanted.network.as_ref()));
        }
        self.network.clone_from(&wanted.network);
        warnings.0
    }

    /// Returns the variables that make commands trust the same authorities as the guest.
    pub(crate) fn trust_variables(&self) -> &[(&'static str, String)] {
        &self.trust.variables
    }

    fn trust(&mut self, wanted: &IdentifyRequest) -> Step {
        self.trust = Trust::default();
        self.trust = trust::apply(&self.root, &wanted.certificate_authorities)?;
        Ok(())
    }

    fn set_clock(&self, wanted: &IdentifyRequest) -> Step {
        if wanted.clock_unix_nanos > 0 {
            clock::set(wanted.clock_unix_nanos, self.is_guest)?;
        }
        Ok(())
    }

    fn seed(&self, wanted: &IdentifyRequest) -> Step {
        if self.is_guest && !wanted.random_seed.is_empty() {
            let failed = |source| StepError { act: "mix in the random seed", source };
            let random = fs::File::open("/dev/urandom").map_err(failed)?;
            ioctl::add_entropy(random, &wanted.random_seed).map_err(failed)?;
        }
        Ok(())
    }

    fn name(&self, wanted: &IdentifyRequest) -> Step {
        let name = &wanted.hostname;
        if name.is_empty() {
            return Ok(());
        }
        if !texts::is_hostname(name) {
            return Err(
                StepError { act: "take the host name", source: io::ErrorKind::InvalidInput.into() }.into()
            );
        }
        if self.is_guest {
            rustix::system::sethostname(name.as_bytes())
                .map_err(|e| StepError { act: "set the host name", source: e.into() })?;
        }
        files::ensure(&self.root.join("etc/hostname"), format!("{name}\n").as_bytes(), 0o644)?;
        let path = self.root.join("etc/hosts");
        let present = fs::read(&path).unwrap_or_default();
        let hosts = texts::hosts(&String::from_utf8_lossy(&present), name);
        Ok(files::ensure(&path, hosts.as_bytes(), 0o644)?)
    }

    fn machine_id(&self, wanted: &IdentifyRequest) -> Step {
        if wanted.machine_id.is_empty() {
            return Ok(());
        }
        if !texts::is_machine_id(&wanted.machine_id) {
            return Err(
                StepError { act: "take the machine id", source: io::ErrorKind::InvalidInput.into() }.into()
            );
        }
        let line = format!("{}\n", wanted.machine_id);
        Ok(files::ensure(&self.root.join("etc/machine-id"), line.as_bytes(), 0o444)?)
    }

    fn host_key(&self, wanted: &IdentifyRequest) -> Step {
        if wanted.ssh_host_key.is_empty() {
            return Ok(());
        }
        let directory = self.root.join("etc/ssh");
        files::ensure(&directory.join("ssh_host_ed25519_key"), &wanted.ssh_host_key, 0o600)?;
        let public = format!("{}\n", wanted.ssh_host_key_public.trim_end());
        Ok(files::ensure(&directory.join("ssh_host_ed25519_key.pub"), public.as_bytes(), 0o644)?)
    }

    /// sshd's strict modes check the whole path: home, `.ssh`, file.
    fn authorized_keys(&self, wanted: &IdentifyRequest) -> Step {
        if wanted.authorized_keys.is_empty() {
            return Ok(());
        }
        let home = self.root.join("root");
        let mode = fs::metadata(&home).map_or(0o755, |metadata| metadata.permissions().mode() & 0o755);
        files::ensure_directory(&home, mode | 0o700)?;
        let directory = home.join(".ssh");
        files::ensure_directory(&directory, 0o700)?;
        let path = directory.join("authorized_keys");
        let present = fs::read(&path).unwrap_or_default();
        let text = texts::authorized_keys(&present, &wanted.authorized_keys).unwrap_or(present);
        files::ensure(&path, &text, 0o600)?;
        files::own(&path).map_err(|source| StepError { act: "own the authorized keys", source })?;
        Ok(())
    }

    fn resolv_conf(&self, wanted: &IdentifyRequest) -> Step {
        let Some(network) = wanted.network.as_ref().filter(|network| !network.dns_servers.is_empty()) else {
            return Ok(());
        };
        let text = texts::resolv_conf(&network.dns_servers, &network.search_domains);
        Ok(files::ensure(&self.root.join("etc/resolv.conf"), text.as_bytes(), 0o644)?)
    }
}

type Step = Result<(), Box<dyn std::error::Error>>;

#[derive(Debug, thiserror::Error)]
#[error("cannot {act}")]
struct StepError {
    act: &'static str,
    source: io::Error,
}

#[derive(Default)]
struct Warnings(Vec<String>);

impl Warnings {
    fn note(&mut self, step: Step) {
        if let Err(error) = step {
            self.0.push(crate::console::chain(error.as_ref()));
        }
    }
}
