//! The gate of a machine with a tap: every read of the tap is a frame, every write makes one.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use super::gate::{Inward, Outward};
use super::handshake;
use super::one_at_a_time::OneAtATime;
use super::stream::Frames;

/// More than a tap gives at once.
const BUFFER_BYTES: usize = 128 * 1024;

/// Stands between until the machine's socket closes, or the network's. The threads end with the process: a read of a tap
/// cannot be woken.
pub(super) fn stand_between(
    machine: &UnixStream,
    tap: OwnedFd,
    network: UnixStream,
    outward: Outward,
    inward: Inward,
) -> io::Result<()> {
    let tap = File::from(tap);
    let passt = Arc::new(OneAtATime::new(network.try_clone()?)?);
    start("out", machine, carry_out(tap.try_clone()?, Arc::clone(&passt), outward))?;
    let (watcher, ender) = handshake::watch();
    start("handshakes", machine, move || ender.run(|answer| passt.put(answer)))?;
    start("in", machine, carry_in(network, tap, inward, watcher))?;
    wait_for_the_end(machine)
}

/// Starts one way. Its end is the end of the gate.
fn start(
    name: &str,
    machine: &UnixStream,
    carry: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    let machine = machine.try_clone()?;
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            if let Err(error) = carry() {
                eprintln!("network: {error}");
            }
            let _ = machine.shutdown(Shutdown::Both);
        })
        .map(drop)
}

fn wait_for_the_end(mut machine: &UnixStream) -> io::Result<()> {
    let mut nothing = [0; 64];
    // Whoever holds the other end has nothing to say.
    while machine.read(&mut nothing)? > 0 {}
    Ok(())
}

fn carry_out(mut tap: File, passt: Arc<OneAtATime>, mut gate: Outward) -> impl FnOnce() -> io::Result<()> {
    move || {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = tap.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            if let Some(frame) = gate.pass(buffer.get_mut(..count).unwrap_or_default()) {
                passt.put(frame)?;
            }
        }
    }
}

fn carry_in(
    network: UnixStream,
    mut tap: File,
    gate: Inward,
    handshakes: handshake::Watcher,
) -> impl FnOnce() -> io::Result<()> {
    move || {
        let mut frames = Frames::new();
        while frames.fill(&network)? {
            while let Some(frame) = frames.next()? {
                let Some(frame) = gate.pass(frame) else { continue };
                handshakes.see(frame);
                match tap.write(frame) {
                    // A frame that the kernel does not take is a lost frame, as on any network.
                    Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {}
                    written => written.map(drop)?,
                }
            }
        }
        Ok(())
    }
}
