//! Images on this host: layouts (OCI image spec, "Image Layout") as a directory or in one tar, and the archives of `docker
//! save`. What is asked for says where to look first; what is there decides.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::archive::{Archive, MANIFEST, Scratch, is_same};
use super::digest::BlobDigest;
use super::documents::{
    ConfigDocument, Descriptor, Document, DocumentError, ImageDocument, Search, candidates,
};
use super::layer::Layer;
use super::platform::Platform;
use crate::blocking::Cancelled;
use crate::limits::OverLimit;

const DOCUMENT_BYTES_MAX: u64 = 8 << 20;
const INDEX: &str = "index.json";

/// Why an image on this host cannot be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum LocalImageError {
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}` is not an OCI image layout, neither as a directory nor in a tar", path.display())]
    NoLayout { path: PathBuf },
    #[error("`{}` is neither an archive of `docker save` nor an OCI image layout in a tar", path.display())]
    NoArchive { path: PathBuf },
    #[error("`{}` is compressed with {name}, which is not supported", path.display())]
    UnknownCompression { path: PathBuf, name: &'static str },
    #[error("cannot unpack `{}`", path.display())]
    Unpack { path: PathBuf, source: io::Error },
    #[error("`{}` is larger than allowed", path.display())]
    Limit { path: PathBuf, source: OverLimit },
    #[error("`{}` has several images: {}", path.display(), .names.join(", "))]
    Several { path: PathBuf, names: Vec<String> },
    #[error("`{}` has no image `{name}`; it has {}", path.display(), .names.join(", "))]
    NotThere { path: PathBuf, name: String, names: Vec<String> },
    #[error("`{}` has no `{name}`", path.display())]
    Lacks { path: PathBuf, name: String },
    #[error("`{name}` in `{}` does not match its digest", path.display())]
    WrongDigest { path: PathBuf, name: String },
    #[error("cannot use the image in `{}`", path.display())]
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

/// Opens an image of a layout, which is a directory or a tar. A tar that has no layout may be an archive of docker.
pub(crate) fn open_layout(
    path: &Path,
    tag: Option<&str>,
    wanted: &Platform,
    scratch: &Scratch<'_>,
    cancelled: &Cancelled,
) -> Result<LocalImage, LocalImageError> {
    if path.is_dir() {
        return Place::Directory(path.to_owned()).image(tag, wanted);
    }
    let archive = match Archive::open(path, scratch, cancelled) {
        Err(LocalImageError::NoArchive { path }) => return Err(LocalImageError::NoLayout { path }),
        Err(LocalImageError::Read { path, source }) if source.kind() == io::ErrorKind::NotFound => {
            return Err(LocalImageError::NoLayout { path });
        }
        opened => opened?,
    };
    if !archive.has(INDEX) && archive.has(MANIFEST) {
        return archive.image(tag, wanted);
    }
    Place::Archive(archive).image(tag, wanted)
}

/// Opens an image of an archive of docker. A tar that has no list of docker's may be a layout.
pub(crate) fn open_archive(
    path: &Path,
    name: Option<&str>,
    wanted: &Platform,
    scratch: &Scratch<'_>,
    cancelled: &Cancelled,
) -> Result<LocalImage, LocalImageError> {
    let archive = Archive::open(path, scratch, cancelled)?;
    match (archive.has(MANIFEST), archive.has(INDEX)) {
        (true, _) => archive.image(name, wanted),
        (false, true) => Place::Archive(archive).image(name, wanted),
        (false, false) => Err(LocalImageError::NoArchive { path: path.to_owned() }),
    }
}

/// Where the files of a layout are.
enum Place {
    Directory(PathBuf),
    Archive(Archive),
}

impl Place {
    fn path(&self) -> PathBuf {
        match self {
            Self::Directory(path) => path.clone(),
            Self::Archive(archive) => archive.path.clone(),
        }
    }

    fn unusable(&self, source: DocumentError) -> LocalImageError {
        LocalImageError::Document { path: self.path(), source }
    }

    fn index(&self) -> Result<Vec<Descriptor>, LocalImageError> {
        let absent = || LocalImageError::NoLayout { path: self.path() };
        let text = match self {
            Self::Directory(directory) => {
                let path = directory.join(INDEX);
                File::open(&path).and_then(read_document).map_err(|source| match source.kind() {
                    io::ErrorKind::NotFound => absent(),
                    _ => LocalImageError::Read { path, source },
                })?
            }
            Self::Archive(archive) => archive.document(INDEX).map_err(|error| match error {
                LocalImageError::Lacks { .. } => absent(),
                other => other,
            })?,
        };
        match Document::parse(&text).map_err(|source| self.unusable(source))? {
            Document::Index(builds) => Ok(builds),
            Document::Image(_) => Err(absent()),
        }
    }

    /// Finds the image with a tag, or the only one there is, through lists of images.
    fn image(&self, tag: Option<&str>, wanted: &Platform) -> Result<LocalImage, LocalImageError> {
        let builds = self.index()?;
        let mut search = Search::among(self.choose(&builds, tag, wanted)?);
        while let Some(build) = search.next() {
            let found = self.look(&build, &mut search, wanted);
            match found {
                Ok(Some(image)) => return Ok(image),
                Ok(None) => {}
                Err(LocalImageError::Document { source, .. }) if search.goes_on_after(&source) => {}
                Err(error) => return Err(error),
            }
        }
        Err(self.unusable(DocumentError::NotAnImage))
    }

    fn look(
        &self,
        build: &Descriptor,
        search: &mut Search,
        wanted: &Platform,
    ) -> Result<Option<LocalImage>, LocalImageError> {
        let text = self.read_blob(build)?;
        match Document::parse(&text).map_err(|source| self.unusable(source))? {
            Document::Index(builds) => {
                search.enter(&builds, wanted).map_err(|source| self.unusable(source))?;
                Ok(None)
            }
            Document::Image(image) => self.open_image(image, build.digest.clone(), wanted).map(Some),
        }
    }

    /// Returns the images with a tag, or those that may be the only one.
    fn choose<'d>(
        &self,
        builds: &'d [Descriptor],
        tag: Option<&str>,
        wanted: &Platform,
    ) -> Result<Vec<&'d Descriptor>, LocalImageError> {
        let path = self.path();
        let mut names: Vec<_> =
            builds.iter().filter_map(|build| build.ref_name().map(str::to_owned)).collect();
        names.dedup();
        if let Some(tag) = tag {
            let tagged: Vec<_> =
                builds.iter().filter(|build| build.names().any(|name| is_same(name, tag))).collect();
            return match tagged.as_slice() {
                [] => Err(LocalImageError::NotThere { path, name: tag.to_owned(), names }),
                [_] => Ok(tagged),
                _ => {
                    let tagged: Vec<_> = tagged.into_iter().map(|build| &build.digest).collect();
                    let candidates = candidates(builds, wanted).map_err(|source| self.unusable(source))?;
                    Ok(candidates.into_iter().filter(|build| tagged.contains(&&build.digest)).collect())
                }
            };
        }
        match builds {
            [build] => Ok(vec![build]),
            _ if names.len() > 1 => Err(LocalImageError::Several { path, names }),
            _ => candidates(builds, wanted).map_err(|source| self.unusable(source)),
        }
    }

    fn open_image(
        &self,
        image: ImageDocument,
        digest: BlobDigest,
        wanted: &Platform,
    ) -> Result<LocalImage, LocalImageError> {
        let config = self.read_blob(&image.config)?;
        let config = ConfigDocument::parse(&config, image.layers.len(), wanted)
            .map_err(|source| self.unusable(source))?;
        let layers = image.layers.into_iter().zip(&config.diff_ids).map(|(blob, diff_id)| {
            let (file, offset, size) = self.open_blob(&blob.digest)?;
            // One of another size has another digest as well.
            let size = size.min(blob.size);
            Ok(Layer { file, offset, size, unchecked: Some(blob.digest), diff_id: diff_id.clone() })
        });
        let layers = layers.collect::<Result<_, LocalImageError>>()?;
        Ok(LocalImage { config, layers, digest })
    }

    /// Returns a file with the blob, where it begins there, and how long it is.
    fn open_blob(&self, digest: &BlobDigest) -> Result<(File, u64, u64), LocalImageError> {
        let name = format!("blobs/sha256/{}", digest.hex());
        match self {
            Self::Archive(archive) => archive.member(&name),
            Self::Directory(directory) => {
                let path = directory.join(name);
                let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
                opened
                    .map(|(size, file)| (file, 0, size))
                    .map_err(|source| LocalImageError::Read { path, source })
            }
        }
    }

    fn read_blob(&self, blob: &Descriptor) -> Result<Vec<u8>, LocalImageError> {
        use io::Seek as _;
        let (mut file, offset, size) = self.open_blob(&blob.digest)?;
        let text = file.seek(io::SeekFrom::Start(offset)).and_then(|_| read_document(file.take(size)));
        let text = text.map_err(|source| LocalImageError::Read { path: self.path(), source })?;
        if BlobDigest::of(&text) != blob.digest {
            return Err(LocalImageError::WrongDigest { path: self.path(), name: blob.digest.to_string() });
        }
        Ok(text)
    }
}

pub(super) fn read_document(source: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if source.take(DOCUMENT_BYTES_MAX).read_to_end(&mut text)? as u64 == DOCUMENT_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too large for a document"));
    }
    Ok(text)
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
