//! Image layouts (OCI image spec, "Image Layout"), as a directory or in one tar.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::Arc;

use super::archive::{Archive, is_same};
use super::digest::BlobDigest;
use super::documents::{
    ConfigDocument, Descriptor, Document, DocumentError, ImageDocument, Search, candidates,
};
use super::layer::Layer;
use super::local_image::{LocalImage, LocalImageError, read_document};
use super::platform::Platform;
use banger_sys::files::open_regular;

/// The list of images in a layout.
pub(super) const INDEX: &str = "index.json";

/// A layout, by where its files are.
#[derive(Debug)]
pub(super) enum Layout {
    Directory(PathBuf),
    Archive(Archive),
}

impl Layout {
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
                open_regular(&path).and_then(read_document).map_err(|source| match source.kind() {
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
    pub(super) fn image(&self, tag: Option<&str>, wanted: &Platform) -> Result<LocalImage, LocalImageError> {
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

    /// Returns the names of the image with a tag, or of the only one, whole ones first.
    pub(super) fn names(&self, tag: Option<&str>, wanted: &Platform) -> Result<Vec<String>, LocalImageError> {
        let builds = self.index()?;
        let chosen = self.choose(&builds, tag, wanted)?;
        Ok(chosen.into_iter().flat_map(Descriptor::names).map(str::to_owned).collect())
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
            let (file, offset, size) = self.open_blob(&blob)?;
            Ok(Layer {
                file,
                offset,
                size,
                unchecked: Some(blob.digest),
                diff_id: diff_id.clone(),
                read: Arc::default(),
            })
        });
        let layers = layers.collect::<Result<_, LocalImageError>>()?;
        Ok(LocalImage { config, layers, digest })
    }

    /// Returns a file with the blob, where it begins there, and how long it is: as long as its descriptor says.
    fn open_blob(&self, blob: &Descriptor) -> Result<(File, u64, u64), LocalImageError> {
        let name = format!("blobs/sha256/{}", blob.digest.hex());
        let (file, offset, found) = match self {
            Self::Archive(archive) => archive.member(&name)?,
            Self::Directory(directory) => {
                let path = directory.join(name);
                let opened = open_regular(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
                let opened = opened.map(|(size, file)| (file, 0, size));
                opened.map_err(|source| LocalImageError::Read { path, source })?
            }
        };
        if found != blob.size {
            let (path, name, wanted) = (self.path(), blob.digest.to_string(), blob.size);
            return Err(LocalImageError::WrongSize { path, name, wanted, found });
        }
        Ok((file, offset, found))
    }

    fn read_blob(&self, blob: &Descriptor) -> Result<Vec<u8>, LocalImageError> {
        use io::Seek as _;
        let (mut file, offset, size) = self.open_blob(blob)?;
        let text = file.seek(io::SeekFrom::Start(offset)).and_then(|_| read_document(file.take(size)));
        let text = text.map_err(|source| LocalImageError::Read { path: self.path(), source })?;
        if BlobDigest::of(&text) != blob.digest {
            return Err(LocalImageError::WrongDigest { path: self.path(), name: blob.digest.to_string() });
        }
        Ok(text)
    }
}
