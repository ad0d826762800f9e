//! The process of a machine's network: it lives as long as the machine, and longer than the daemon that started it. As it does,
//! a part of it ([`steward`]) also keeps the machine's logs short.

mod attachment;
mod confine;
mod start;
mod steward;

pub(crate) use attachment::{ARGUMENT, attachment_of, word};
pub(crate) use start::start;
