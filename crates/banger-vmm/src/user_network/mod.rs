//! A machine's network without root: passt, which opens the guest's connections as this user, and the gate that keeps
//! the guest from the host. Each process gets its end of a socket pair, so it ends with the VMM, or with us if the VMM
//! never starts.

pub(crate) mod passt;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::net::sockopt;
use tracing::warn;

use crate::companions::Companions;
use crate::contract::StartError;
use crate::launch::{Inherited, Launch, launch};
use crate::network_gate;

/// Largest packet that passt takes. Connections end in passt, so this is no matter of the path behind it. With packets
/// of 1500 bytes passt 2023-03-09 falls into sending everything again and again: 2 MB/s or a standstill instead of 60 MB/s.
pub(crate) const MTU: u32 = 65520;

/// Room in the sockets between the processes, as far as the host allows: half as fast again as its default.
const SOCKET_BYTES: usize = 4 * 1024 * 1024;

const GATE_PROGRAM: &str = "network-gate";

/// Starts the network of a VMM that speaks frames on a socket, and returns its end.
pub(crate) fn start_for_stream(
    gate: Option<&Path>,
    errors: &File,
) -> Result<(Companions, OwnedFd), StartError> {
    let (mut companions, inner) = start_passt(errors)?;
    let Some(program) = gate else {
        warn!("the network has no gate: a guest can reach what listens on this host");
        return Ok((companions, inner.into()));
    };
    let machine = start_gate(&mut companions, program, &[network_gate::ARGUMENT], inner, errors)?;
    Ok((companions, machine.into()))
}

/// Starts the network of a VMM that has a tap, and returns the socket by which the gate is given the other tap of its
/// bridge. While that socket is open, the gate lives.
pub(crate) fn start_for_tap(gate: &Path, errors: &File) -> Result<(Companions, OwnedFd), StartError> {
    let (mut companions, inner) = start_passt(errors)?;
    let arguments = [network_gate::ARGUMENT, network_gate::TAP_ARGUMENT];
    let machine = start_gate(&mut companions, gate, &arguments, inner, errors)?;
    Ok((companions, machine.into()))
}

fn start_passt(errors: &File) -> Result<(Companions, UnixStream), StartError> {
    let (inner, outer) = pair().map_err(failed(passt::PROGRAM))?;
    let log = errors.try_clone().map_err(failed(passt::PROGRAM))?;
    let mut companions = Companions::default();
    companions.add(passt::PROGRAM, passt::start(outer.into(), log)?);
    Ok((companions, inner))
}

fn start_gate(
    companions: &mut Companions,
    program: &Path,
    arguments: &[&str],
    network: UnixStream,
    errors: &File,
) -> Result<UnixStream, StartError> {
    let (machine, gate_end) = pair().map_err(failed(GATE_PROGRAM))?;
    let gate = launch(Launch {
        program: program.to_owned(),
        arguments: arguments.iter().map(Into::into).collect(),
        input: Some(gate_end.into()),
        output: Some(network.into()),
        errors: errors.try_clone().map_err(failed(GATE_PROGRAM))?,
        inherited: Inherited::default(),
    })
    .map_err(failed(GATE_PROGRAM))?;
    companions.add(GATE_PROGRAM, gate);
    Ok(machine)
}

fn failed(program: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::Spawn { program, source }
}

fn pair() -> io::Result<(UnixStream, UnixStream)> {
    let (one, other) = UnixStream::pair()?;
    for socket in [&one, &other] {
        sockopt::set_socket_send_buffer_size(socket, SOCKET_BYTES)?;
    }
    Ok((one, other))
}
