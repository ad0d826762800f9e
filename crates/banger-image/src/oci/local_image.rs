//! An image on this host, whether it is in a layout or in an archive, and why one cannot be read.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use banger_model::Hint;

use super::digest::BlobDigest;
use super::documents::{ConfigDocument, DocumentError};
use super::layer::Layer;
use super::source::STANDARD_INPUT;
use crate::limits::OverLimit;

const DOCUMENT_BYTES_MAX: u64 = 8 << 20;

/// Why an image on this host cannot be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum LocalImageError {
    #[error("{} does not exist", shown(path))]
    Missing { path: PathBuf },
    #[error("cannot read {}", shown(path))]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not an OCI image layout, neither as a directory nor in a tar", shown(path))]
    NoLayout { path: PathBuf },
    #[error("{} is neither an archive of `docker save` nor an OCI image layout in a tar", shown(path))]
    NoArchive { path: PathBuf },
    #[error("{} is incomplete: it ends too early", shown(path))]
    CutOff { path: PathBuf },
    #[error("{} is compressed with {name}, which is not supported", shown(path))]
    UnknownCompression { path: PathBuf, name: &'static str },
    #[error("cannot unpack {}", shown(path))]
    Unpack { path: PathBuf, source: io::Error },
    #[error("{} is larger than allowed", shown(path))]
    Limit { path: PathBuf, source: OverLimit },
    #[error("{} has several images: {}", shown(path), .names.join(", "))]
    Several { path: PathBuf, names: Vec<String> },
    #[error("{} has no image `{name}`; it has {}", shown(path), .names.join(", "))]
    NotThere { path: PathBuf, name: String, names: Vec<String> },
    #[error("{} has no `{name}`", shown(path))]
    Lacks { path: PathBuf, name: String },
    #[error("`{name}` in {} does not match its digest", shown(path))]
    WrongDigest { path: PathBuf, name: String },
    #[error("`{name}` in {} is damaged: it has {found} bytes, but its descriptor says {wanted}", shown(path))]
    WrongSize { path: PathBuf, name: String, wanted: u64, found: u64 },
    #[error("cannot use the image in {}", shown(path))]
    Document { path: PathBuf, source: DocumentError },
}

/// An image that is here.
#[derive(Debug)]
pub(crate) struct LocalImage {
    pub(crate) config: ConfigDocument,
    pub(crate) layers: Vec<Layer>,
    /// Which image it is.
    pub(crate) digest: BlobDigest,
}

impl LocalImageError {
    /// What to do next, where that is known.
    pub(super) fn hint(&self) -> Option<Hint> {
        match self {
            Self::Limit { source, .. } => source.hint(),
            Self::UnknownCompression { path, .. } => {
                Some(Hint::advice(format!("unpack {} and pull what comes out", shown(path))))
            }
            Self::CutOff { path } if is_standard_input(path) => {
                Some(Hint::advice("the command before the pipe has probably failed; see what it said"))
            }
            Self::Several { names, .. } => names.first().map(|name| Hint::ChooseImage { name: name.clone() }),
            Self::Missing { .. }
            | Self::Read { .. }
            | Self::NoLayout { .. }
            | Self::NoArchive { .. }
            | Self::CutOff { .. }
            | Self::Unpack { .. }
            | Self::NotThere { .. }
            | Self::Lacks { .. }
            | Self::WrongDigest { .. }
            | Self::WrongSize { .. }
            | Self::Document { .. } => None,
        }
    }
}

/// Returns a path as a sentence has it.
fn shown(path: &Path) -> String {
    if is_standard_input(path) {
        "the archive on standard input".to_owned()
    } else {
        format!("`{}`", path.display())
    }
}

fn is_standard_input(path: &Path) -> bool {
    path == Path::new(STANDARD_INPUT)
}

/// Reads a document of an image that fits into memory.
pub(super) fn read_document(source: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if source.take(DOCUMENT_BYTES_MAX).read_to_end(&mut text)? as u64 == DOCUMENT_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too large for a document"));
    }
    Ok(text)
}
