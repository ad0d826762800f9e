//! What to pull.

use std::ffi::OsString;
use std::path::PathBuf;

use banger_model::{ImageName, KernelName};

use super::endpoint::PlainHttp;
use super::local::ArchiveInput;
use super::source::OciSource;

/// What to pull.
#[derive(Clone, Debug)]
pub struct OciPull {
    /// From where.
    pub source: OciSource,
    /// The file that stands for `-` in the source.
    pub input: Option<ArchiveInput>,
    /// What the local image is called.
    pub name: ImageName,
    /// A layout or archive that names its image gives it that name in place of `name`.
    pub is_named_by_archive: bool,
    /// The kernel that its VMs boot where nobody names another.
    pub kernel: KernelName,
    /// Whether the registry may be asked without TLS.
    pub plain_http: PlainHttp,
    /// Where docker's configuration is; none means where docker looks for it.
    pub docker_directory: Option<PathBuf>,
    /// The `PATH` of whoever asks, where docker's credential helpers are; none means ours.
    pub search_path: Option<OsString>,
    /// Bytes that it may unpack to, where other than the rules say.
    pub bytes_max: Option<u64>,
}

impl OciPull {
    /// A pull with nothing out of the ordinary.
    #[must_use]
    pub fn of(source: OciSource, name: ImageName, kernel: KernelName) -> Self {
        Self {
            source,
            input: None,
            name,
            is_named_by_archive: false,
            kernel,
            plain_http: PlainHttp::default(),
            docker_directory: None,
            search_path: None,
            bytes_max: None,
        }
    }
}
