//! The gate of a machine with a tap: every read of the tap is a frame, every write makes one.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::gate::{Inward, Outward};
use super::handshake;
use super::one_at_a_time::OneAtATime;
use super::stream::Frames;

/// More than a tap gives at once.
const BUFFER_BYTES: usize = 128 * 1024;

/// Stands between until the machine's process ends, or the network's socket closes. The threads end with the process: a read of
/// a tap cannot be woken.
pub(super) fn stand_between(
    machine: &OwnedFd,
    tap: OwnedFd,
    network: UnixStream,
    outward: Outward,
    inward: Inward,
) -> io::Result<()> {
    let (bell, woken) = UnixStream::pair()?;
    let tap = File::from(tap);
    let passt = Arc::new(OneAtATime::new(network.try_clone()?)?);
    start("out", &bell, carry_out(tap.try_clone()?, Arc::clone(&passt), outward))?;
    let (watcher, ender) = handshake::watch();
    start("handshakes", &bell, move || ender.run(|answer| passt.put(answer)))?;
    start("in", &bell, carry_in(network, tap, inward, watcher))?;
    wait_for_the_end(machine, &woken)
}

/// Starts one way. Its end is the end of the gate.
fn start(
    name: &str,
    bell: &UnixStream,
    carry: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    let bell = bell.try_clone()?;
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            if let Err(error) = carry() {
                eprintln!("{error}");
            }
            let _ = bell.shutdown(Shutdown::Both);
        })
        .map(drop)
}

/// Waits until the machine's process has ended, or one way through the gate has: then its bell is shut.
fn wait_for_the_end(machine: &OwnedFd, woken: &UnixStream) -> io::Result<()> {
    let mut either = [
        PollFd::from_borrowed_fd(machine.as_fd(), PollFlags::IN),
        PollFd::from_borrowed_fd(woken.as_fd(), PollFlags::IN),
    ];
    loop {
        match poll(&mut either, None) {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(_some) => return Ok(()),
        }
    }
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

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::*;

    #[test]
    fn the_end_of_the_machine_and_that_of_one_way_are_the_end_of_the_gate() {
        let mut machine = Command::new("sleep").arg("1000").spawn().unwrap();
        let process = pidfd_open(Pid::from_child(&machine), PidfdFlags::empty()).unwrap();
        let (bell, woken) = UnixStream::pair().unwrap();
        start("one way", &bell, || Err(io::Error::other("for a test"))).unwrap();
        wait_for_the_end(&process, &woken).unwrap();
        let (_bell, woken) = UnixStream::pair().unwrap();
        machine.kill().unwrap();
        wait_for_the_end(&process, &woken).unwrap();
        machine.wait().unwrap();
    }
}
