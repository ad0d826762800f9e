//! The daemon that commands speak to, made sure of by `banger-client`; what that means is worded here.

use std::sync::Once;

use banger_api::DaemonInfo;
use banger_client::{Client, ClientError, EnsureError, SpawnError};
use banger_sys::paths::Paths;

use crate::error::CliError;
use crate::render::say;

/// Returns a client of a daemon of the right version.
pub(crate) async fn ensure(paths: &Paths) -> Result<Client, EnsureError> {
    banger_client::ensure(paths, warn_about_work).await
}

impl From<EnsureError> for CliError {
    fn from(error: EnsureError) -> Self {
        let hint = hint(&error);
        Self::failed(error).with_hint(hint)
    }
}

/// Returns what to do where no daemon can be reached.
pub(crate) fn hint(error: &EnsureError) -> Option<String> {
    match error {
        EnsureError::Spawn(error) => hint_of_start(error),
        EnsureError::Newer { .. } => {
            Some("use the newer banger, or stop its daemon: banger daemon stop".to_owned())
        }
        EnsureError::AtWork { .. } => {
            Some("wait until it is idle, or stop it now: banger daemon stop --force".to_owned())
        }
        EnsureError::DoesNotEnd { pid } => {
            Some(format!("kill -9 {pid}; VMs keep running without the daemon"))
        }
        EnsureError::Lost { .. } | EnsureError::Ask { source: ClientError::Silent { .. } } => {
            Some("stop it; VMs keep running: banger daemon stop --force".to_owned())
        }
        EnsureError::RuntimeDirectory { .. }
        | EnsureError::Ask { .. }
        | EnsureError::Watch { .. }
        | EnsureError::Peer { .. }
        | EnsureError::Lock { .. }
        | EnsureError::NotListening { .. } => None,
    }
}

fn hint_of_start(error: &SpawnError) -> Option<String> {
    match error {
        SpawnError::Missing => Some("install `bangerd` beside `banger`, or name it in BANGERD".to_owned()),
        SpawnError::Ended { log } | SpawnError::NotReady { log, .. } => {
            Some(format!("see `{}`", log.display()))
        }
        SpawnError::Start { .. } | SpawnError::Refused { .. } => None,
    }
}

/// Warns, but not for each connection of one command again.
fn warn_about_work(info: &DaemonInfo) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        say(&format!(
            "the daemon (banger {}) has another version and is busy; it is replaced once it is idle",
            info.version
        ));
    });
}
