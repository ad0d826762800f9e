//! The network's end of the conversation with the daemon.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};

use super::shared::Shared;
use super::slab::{Id, Slab};
use super::source::Source;
use super::switch::Switch;
use crate::control::{Reply, Request};

/// Daemons that talk at once.
const CONNECTIONS_MAX: usize = 8;
/// Longest request.
const LINE_BYTES_MAX: usize = 64 * 1024;

pub(super) struct Control {
    listener: OwnedFd,
    connections: Slab<Connection>,
}

struct Connection {
    socket: OwnedFd,
    line: Vec<u8>,
}

impl Control {
    pub(super) fn new(listener: OwnedFd, shared: &Shared) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&listener, true)?;
        shared.watch_reading(&listener, Source::ControlDoor)?;
        Ok(Self { listener, connections: Slab::new() })
    }

    /// Lets in who knocks. The socket's file is for its owner alone.
    pub(super) fn accept(&mut self, shared: &Shared) {
        while let Ok(socket) = accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            if self.connections.len() == CONNECTIONS_MAX {
                continue;
            }
            let id = self.connections.insert_with(|_id| Connection { socket, line: Vec::new() });
            let watched = self
                .connections
                .get_mut(id)
                .map(|connection| shared.watch_reading(&connection.socket, Source::Control(id)));
            if !matches!(watched, Some(Ok(()))) {
                self.connections.remove(id);
            }
        }
    }

    /// Does what is asked.
    pub(super) fn serve(&mut self, id: Id, switch: &mut Switch) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.serve(switch).is_none() {
            self.connections.remove(id);
        }
    }
}

impl Connection {
    /// `None`: it has ended, or does not behave.
    fn serve(&mut self, switch: &mut Switch) -> Option<()> {
        let mut part = [0; 4096];
        let count = match recv(&self.socket, &mut part, RecvFlags::empty()) {
            Ok((_, 0)) => return None,
            Ok((_, count)) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Some(()),
            Err(_broken) => return None,
        };
        self.line.extend_from_slice(part.get(..count)?);
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            let reply = match serde_json::from_slice::<Request>(&line) {
                Ok(request) => switch.obey(request),
                Err(_unknown) => Reply::Bad,
            };
            let mut answer = serde_json::to_vec(&reply).ok()?;
            answer.push(b'\n');
            // An answer is shorter than a socket's buffer, so whoever does not read it has asked too often.
            let sent = send(&self.socket, &answer, SendFlags::NOSIGNAL).ok()?;
            (sent == answer.len()).then_some(())?;
        }
        (self.line.len() <= LINE_BYTES_MAX).then_some(())
    }
}
