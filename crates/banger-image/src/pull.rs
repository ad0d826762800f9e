//! Makes one kernel or image be there, once, however many ask: the same steps for both kinds.
//!
//! The lock of a name is held while it is pulled. Under the lock everybody looks again: what another caller made in the
//! meantime is a success for who only wants it to be there, and "already pulled" for who asked to pull it.

use std::error::Error;
use std::path::PathBuf;

use banger_sys::files::{FileError, StagedDirectory, create_private_directory};
use banger_sys::keyed_lock::{KeyedGuard, KeyedLock};
use futures::future::BoxFuture;

use crate::artifact::{Artifact, Kind, Manifest};
use crate::blocking::run_blocking;
use crate::image::ImageBuildError;
use crate::kernel::{KernelBuildError, RefreshError};
use crate::oci::OciPullError;
use crate::space::{ran_out_of_space, shortage};
use crate::store::{Store, StoreError};

/// What a pull does with a kernel or image that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// Refuses.
    Never,
    /// Makes it anew, also when the local one is damaged.
    Always,
}

impl Replace {
    /// What `--force` means.
    #[must_use]
    pub fn when(forced: bool) -> Self {
        if forced { Self::Always } else { Self::Never }
    }
}

/// Why a kernel or image is not there.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// Nobody knows how to make it.
    #[error("the {kind} `{name}` is neither local nor in the catalog")]
    NotInCatalog {
        /// Kernel or image.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// It is there; only said to who asked to pull it.
    #[error("the {kind} `{name}` is already pulled")]
    AlreadyPulled {
        /// Kernel or image.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// The local one cannot be used.
    #[error("cannot use the local {kind} `{name}`")]
    Local {
        /// Kernel or image.
        kind: Kind,
        /// Its name.
        name: String,
        /// Why.
        source: StoreError,
    },
    /// There is not enough room to begin.
    #[error(
        "the {kind} `{name}` needs {} MB in `{}`, and {} MB are free",
        needed.div_ceil(1_000_000), path.display(), free / 1_000_000
    )]
    TooLittleSpace {
        /// Kernel or image.
        kind: Kind,
        /// Its name.
        name: String,
        /// Where.
        path: PathBuf,
        /// Bytes.
        needed: u64,
        /// Bytes.
        free: u64,
    },
    /// The disk became full on the way. Nothing is left of the pull.
    #[error("the disk became full while the {kind} `{name}` was pulled")]
    DiskFull {
        /// Kernel or image.
        kind: Kind,
        /// Its name.
        name: String,
        /// What could not be written.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The kernel could not be made.
    #[error("cannot pull the kernel `{name}`")]
    Kernel {
        /// Its name.
        name: String,
        /// Why.
        source: KernelBuildError,
    },
    /// The image could not be made.
    #[error("cannot pull the image `{name}`")]
    Image {
        /// Its name.
        name: String,
        /// Why.
        source: ImageBuildError,
    },
    /// The kernel has an older agent, which could not be replaced.
    #[error("cannot put this banger's agent into the kernel `{name}`")]
    Refresh {
        /// Its name.
        name: String,
        /// Why.
        source: RefreshError,
    },
    /// The image could not be pulled from where it is.
    #[error("cannot pull the image `{name}`")]
    Oci {
        /// Its name.
        name: String,
        /// Why.
        source: Box<OciPullError>,
    },
    /// An image from elsewhere may not look like one of the catalog.
    #[error("`{name}` is the name of an image of the catalog; give `{source_text}` another one")]
    NameOfCatalog {
        /// The name.
        name: String,
        /// Where the image would have come from.
        source_text: String,
    },
    /// It was made and could not take its place.
    #[error("cannot publish the {kind} `{name}`")]
    Publish {
        /// Kernel or image.
        kind: Kind,
        /// Its name.
        name: String,
        /// Why.
        source: FileError,
    },
}

impl PullError {
    /// What to type or do next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotInCatalog { kind, .. } => Some(format!("banger {kind} list")),
            Self::AlreadyPulled { kind, name } => Some(format!("banger {kind} pull --force {name}")),
            Self::Local { source, .. } => source.hint(),
            Self::Kernel { source, .. } => source.hint(),
            Self::Image { source, .. } => source.hint(),
            Self::Oci { source, .. } => source.hint(),
            Self::NameOfCatalog { source_text, .. } => {
                Some(format!("banger image pull {source_text} --name <name>"))
            }
            Self::TooLittleSpace { .. }
            | Self::DiskFull { .. }
            | Self::Refresh { .. }
            | Self::Publish { .. } => None,
        }
    }
}

