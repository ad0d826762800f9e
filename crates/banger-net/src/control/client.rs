//! The daemon's end.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_sys::socket::connect_blocking;

use super::message::{Counters, Forward, Reply, Request, Rules};

/// The network answers at once, unless the host is very busy.
const DEADLINE: Duration = Duration::from_secs(5);

/// Returns where the network of a machine listens.
pub(crate) fn place(directory: &Path) -> PathBuf {
    directory.join("network-control.sock")
}

/// Why a network did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// It cannot be reached.
    #[error("cannot talk to the network's process")]
    Talk(#[source] io::Error),
    /// The kernel does not allow it.
    #[error("the host refuses")]
    Refused(#[source] io::Error),
    /// There is no such forward.
    #[error("there is no such forward")]
    Unknown,
    /// It does not know the request: it is of an older version.
    #[error("the network's process is of another version; restart the VM")]
    Version,
}

/// A conversation with the network of a machine.
pub struct NetworkControl(BufReader<UnixStream>);

impl NetworkControl {
    /// Connects to the network of the machine whose files lie in `directory`.
    ///
    /// # Errors
    /// [`ControlError::Talk`].
    pub fn connect(directory: &Path) -> Result<Self, ControlError> {
        let socket = connect_blocking(&place(directory)).map_err(ControlError::Talk)?;
        socket.set_read_timeout(Some(DEADLINE)).map_err(ControlError::Talk)?;
        socket.set_write_timeout(Some(DEADLINE)).map_err(ControlError::Talk)?;
        Ok(Self(BufReader::new(socket)))
    }

    /// Returns the version of its words.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn version(&mut self) -> Result<u32, ControlError> {
        match self.ask(&Request::Version)? {
            Reply::Version(version) => Ok(version),
            other => Err(unexpected(&other)),
        }
    }

    /// Opens a port of the host, and returns it with its number.
    ///
    /// # Errors
    /// [`ControlError::Refused`] when the port is taken or not allowed.
    pub fn add_forward(&mut self, forward: Forward) -> Result<Forward, ControlError> {
        match self.ask(&Request::AddForward(forward))? {
            Reply::Added(forward) => Ok(forward),
            other => Err(unexpected(&other)),
        }
    }

    /// Closes a port of the host. Connections that are made stay.
    ///
    /// # Errors
    /// [`ControlError::Unknown`].
    pub fn remove_forward(&mut self, forward: Forward) -> Result<(), ControlError> {
        match self.ask(&Request::RemoveForward(forward))? {
            Reply::Removed => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Returns the open ports.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn forwards(&mut self) -> Result<Vec<Forward>, ControlError> {
        match self.ask(&Request::ListForwards)? {
            Reply::Forwards(forwards) => Ok(forwards),
            other => Err(unexpected(&other)),
        }
    }

    /// Replaces what is open to the guest besides the world. Connections that are not allowed any more are broken.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn set_rules(&mut self, rules: Rules) -> Result<(), ControlError> {
        match self.ask(&Request::SetRules(rules))? {
            Reply::RulesSet => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Returns what the network is busy with.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn counters(&mut self) -> Result<Counters, ControlError> {
        match self.ask(&Request::Counters)? {
            Reply::Counters(counters) => Ok(counters),
            other => Err(unexpected(&other)),
        }
    }

    fn ask(&mut self, request: &Request) -> Result<Reply, ControlError> {
        let failed = ControlError::Talk;
        let mut line = serde_json::to_vec(request).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        self.0.get_mut().write_all(&line).map_err(failed)?;
        line.clear();
        self.0.read_until(b'\n', &mut line).map_err(failed)?;
        serde_json::from_slice(&line).map_err(|error| failed(error.into()))
    }
}

fn unexpected(reply: &Reply) -> ControlError {
    match reply {
        Reply::Refused(number) => ControlError::Refused(io::Error::from_raw_os_error(*number)),
        Reply::Unknown => ControlError::Unknown,
        Reply::Version(_)
        | Reply::Added(_)
        | Reply::Removed
        | Reply::Forwards(_)
        | Reply::RulesSet
        | Reply::Counters(_)
        | Reply::Bad => ControlError::Version,
    }
}
