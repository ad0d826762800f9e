//! The pseudo-terminal of a command: the agent holds the master, the command the other end.

use std::os::fd::{AsFd, OwnedFd};

use banger_agent_proto::WindowSize;
use rustix::{
    fs::{Gid, Mode, Uid},
    io::Errno,
    pty::OpenptFlags,
    termios::{LocalModes, SpecialCodeIndex, Winsize},
};

use crate::os::spawn::{Credentials, StandardStreams};

/// Group `tty` of every distribution.
const TTY_GROUP: u32 = 5;

/// Opens a terminal of this size that belongs to the user.
pub(crate) fn open(
    size: WindowSize,
    owner: Option<&Credentials>,
) -> Result<(OwnedFd, StandardStreams), Errno> {
    let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    rustix::pty::grantpt(&master)?;
    rustix::pty::unlockpt(&master)?;
    resize(&master, size)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
    if let Some(owner) = owner {
        let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(TTY_GROUP));
        rustix::fs::fchown(&slave, Some(uid), Some(gid))?;
        rustix::fs::fchmod(&slave, Mode::from_raw_mode(0o620))?;
    }
    let streams =
        StandardStreams { stdin: slave.try_clone_fd()?, stdout: slave.try_clone_fd()?, stderr: slave };
    Ok((master, streams))
}

/// Sets the window's size; the foreground group is notified by SIGWINCH.
pub(crate) fn resize(master: impl AsFd, size: WindowSize) -> Result<(), Errno> {
    let cells = |count: u32| u16::try_from(count).unwrap_or(u16::MAX);
    let size = Winsize { ws_row: cells(size.rows), ws_col: cells(size.columns), ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(master, size)
}

/// Returns the character that ends input.
pub(crate) fn end_of_file(master: impl AsFd) -> u8 {
    rustix::termios::tcgetattr(master).map_or(4, |settings| settings.special_codes[SpecialCodeIndex::VEOF])
}

/// How a terminal takes its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InputMode {
    /// In lines, which the terminal edits.
    Lines,
    /// In bytes, as programs that edit lines themselves want it.
    Bytes,
}

/// Returns how a terminal takes its input.
pub(crate) fn input_mode(master: impl AsFd) -> InputMode {
    match rustix::termios::tcgetattr(master) {
        Ok(settings) if !settings.local_modes.contains(LocalModes::ICANON) => InputMode::Bytes,
        Ok(_) | Err(_) => InputMode::Lines,
    }
}

trait TryCloneFd {
    fn try_clone_fd(&self) -> Result<OwnedFd, Errno>;
}

impl TryCloneFd for OwnedFd {
    fn try_clone_fd(&self) -> Result<OwnedFd, Errno> {
        rustix::io::fcntl_dupfd_cloexec(self, 3)
    }
}
