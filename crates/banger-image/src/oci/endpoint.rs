//! How a registry is spoken to: with TLS, with which certificates, and at which address.

use std::path::PathBuf;

use banger_fetch::{Patience, Web, WebOptions, names_this_host, speaks_tls};
use reqwest::Url;

use super::certificates;
use super::registry_error::RegistryError;

/// Where the API of `docker.io` is.
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";

/// Whether a registry may be asked without TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlainHttp {
    /// Only one on this host, which never leaves it.
    #[default]
    OnLoopback,
    /// The user said so.
    Allowed,
}

/// How registries are spoken to.
#[derive(Clone, Debug, Default)]
pub(crate) struct RegistryOptions {
    pub(crate) plain_http: PlainHttp,
    pub(crate) patience: Patience,
    /// Directories with a directory per registry that holds `*.crt`, as docker has them.
    pub(crate) certificates: Vec<PathBuf>,
    /// Places where registries may lead though they are close to this host.
    pub(crate) trusted: Vec<String>,
}

/// Names a registry in errors.
pub(crate) fn server_of(registry: &str) -> String {
    format!("the registry `{registry}`")
}

/// How a registry is spoken to.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) web: Web,
    /// Scheme and host.
    pub(crate) address: String,
    pub(crate) is_plain: bool,
}

impl Endpoint {
    /// Finds out how a registry is spoken to. One on this host is asked whether it speaks TLS, as docker and podman do: it
    /// is spoken to without only where it does not, or where the user said so.
    pub(crate) async fn find(registry: &str, options: &RegistryOptions) -> Result<Self, RegistryError> {
        let host = if registry == "docker.io" { DOCKER_HUB_HOST } else { registry };
        let is_plain = match options.plain_http {
            PlainHttp::Allowed => true,
            PlainHttp::OnLoopback if !is_loopback(host) => false,
            PlainHttp::OnLoopback => {
                let place = if has_port(host) { host.to_owned() } else { format!("{host}:443") };
                // One that cannot be reached is told by the question itself; nothing is decided then.
                !speaks_tls(&place, options.patience.connect).await.unwrap_or(false)
            }
        };
        let address = format!("{}://{host}", if is_plain { "http" } else { "https" });
        Ok(Self { web: web(registry, &address, is_plain, options)?, address, is_plain })
    }
}

fn web(
    registry: &str,
    address: &str,
    is_plain: bool,
    options: &RegistryOptions,
) -> Result<Web, RegistryError> {
    let certificates =
        if is_plain { Vec::new() } else { certificates::read(&options.certificates, registry)? };
    let trusted = options.trusted.clone();
    let web = WebOptions { connect_deadline: options.patience.connect, certificates, trusted };
    let made = Web::new(url_of(registry, address)?, web);
    made.map_err(|error| RegistryError::Fetch(error.from_server(&server_of(registry), options.patience)))
}

/// Parses an address of a registry.
pub(crate) fn url_of(registry: &str, address: &str) -> Result<Url, RegistryError> {
    Url::parse(address).map_err(|_no_url| RegistryError::Address { registry: registry.to_owned() })
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'))
}

/// Tells whether a host with an optional port is this one.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    names_this_host(name)
}
