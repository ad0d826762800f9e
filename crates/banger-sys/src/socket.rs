//! Unix sockets that only this user may use. Their directories may have any length: where a path does not fit the address of
//! a socket, it is reached through a descriptor.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::net::UnixStream;

use crate::files::remove_any;

/// Longest path in a Unix socket's address: `sun_path` of `unix(7)` has 108 bytes including the terminator.
const PATH_BYTES_MAX: usize = 107;

/// Opens a listening socket, replacing an older one.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    remove_any(path)?;
    let listener = bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Opens a listening socket for the runtime, replacing an older one.
pub fn listen_async(path: &Path) -> io::Result<tokio::net::UnixListener> {
    let listener = listen(path)?;
    listener.set_nonblocking(true)?;
    tokio::net::UnixListener::from_std(listener)
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    if path.as_os_str().len() <= PATH_BYTES_MAX {
        return UnixListener::bind(path);
    }
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let directory = open_directory(directory)?;
    UnixListener::bind(through(directory.as_raw_fd()).join(name))
}

/// Connects to a socket in a directory to which a VMM may write. A link in its place is not followed, because it could lead
/// us to sockets of the host that the VMM itself cannot reach.
pub async fn connect(path: &Path) -> io::Result<UnixStream> {
    let place = open(path, OFlags::NOFOLLOW)?;
    UnixStream::connect(through(place.as_raw_fd())).await
}

/// As [`connect`], and waits for room in the listener's queue.
pub fn connect_blocking(path: &Path) -> io::Result<std::os::unix::net::UnixStream> {
    let place = open(path, OFlags::NOFOLLOW)?;
    std::os::unix::net::UnixStream::connect(through(place.as_raw_fd()))
}

/// Connects to a socket at a path that the user chose, whose links are followed.
pub async fn connect_following_links(path: &Path) -> io::Result<UnixStream> {
    let place = open(path, OFlags::empty())?;
    UnixStream::connect(through(place.as_raw_fd())).await
}

fn open(path: &Path, how: OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC | how, Mode::empty())?)
}

/// Opens a directory, so that sockets in it can be reached [`through`] it.
pub fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    open(path, OFlags::DIRECTORY)
}

/// Returns the short path of what a process has open under this number, for that process.
#[must_use]
pub fn through(descriptor: RawFd) -> PathBuf {
    format!("/proc/self/fd/{descriptor}").into()
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
        assert!(connect_following_links(&path("link")).await.is_ok());
    }

    #[tokio::test]
    async fn the_path_of_a_socket_may_have_any_length() {
        let directory = tempfile::tempdir().unwrap();
        let long = directory.path().join("d".repeat(200)).join("d".repeat(200));
        std::fs::create_dir_all(&long).unwrap();
        let path = long.join("socket");
        drop(listen(&path).unwrap());
        let _listener = listen_async(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(connect(&path).await.is_ok());
        assert!(connect_blocking(&path).is_ok());
        assert!(connect_following_links(&path).await.is_ok());
    }
}
