//! The first bytes of a connection: which host a guest means, where its policy depends on names.

mod http;
mod quic;
mod sniffer;
mod tls;

pub use http::{Head, HttpReader, MalformedRequest, Passage};
pub use quic::is_quic;
pub use sniffer::Sniffer;
