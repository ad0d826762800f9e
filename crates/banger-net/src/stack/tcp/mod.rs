//! TCP between the guest and sockets of the host: each connection of the guest ends here, and a socket continues it.
//!
//! The kernel's sockets do what TCP needs towards the world. Towards the guest it is done here: [`sender`] and [`receiver`] are
//! the two directions, pure; [`flow`] joins them to a socket; [`flows`] is the table.

mod flow;
mod flows;
mod receiver;
mod sender;
mod sequence;

pub(super) use flows::{Flows, prohibit, reset};