/// Fills a staging directory.
pub(crate) type Build<'a> =
    Box<dyn FnOnce(StagedDirectory) -> BoxFuture<'a, Result<StagedDirectory, PullError>> + Send + 'a>;

/// The kernels or the images, with their pull locks.
#[derive(Debug)]
pub(crate) struct Pulls<M: Manifest> {
    pub(crate) store: Store<M>,
    locks: KeyedLock<M::Name>,
    /// Free bytes that a pull needs to begin.
    bytes_needed: u64,
}

impl<M: Manifest> Pulls<M> {
    pub(crate) fn new(store: Store<M>, bytes_needed: u64) -> Self {
        Self { store, locks: KeyedLock::default(), bytes_needed }
    }

    /// Returns the local one, made by this caller or by another one in the meantime.
    pub(crate) async fn ensure(&self, name: &M::Name, build: Build<'_>) -> Result<Artifact<M>, PullError> {
        if let Some(found) = self.usable(name)? {
            return Ok(found);
        }
        let held = self.lock(name).await;
        match self.usable(name)? {
            Some(found) => Ok(found),
            None => self.make(&held, self.bytes_needed, name, build).await,
        }
    }

    /// Makes it.
    pub(crate) async fn pull(
        &self,
        name: &M::Name,
        replace: Replace,
        build: Build<'_>,
    ) -> Result<Artifact<M>, PullError> {
        self.pull_needing(self.bytes_needed, name, replace, build).await
    }

    /// Makes it, where it is known how many free bytes that needs to begin.
    pub(crate) async fn pull_needing(
        &self,
        bytes_needed: u64,
        name: &M::Name,
        replace: Replace,
        build: Build<'_>,
    ) -> Result<Artifact<M>, PullError> {
        let held = self.lock(name).await;
        if replace == Replace::Never && self.usable(name)?.is_some() {
            return Err(PullError::AlreadyPulled { kind: M::KIND, name: name.to_string() });
        }
        self.make(&held, bytes_needed, name, build).await
    }

    /// Waits for the name's lock. Whoever changes or removes what is there holds it.
    pub(crate) async fn lock(&self, name: &M::Name) -> KeyedGuard {
        self.locks.lock(name).await
    }

    /// Takes the name's lock if nobody has it.
    pub(crate) fn try_lock(&self, name: &M::Name) -> Option<KeyedGuard> {
        self.locks.try_lock(name)
    }

    /// Returns the local one, its files looked at.
    pub(crate) fn usable(&self, name: &M::Name) -> Result<Option<Artifact<M>>, PullError> {
        let failed = |source| PullError::Local { kind: M::KIND, name: name.to_string(), source };
        let Some(found) = self.store.get(name).map_err(failed)? else { return Ok(None) };
        self.store.verify(&found).map_err(failed)?;
        Ok(Some(found))
    }

    async fn make(
        &self,
        _held: &KeyedGuard,
        bytes_needed: u64,
        name: &M::Name,
        build: Build<'_>,
    ) -> Result<Artifact<M>, PullError> {
        let kind = M::KIND;
        let place = self.store.place(name);
        let unpublished = |source| PullError::Publish { kind, name: name.to_string(), source };
        create_private_directory(self.store.directory()).map_err(unpublished)?;
        if let Some(shortage) = shortage(self.store.directory(), bytes_needed) {
            let path = self.store.directory().to_owned();
            let (needed, free) = (shortage.needed, shortage.free);
            return Err(PullError::TooLittleSpace { kind, name: name.to_string(), path, needed, free });
        }
        let staged = StagedDirectory::create(&place).map_err(unpublished)?;
        let filled = build(staged).await.map_err(|error| disk_full(kind, name, error))?;
        let published = run_blocking(move |cancelled| {
            // Given up: what was built is removed, and nothing appears.
            cancelled.check().ok().map(|()| filled.publish())
        });
        if let Some(published) = published.await {
            published.map_err(|source| disk_full(kind, name, unpublished(source)))?;
        }
        let found = self.usable(name)?;
        found.ok_or_else(|| PullError::NotInCatalog { kind, name: name.to_string() })
    }
}

/// Says it plainly when a failure means a full disk.
fn disk_full<N: std::fmt::Display>(kind: Kind, name: &N, error: PullError) -> PullError {
    if ran_out_of_space(&error) {
        PullError::DiskFull { kind, name: name.to_string(), source: Box::new(error) }
    } else {
        error
    }
}
