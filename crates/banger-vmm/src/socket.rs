//! Unix sockets that only this user may use.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;

use banger_sys::files::remove_any;

/// Longest path of a Unix socket: `sun_path` of `unix(7)` has 108 bytes with its end mark.
pub(crate) const PATH_BYTES_MAX: usize = 107;

/// Opens a socket in the place of an older one.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    remove_any(path)?;
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Opens a socket for the runtime in the place of an older one.
pub(crate) fn listen_async(path: &Path) -> io::Result<tokio::net::UnixListener> {
    let listener = listen(path)?;
    listener.set_nonblocking(true)?;
    tokio::net::UnixListener::from_std(listener)
}
