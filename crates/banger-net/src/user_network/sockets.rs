//! Sockets that carry frames between processes.

use std::io;
use std::os::unix::net::UnixStream;

use rustix::net::sockopt;

/// Room in the sockets between the processes, as far as the host allows. The kernel doubles it.
const SOCKET_BYTES: usize = 512 * 1024;

/// Makes the two ends of a socket with room for a few frames.
pub(crate) fn pair() -> io::Result<(UnixStream, UnixStream)> {
    let (one, other) = UnixStream::pair()?;
    for socket in [&one, &other] {
        make_room(socket)?;
    }
    Ok((one, other))
}

/// Gives a socket room for a few frames that leave by it.
pub(crate) fn make_room(socket: &UnixStream) -> io::Result<()> {
    sockopt::set_socket_send_buffer_size(socket, SOCKET_BYTES).map_err(io::Error::from)
}
