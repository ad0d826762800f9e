//! The removal of a kernel or image.

use std::path::PathBuf;

use banger_model::ArtifactKind;
use banger_sys::blocking::run_blocking;
use banger_sys::files::remove_whole;
use banger_sys::keyed_lock::{AloneGuard, KeyedGuard};

use super::error::PullError;

/// A kernel or image that nobody pulls and no machine is started from: it can be removed. Dropped, it stays.
#[derive(Debug)]
pub struct Removal {
    pub(super) kind: ArtifactKind,
    pub(super) name: String,
    pub(super) place: PathBuf,
    pub(super) guards: (KeyedGuard, AloneGuard),
}

impl Removal {
    /// Removes it. What machines have open stays readable for them.
    ///
    /// # Errors
    /// [`PullError::Remove`].
    pub async fn remove(self) -> Result<(), PullError> {
        let Self { kind, name, place, guards } = self;
        // The guards go with the work, not with its caller: nobody may put another one there before it is done.
        let removed = run_blocking(move |_| (remove_whole(&place), guards)).await.0;
        match removed {
            Ok(true) => Ok(()),
            Ok(false) => Err(PullError::NotHere { kind, name }),
            Err(source) => Err(PullError::Remove { kind, name, source }),
        }
    }
}
