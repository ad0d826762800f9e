//! The process of a machine's network: it lives as long as the machine, and longer than the daemon that started it. As it does,
//! it also keeps the machine's logs short.

mod attachment;
mod resolver;
mod start;

pub(crate) use attachment::{ARGUMENT, attachment_of, word};
pub(crate) use start::start;
