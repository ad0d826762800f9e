//! System calls that no safe crate offers. All `unsafe` code of this program is here.

pub(crate) mod appearance;
pub(crate) mod async_fd;
pub(crate) mod inotify;
pub(crate) mod ioctl;
pub(crate) mod namespaces;
pub(crate) mod signal;
pub(crate) mod signal_from_init;
pub(crate) mod spawn;
