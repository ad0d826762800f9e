//! The processes of a machine's network. Each gets its end of a socket pair, so they end with QEMU, or with us if QEMU
//! never starts.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use banger_sys::process::ProcessIdentity;
use rustix::net::sockopt;
use tracing::warn;

use super::passt;
use crate::contract::{Network as Wanted, StartError};
use crate::launch::{Inherited, Launch, Started, launch};
use crate::network_gate;

/// Largest frame that passt takes. Connections end in passt, so this is no matter of the path behind it. With frames of
/// 1500 bytes passt 2023-03-09 falls into sending everything again and again: 2 MB/s or a standstill instead of 60 MB/s.
pub(super) const MTU: u32 = 65520;

/// Room in the sockets between the processes, as far as the host allows: half as fast again as its default.
const SOCKET_BYTES: usize = 4 * 1024 * 1024;

const GATE_PROGRAM: &str = "network-gate";

/// What runs beside QEMU, with its name.
#[derive(Default)]
pub(super) struct Network(Vec<(&'static str, Started)>);

impl Network {
    /// Starts what the plan wants and returns QEMU's end.
    pub(super) fn start(
        wanted: &Wanted,
        gate: Option<&Path>,
        errors: &File,
    ) -> Result<(Self, Option<OwnedFd>), StartError> {
        match wanted {
            Wanted::None => Ok((Self::default(), None)),
            Wanted::UserMode { .. } => Self::start_user_mode(gate, errors),
        }
    }

    fn start_user_mode(gate: Option<&Path>, errors: &File) -> Result<(Self, Option<OwnedFd>), StartError> {
        let failed = |program| move |source| StartError::Spawn { program, source };
        let (inner, outer) = pair().map_err(failed(passt::PROGRAM))?;
        let log = || errors.try_clone().map_err(failed(passt::PROGRAM));
        let mut network = Self(vec![(passt::PROGRAM, passt::start(outer.into(), log()?)?)]);
        let Some(program) = gate else {
            warn!("the network has no gate: a guest can reach what listens on this host");
            return Ok((network, Some(inner.into())));
        };
        let (machine, gate_end) = pair().map_err(failed(GATE_PROGRAM))?;
        let gate = launch(Launch {
            program: program.to_owned(),
            arguments: vec![network_gate::ARGUMENT.into()],
            input: Some(gate_end.into()),
            output: Some(inner.into()),
            errors: log()?,
            inherited: Inherited::default(),
        })
        .map_err(failed(GATE_PROGRAM))?;
        network.0.push((GATE_PROGRAM, gate));
        Ok((network, Some(machine.into())))
    }

    pub(super) fn processes(&self) -> impl Iterator<Item = ProcessIdentity> {
        self.0.iter().map(|(_, started)| started.identity)
    }

    /// Returns the name of one that has ended already: it did not like its options.
    pub(super) fn missing(&self) -> Option<&'static str> {
        self.0.iter().find(|(_, started)| !started.identity.is_alive()).map(|(program, _)| *program)
    }

    /// Lets them live as long as QEMU. The runtime reaps them.
    pub(super) fn release(self) {
        for (_, started) in self.0 {
            drop(started.release());
        }
    }
}

fn pair() -> io::Result<(UnixStream, UnixStream)> {
    let (one, other) = UnixStream::pair()?;
    for socket in [&one, &other] {
        sockopt::set_socket_send_buffer_size(socket, SOCKET_BYTES)?;
    }
    Ok((one, other))
}
