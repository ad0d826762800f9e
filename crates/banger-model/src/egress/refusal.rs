//! What a guest tried and why it was refused.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::address_class::AddressClass;
use super::host_name::HostName;
use super::protocol::Protocol;

/// What a guest tried.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Attempted {
    /// To resolve a name.
    Lookup {
        /// The name.
        name: HostName,
    },
    /// To connect, or to send a first datagram or an echo request.
    Connection {
        /// By which protocol.
        protocol: Protocol,
        /// To which address.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        address: IpAddr,
        /// To which port; 0 for echo requests.
        port: u16,
        /// The name that the guest resolved or sent, if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<HostName>,
    },
    /// To send an HTTP request.
    Request {
        /// To which host.
        name: HostName,
        /// To which port.
        port: u16,
        /// Method.
        method: String,
        /// Path without query.
        path: String,
    },
}

/// The reason for a refusal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Refusal {
    /// Such addresses are closed unless a rule opens them.
    Closed {
        /// Of which class the address is.
        class: AddressClass,
    },
    /// A rule denies it.
    Denied {
        /// The rule as text.
        rule: String,
    },
    /// No rule allows it.
    NotAllowed,
    /// The name resolves to an address that is closed.
    Rebinding {
        /// The address.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        address: IpAddr,
        /// Its class.
        class: AddressClass,
    },
    /// The name in TLS or HTTP is not one that the guest resolved to this address.
    NameDisagrees,
    /// TLS or HTTP without the name of a host, where the policy depends on it.
    NoName,
    /// The name is hidden by an encrypted client hello.
    EncryptedName,
    /// The name is hidden by QUIC.
    Quic,
    /// What was sent to a port of the web is neither TLS nor HTTP, or cannot be read as either.
    NotWeb,
    /// Only some requests are allowed there, and TLS hides them.
    HiddenRequests,
    /// Queries of this kind are not answered.
    QueryKind,
    /// There are more queries than are answered at a time.
    TooManyQueries,
}

impl std::fmt::Display for Attempted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lookup { name } => write!(formatter, "lookup of {name}"),
            Self::Connection { protocol, address, port, name } => {
                write!(formatter, "{protocol} ")?;
                match (address, protocol) {
                    (address, Protocol::Icmp) => write!(formatter, "{address}")?,
                    (address, Protocol::Tcp | Protocol::Udp) => {
                        write!(formatter, "{}", std::net::SocketAddr::new(*address, *port))?;
                    }
                }
                name.as_ref().map_or(Ok(()), |name| write!(formatter, " ({name})"))
            }
            Self::Request { name, port, method, path } => write!(formatter, "{method} {name}:{port}{path}"),
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed { class } => write!(formatter, "{class} is closed"),
            Self::Denied { rule } => write!(formatter, "denied by `{rule}`"),
            Self::NotAllowed => formatter.write_str("no rule allows it"),
            Self::Rebinding { address, class } => {
                write!(formatter, "resolves to {address}, and {class} is closed")
            }
            Self::NameDisagrees => {
                formatter.write_str("the name in TLS or HTTP was not resolved to this address")
            }
            Self::NoName => formatter.write_str("TLS or HTTP without the name of a host"),
            Self::EncryptedName => formatter.write_str("the name of the host is encrypted (ECH)"),
            Self::Quic => formatter.write_str("QUIC hides the name of the host"),
            Self::NotWeb => formatter.write_str("neither TLS nor HTTP on a port of the web"),
            Self::HiddenRequests => formatter.write_str("only some requests are allowed, and TLS hides them"),
            Self::QueryKind => formatter.write_str("queries of this kind are not answered"),
            Self::TooManyQueries => formatter.write_str("too many queries at a time"),
        }
    }
}
