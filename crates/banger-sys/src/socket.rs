//! Unix sockets that only this user may use.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::net::UnixStream;

use crate::files::remove_any;

/// Longest path of a Unix socket: `sun_path` of `unix(7)` has 108 bytes including the terminator.
pub const PATH_BYTES_MAX: usize = 107;

/// Opens a listening socket, replacing an older one.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    remove_any(path)?;
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Opens a listening socket for the runtime, replacing an older one.
pub fn listen_async(path: &Path) -> io::Result<tokio::net::UnixListener> {
    let listener = listen(path)?;
    listener.set_nonblocking(true)?;
    tokio::net::UnixListener::from_std(listener)
}

/// Connects to a socket in a directory to which a VMM may write. A link in its place is not followed, because it could lead
/// us to sockets of the host that the VMM itself cannot reach.
pub async fn connect(path: &Path) -> io::Result<UnixStream> {
    let place = rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    UnixStream::connect(format!("/proc/self/fd/{}", place.as_raw_fd())).await
}

/// Passes at most two descriptors to the process that reads the other end of a socket.
pub fn hand_over(to: impl AsFd, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    if !message.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    // Descriptors can only be sent together with bytes.
    sendmsg(to, &[IoSlice::new(b"d")], &mut message, SendFlags::empty())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_connected_to_and_a_link_to_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let _listener = listen_async(&path("socket")).unwrap();
        std::os::unix::fs::symlink("socket", path("link")).unwrap();
        assert!(UnixStream::connect(path("link")).await.is_ok());
        assert!(connect(&path("socket")).await.is_ok());
        assert!(connect(&path("link")).await.is_err());
        drop(UnixListener::bind(path("deaf")).unwrap());
        assert_eq!(connect(&path("deaf")).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(connect(&path("none")).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
