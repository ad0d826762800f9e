//! The listening sockets of the guest and the processes that hold them, read from `/proc`, so that no image needs a tool for
//! it.
//!
//! ```text
//! /proc/net/{tcp,tcp6,udp,udp6} ─▶ table: address, port, inode ─┐
//! /proc/<pid>/fd/* ─▶ `socket:[inode]` ─▶ owners ───────────────┴─▶ listeners
//! ```

mod owners;
mod table;

use std::{io, path::Path};

use banger_agent_proto::{Listener, listener::Protocol};

use table::Socket;

/// The kernel's tables. A guest without IPv6 has only half of them.
const TABLES: [(&str, Protocol); 4] = [
    ("net/tcp", Protocol::Tcp),
    ("net/tcp6", Protocol::Tcp),
    ("net/udp", Protocol::Udp),
    ("net/udp6", Protocol::Udp),
];

/// The kernel's tables of sockets cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{path}`")]
pub(crate) struct ListenersError {
    path: String,
    source: io::Error,
}

/// Lists the listening sockets by protocol, port and address. It reads all of `/proc`, so do not call it on the runtime's
/// thread.
pub(crate) fn list(proc: &Path) -> Result<Vec<Listener>, ListenersError> {
    let mut sockets = Vec::new();
    for (table, protocol) in TABLES {
        let path = proc.join(table);
        let found = match table::read(&path, protocol) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(ListenersError { path: path.display().to_string(), source }),
        };
        sockets.extend(found.into_iter().map(|socket| (protocol, socket)));
    }
    let mut owners = owners::of(proc, &sockets.iter().map(|(_, socket)| socket.inode).collect());
    sockets.sort_by_key(|(protocol, Socket { address, inode })| {
        (i32::from(*protocol), address.port(), address.ip(), *inode)
    });
    Ok(sockets
        .into_iter()
        .map(|(protocol, Socket { address, inode })| Listener {
            protocol: protocol.into(),
            address: address.ip().to_string(),
            port: address.port().into(),
            processes: owners.remove(&inode).unwrap_or_default(),
        })
        .collect())
}
