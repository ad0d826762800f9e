//! The guest's end of the channel, which connects byte streams from the host to the numbered ports of the agent.
//!
//! ```text
//! virtio-serial port ─ handshake ─ yamux ─ CONNECT line ─┐
//! vsock listener (the port is the vsock port) ───────────┼─▶ Ports::enter(port, stream)
//! Unix socket (tests) ─ CONNECT line ────────────────────┘
//! ```

mod line;
mod opening;
mod ports;
pub mod serial_port;
pub mod session;
mod stream;
pub(crate) mod vsock;

pub(crate) use line::read_line;
pub use opening::greet;
pub use ports::Ports;
pub use stream::ByteStream;
