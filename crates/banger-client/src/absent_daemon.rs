//! What finding a daemon and starting one have in common: why there is none, and how long it is waited for.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use banger_sys::files::FileError;

use crate::VERSION;
use crate::client::ClientError;
use crate::spawn::SpawnError;

/// How long a daemon may take to be ready, and to end.
pub(crate) const DAEMON_DEADLINE: Duration = Duration::from_secs(10);
/// How long a running daemon may take to listen anew.
pub(crate) const LISTEN_DEADLINE: Duration = Duration::from_secs(1);
/// Between two tries while another command starts the daemon, or the daemon listens anew.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Why there is no daemon to speak to.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum EnsureError {
    #[error("cannot create the daemon's directory")]
    RuntimeDirectory { source: FileError },
    #[error(transparent)]
    Spawn(SpawnError),
    #[error("cannot connect to the daemon")]
    Ask { source: ClientError },
    #[error("the daemon is banger {daemon}, newer than this banger {VERSION}, and uses another API version")]
    Newer { daemon: String },
    #[error(
        "the daemon is banger {daemon} and uses another API version than this banger {VERSION}; it is busy, so it was not replaced"
    )]
    AtWork { daemon: String },
    #[error("the daemon (process {pid}) does not stop")]
    DoesNotEnd { pid: u32 },
    #[error("cannot wait for the end of the daemon (process {pid})")]
    Watch { pid: u32, source: io::Error },
    #[error("cannot find out which process owns the socket `{}`", socket.display())]
    Peer { socket: PathBuf, source: io::Error },
    #[error("cannot read the daemon's lock `{}`", path.display())]
    Lock { path: PathBuf, source: io::Error },
    #[error("the daemon runs as process {pid}, but does not listen on `{}`", socket.display())]
    Lost { pid: u32, socket: PathBuf },
    #[error("the daemon reports that it is already running, but does not listen on `{}`", socket.display())]
    NotListening { socket: PathBuf },
}

/// Returns whether the error means that no daemon is there.
#[must_use]
pub fn nobody_listens(error: &ClientError) -> bool {
    match error {
        ClientError::NotReachable { source, .. } => {
            matches!(
                source.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::ConnectionRefused
            )
        }
        _ => false,
    }
}
