//! The contract between host and guest.
//!
//! The guest channel carries byte streams to numbered ports of the agent. If the VMM has vsock (Firecracker), a stream is a
//! vsock connection; if not (QEMU), all streams share one virtio-serial port through yamux after the [`sync`] handshake. In
//! both cases the host opens a stream with the line `CONNECT <port>\n` and gets the answer `OK <number>\n`, as with
//! Firecracker's vsock.

pub mod heartbeat;
pub mod sync;
pub mod way_out;

#[allow(missing_docs, clippy::pedantic, clippy::unwrap_used, unreachable_pub)]
mod generated {
    tonic::include_proto!("banger.agent.v1");
}

pub use generated::*;
/// Encodes and decodes messages, for code that stores one.
pub use prost::Message;

/// Version of the protocol that this build speaks.
pub const PROTOCOL_VERSION: u32 = 1;

/// Port of the gRPC service.
pub const CONTROL_PORT: u32 = 1024;

/// Port of raw streams. The first line names the target: `tcp <address>:<port>\n` or `ssh\n` (an `sshd -i` of the guest).
/// The guest answers `OK\n` or `ERR <one sentence>\n`, then bytes flow. The line `health\n` requests a sign of life: see
/// [`heartbeat`]; `way-out\n` requests a notice when the guest shuts down: see [`way_out`].
pub const STREAM_PORT: u32 = 1025;

/// Port of the host (its vsock address is 2) to which the agent opens a stream when it begins to listen, if there is vsock,
/// and again when that stream has ended. No data is sent on it, and the host need not listen.
pub const BELL_PORT: u32 = 1026;

/// Name of the virtio-serial port that carries the channel (`/sys/class/virtio-ports/*/name` in the guest).
pub const SERIAL_PORT_NAME: &str = "banger.channel";

/// Kernel command line key that names the guest's drives in the order in which they are attached, comma separated:
/// `banger.drives=base,modules,overlay,work`.
pub const DRIVES_KEY: &str = "banger.drives";

/// Kernel command line key that names the image's init, or says `none`: then the agent is the init, whatever the image
/// contains.
pub const INIT_KEY: &str = "banger.init";
