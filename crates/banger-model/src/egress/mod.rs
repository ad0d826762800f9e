//! What a guest may reach: policies, and the decisions that follow from them. `docs/network.md` describes the language.
//!
//! [`EgressPolicy`] is text and data. [`AddressClass`] says what an address is to a guest, and by it the host, its network and
mod host_name;
mod host_pattern;
mod ports;
mod protocol;
mod request;

pub use host_name::{BadHostName, HostName};
pub use host_pattern::{BadHostPattern, HostPattern};
pub use ports::{BadPorts, Ports};
pub use protocol::Protocol;
pub use request::{PathPattern, RequestPath, Requests};
