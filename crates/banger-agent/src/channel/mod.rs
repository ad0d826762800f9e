//! The guest's end of the channel: brings byte streams from the host to the numbered ports of the agent.
//!
//! ```text
//! virtio-serial port ─ handshake ─ yamux ─ CONNECT line ─┐
//! vsock listener (the port is the vsock port) ───────────┼─▶ Ports::enter(port, stream)
//! Unix socket (tests) ─ CONNECT line ────────────────────┘
//! ```

mod opening;
mod ports;
pub mod serial_port;
pub mod session;
pub(crate) mod vsock;

pub use opening::greet;
pub(crate) use opening::read_line;
pub use ports::{ByteStream, Ports};
