//! A machine's network, in a process of its own that lives as long as the machine: a gate, and behind it passt.
//!
//! passt opens the guest's connections as this user on this host. Its options close the way over the gateway, but a
//! guest whose root sends packets to 127.0.0.1 or to an address of the host's own reaches what listens there, and no
//! option of passt 2023-03-09 stops that. So frames pass through here:
//!
//! ```text
//! VMM ── [ gate ] ── passt
//!  ────▶ one frame at a time, well-formed, to where the guest may go ────▶
//!  ◀──────────── connections, and answers to what the guest asked ◀───────
//! ```
//!
//! [`frame`] says what a frame may look like, [`closed`] where it may go, [`flows`] what may come back,
//! [`one_at_a_time`] how passt is kept from taking two frames for something else, [`acks`]
//! what is kept from it besides, [`handshake`] what it is told in the guest's name. QEMU listens for a socket of ours and sends
//! frames through it, each behind its length, so that a gate that was killed can be followed by another. Firecracker has a tap
//! in a namespace of its own; the gate then gets the other tap of that namespace's bridge.
//!
//! passt is the gate's child: the end of one is the end of the other, and whoever watches the machine watches one process.
//! As that process outlives the daemon, it also keeps the machine's logs short.

mod acks;
mod attachment;
mod closed;
mod flows;
mod frame;
mod gate;
mod handshake;
mod host_addresses;
mod one_at_a_time;
mod prefix;
mod process;
mod stream;
mod tap;

pub(crate) use attachment::{ARGUMENT, attachment_of, word};
pub(crate) use host_addresses::HostAddresses;
pub(crate) use prefix::Prefix;
pub(crate) use process::run;
