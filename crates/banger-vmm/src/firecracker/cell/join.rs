//! The way into the cell of a Firecracker that runs: to make its network anew. What carried the network took its tap along, and
//! only a process inside can make another one.
//!
//! Whoever made the cell's user namespace has every right in it, and so has a process that enters it. In a jail there is none
//! of its own, and root enters the network alone.
//! Source: `setns(2)`, `user_namespaces(7)`.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::AsFd as _;

use banger_sys::process::ProcessIdentity;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use super::tap::{self, TapError};

/// Why a running Firecracker gets no network.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    #[error("`{}` is not a number", text.display())]
    NotANumber { text: std::ffi::OsString },
    #[error("cannot open Firecracker's process")]
    Open(#[source] io::Error),
    #[error("Firecracker has ended")]
    Ended,
    #[error("cannot enter Firecracker's namespaces")]
    Enter(#[source] io::Error),
    #[error("cannot make the tap")]
    Tap(#[source] TapError),
}

/// Makes a tap in the network of a running Firecracker, and hands it to the network at the other end of the standard input.
pub(crate) fn run(pid: &OsStr, start_ticks: &OsStr, mtu: &OsStr) -> Result<(), JoinError> {
    let firecracker = ProcessIdentity { pid: number(pid)?, start_ticks: number(start_ticks)? };
    let mtu = number(mtu)?;
    let pid = i32::try_from(firecracker.pid).ok().and_then(Pid::from_raw).ok_or(JoinError::Ended)?;
    let process = pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| JoinError::Open(errno.into()))?;
    // Looked at after the open: whoever had the pid then is who the descriptor means.
    if !firecracker.is_alive() {
        return Err(JoinError::Ended);
    }
    let user = |process: &str| fs::read_link(format!("/proc/{process}/ns/user"));
    let theirs = user(&firecracker.pid.to_string()).map_err(JoinError::Enter)?;
    let mut namespaces = ThreadNameSpaceType::NETWORK;
    if user("self").map_err(JoinError::Enter)? != theirs {
        namespaces |= ThreadNameSpaceType::USER;
    }
    let entered = move_into_thread_name_spaces(process.as_fd(), namespaces);
    entered.map_err(|errno| JoinError::Enter(errno.into()))?;
    tap::hand_over_uplink(io::stdin(), process.as_fd(), mtu).map_err(JoinError::Tap)
}

fn number<T: std::str::FromStr>(text: &OsStr) -> Result<T, JoinError> {
    let number = text.to_str().and_then(|text| text.parse().ok());
    number.ok_or_else(|| JoinError::NotANumber { text: text.to_owned() })
}
