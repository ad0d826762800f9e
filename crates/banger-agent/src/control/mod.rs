//! The control service: the calls that the host makes over gRPC.

pub(crate) mod connection;
mod listeners;
mod readiness;
mod service;
mod shutdown;
mod system_state;

pub(crate) use readiness::ReadinessBoard;
pub(crate) use service::Control;
pub(crate) use shutdown::{Init, Power, finish};
pub(crate) use system_state::{NOTIFY_ADDRESS, watch_systemd};
