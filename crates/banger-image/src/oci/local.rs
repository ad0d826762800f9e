//! Images of this host: layouts (OCI image spec) as a directory or in one tar, and the archives of `docker save`. What is
//! asked for says where to look first; what is there decides.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::archive::{Archive, MANIFEST, Scratch};
use super::layout::{INDEX, Layout};
use super::local_image::{LocalImage, LocalImageError};
use super::platform::Platform;
use banger_sys::blocking::Cancelled;
use banger_sys::files::open_regular;

/// A layout or an archive that is open.
#[derive(Debug)]
pub(super) enum Local {
    Layout(Layout),
    Archive(Archive),
}

/// The file with what stands behind `-` in a source: an archive that came through standard input.
#[derive(Clone, Debug)]
pub struct ArchiveInput(pub(super) Input);

#[derive(Clone, Debug)]
pub(super) enum Input {
    File(PathBuf),
    /// Opened for its name, and not to be unpacked a second time.
    Opened(Arc<Local>),
}

impl ArchiveInput {
    /// The file at this path, which may be that of a descriptor (`/proc/<pid>/fd/<number>`).
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self(Input::File(path))
    }
}

/// What to open, and what it is called in errors.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) file: PathBuf,
}

/// Opens a layout, which is a directory or a tar. A tar that has no layout may be an archive of docker.
pub(super) fn open_layout(
    place: &Place,
    scratch: &Scratch<'_>,
    cancelled: &Cancelled,
) -> Result<Local, LocalImageError> {
    if place.file.is_dir() {
        return Ok(Local::Layout(Layout::Directory(place.file.clone())));
    }
    let archive = match place.open(scratch, cancelled) {
        Err(LocalImageError::NoArchive { path }) => return Err(LocalImageError::NoLayout { path }),
        opened => opened?,
    };
    match (archive.has(INDEX), archive.has(MANIFEST)) {
        (true, _) => Ok(Local::Layout(Layout::Archive(archive))),
        (false, true) => Ok(Local::Archive(archive)),
        (false, false) => Err(match archive.unknown() {
            LocalImageError::NoArchive { path } => LocalImageError::NoLayout { path },
            other => other,
        }),
    }
}

/// Opens an archive of docker. A tar that has no list of docker's may be a layout.
pub(super) fn open_archive(
    place: &Place,
    scratch: &Scratch<'_>,
    cancelled: &Cancelled,
) -> Result<Local, LocalImageError> {
    let archive = place.open(scratch, cancelled)?;
    match (archive.has(MANIFEST), archive.has(INDEX)) {
        (true, _) => Ok(Local::Archive(archive)),
        (false, true) => Ok(Local::Layout(Layout::Archive(archive))),
        (false, false) => Err(archive.unknown()),
    }
}

impl Place {
    fn open(&self, scratch: &Scratch<'_>, cancelled: &Cancelled) -> Result<Archive, LocalImageError> {
        let path = self.path.clone();
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => LocalImageError::Missing { path },
            _ => LocalImageError::Read { path, source },
        };
        Archive::open(&self.path, open_regular(&self.file).map_err(failed)?, scratch, cancelled)
    }
}

impl Local {
    /// Opens the image with a tag or name, or the only one.
    pub(super) fn image(&self, name: Option<&str>, wanted: &Platform) -> Result<LocalImage, LocalImageError> {
        match self {
            Self::Layout(layout) => layout.image(name, wanted),
            Self::Archive(archive) => archive.image(name, wanted),
        }
    }

    /// Returns the names that the image with a tag or name, or the only one, has there.
    pub(super) fn names(
        &self,
        name: Option<&str>,
        wanted: &Platform,
    ) -> Result<Vec<String>, LocalImageError> {
        match self {
            Self::Layout(layout) => layout.names(name, wanted),
            Self::Archive(archive) => archive.names(name),
        }
    }
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
