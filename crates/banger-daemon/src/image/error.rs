//! What can fail around images.

use banger_image::{
    BundleLocationError, CacheError, ImportError, MinisignKeyError, OciSourceError, PackError, PullError,
    RegisterError, StoreError,
};
use banger_model::{ImageName, NameError};

use crate::operation::Cancelled;

/// Why something could not be done with an image.
#[derive(Debug, thiserror::Error)]
pub enum ImageOperationError {
    /// The source makes no sense.
    #[error(transparent)]
    Source(OciSourceError),
    /// The place of a bundle makes no sense.
    #[error(transparent)]
    Location(BundleLocationError),
    /// The key of a bundle makes no sense.
    #[error(transparent)]
    MinisignKey(MinisignKeyError),
    /// The caller did not say where its standard input is.
    #[error("`{source_text}` is an archive on standard input, and the request has no `input` with its path")]
    NoInput {
        /// The source.
        source_text: String,
    },
    /// The caller has sent its standard input along, which nobody reads.
    #[error("`{source_text}` is not an archive on standard input, so that `input` must be left out")]
    NeedlessInput {
        /// The source.
        source_text: String,
    },
    /// There is no such image.
    #[error("there is no local image `{name}`")]
    NotHere {
        /// What was asked for.
        name: String,
    },
    /// There is no such image, here or in the catalog.
    #[error("there is no image `{name}`")]
    NotFound {
        /// What was asked for.
        name: String,
    },
    /// An image by its name and an image by its source.
    #[error("give either the name of an image or its source, not both")]
    TwoImages,
    /// A kernel by name and a kernel by files.
    #[error("give either the name of a kernel or its files, not both")]
    TwoKernels,
    /// Neither of them.
    #[error("the image needs a kernel; give its name or its files")]
    NoKernel,
    /// An initramfs or modules without a kernel.
    #[error("an initramfs and modules need the file of their kernel")]
    NoKernelFile,
    /// A kernel that is imported has its image's name.
    #[error("the image's name is not a valid name for its kernel")]
    KernelName(#[source] NameError),
    /// The kernel's files cannot be used.
    #[error(transparent)]
    KernelFiles(ImportError),
    /// The image's files cannot be used.
    #[error(transparent)]
    Register(RegisterError),
    /// The thread that looked at the files died.
    #[error("the work on the image's files ended unexpectedly")]
    Worker(#[source] tokio::task::JoinError),
    /// Who uses it cannot be read.
    #[error(transparent)]
    Rows(banger_store::StoreError),
    /// No bundle could be made.
    #[error("cannot bundle the image")]
    Pack(#[source] PackError),
    /// No name can be made of the source.
    #[error("`{source_text}` contains no valid name for the image")]
    NoName {
        /// The source.
        source_text: String,
        /// Why.
        source: NameError,
    },
    /// An image of the catalog is what it is.
    #[error("the name and kernel of the catalog image `{name}` cannot be changed")]
    OfCatalog {
        /// The image.
        name: ImageName,
    },
    /// The cache could not be emptied.
    #[error("cannot prune the cache")]
    Cache(#[source] CacheError),
    /// Pulling failed.
    #[error(transparent)]
    Pull(PullError),
    /// What is here cannot be read.
    #[error(transparent)]
    Store(StoreError),
    /// It was to stop before its end.
    #[error("{0}; nothing is left behind")]
    Cancelled(Cancelled),
}

impl From<Cancelled> for ImageOperationError {
    fn from(why: Cancelled) -> Self {
        Self::Cancelled(why)
    }
}
