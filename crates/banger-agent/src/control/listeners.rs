//! Waits until a process listens on a TCP port.
//!
//! The kernel sends no event when a socket begins to listen (its socket diagnosis only has events for sockets that end), so
//! its list of listeners is polled until the port is in it or the caller gives up. The agent polls rather than the host,
//! because a poll costs the guest only a read of some lines, but would cost the host a stream. It reads the list rather than
//! connecting, so that no service sees connections that end at once, and so that services which do not listen on loopback
//! count.

use std::{
    fs::File,
    io::{self, BufReader},
    time::Duration,
};

/// One list per address family; a kernel without IPv6 does not have the second one.
const LISTS: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// `TCP_LISTEN` of the kernel's `tcp_states.h`, in the list's format.
const LISTENING: &str = "0A";
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// The kernel's list cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{list}`")]
pub(crate) struct ListError {
    list: &'static str,
    source: io::Error,
}

/// Returns when a process listens on the port.
pub(crate) async fn wait_for(port: u16) -> Result<(), ListError> {
    while !is_listened_on(port)? {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    Ok(())
}

fn is_listened_on(port: u16) -> Result<bool, ListError> {
    for list in LISTS {
        let failed = |source| ListError { list, source };
        let file = match File::open(list) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(failed(source)),
        };
        if has_listener(BufReader::new(file), port).map_err(failed)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads the listeners, which the kernel lists before all connections.
fn has_listener(list: impl io::BufRead, port: u16) -> io::Result<bool> {
    for line in list.lines().skip(1) {
        match listener(&line?) {
            Some(found) if found == port => return Ok(true),
            Some(_) => {}
            None => return Ok(false),
        }
    }
    Ok(false)
}

/// Returns the port of a line `0: 0100007F:1F90 00000000:0000 0A ...` of the list; `None` for a connection.
fn listener(line: &str) -> Option<u16> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, state) = (fields.next()?, fields.nth(1)?);
    let port = local.rsplit(':').next()?;
    (state == LISTENING).then(|| u16::from_str_radix(port, 16).ok())?
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const LIST: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1 0
   1: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000
   2: 0100007F:A1B2 0100007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0
";

    #[test]
    fn only_listeners_count_and_only_their_own_ports() {
        for (port, is_there) in [(8080, true), (22, true), (80, false), (0xa1b2, false), (0, false)] {
            assert_eq!(has_listener(LIST.as_bytes(), port).unwrap(), is_there, "{port}");
        }
        assert!(!has_listener(&b""[..], 22).unwrap());
        assert_eq!(listener("garbage"), None);
    }

    #[tokio::test]
    async fn a_wait_ends_when_somebody_begins_to_listen() {
        for address in ["127.0.0.1:0", "[::]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let port = listener.local_addr().unwrap();
            assert!(is_listened_on(port.port()).unwrap(), "{address}");
            drop(listener);
            assert!(!is_listened_on(port.port()).unwrap(), "{address}");
            let begin_later = async {
                tokio::task::yield_now().await;
                TcpListener::bind(port).unwrap()
            };
            let (waited, _listener) = tokio::join!(wait_for(port.port()), begin_later);
            waited.unwrap();
        }
    }
}
