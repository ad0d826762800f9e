//! Images on this host: the directories of the OCI image layout (OCI image spec, "Image Layout"), and the archives of
//! `docker save`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::digest::BlobDigest;
use super::documents::{
    ConfigDocument, Descriptor, Document, DocumentError, ImageDocument, LAYERS_MAX, Platform, choose,
};
use super::layer::Layer;
use super::reference::Reference;

const DOCUMENT_BYTES_MAX: u64 = 8 << 20;
/// Lists that lead to lists.
pub(crate) const DEPTH_MAX: usize = 4;
/// More members than any archive has.
const MEMBERS_MAX: usize = 1 << 16;

/// Why an image on this host cannot be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum LocalImageError {
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}` is no directory in the form of the OCI image layout", path.display())]
    NoLayout { path: PathBuf },
    #[error("`{}` is no archive of `docker save`", path.display())]
    NoArchive { path: PathBuf },
    #[error("`{}` is compressed; unpack it first", path.display())]
    Compressed { path: PathBuf },
    #[error("`{}` has several images: {}", path.display(), .names.join(", "))]
    Several { path: PathBuf, names: Vec<String> },
    #[error("`{}` has no image `{name}`; it has {}", path.display(), .names.join(", "))]
    NotThere { path: PathBuf, name: String, names: Vec<String> },
    #[error("`{}` lacks `{name}`", path.display())]
    Lacks { path: PathBuf, name: String },
    #[error("`{name}` in `{}` has other bytes than its digest says", path.display())]
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

/// Opens an image of a layout.
pub(crate) fn open_layout(
    directory: &Path,
    tag: Option<&str>,
    wanted: &Platform,
) -> Result<LocalImage, LocalImageError> {
    let unusable = |source| LocalImageError::Document { path: directory.to_owned(), source };
    let index_path = directory.join("index.json");
    let index = match File::open(&index_path).and_then(read_document) {
        Ok(index) => index,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Err(LocalImageError::NoLayout { path: directory.to_owned() });
        }
        Err(source) => return Err(LocalImageError::Read { path: index_path, source }),
    };
    let builds = match Document::parse(&index).map_err(unusable)? {
        Document::Index(builds) => builds,
        Document::Image(_) => return Err(LocalImageError::NoLayout { path: directory.to_owned() }),
    };
    let mut chosen = choose_named(directory, &builds, tag, wanted)?.clone();
    for _ in 0..DEPTH_MAX {
        let text = read_blob(directory, &chosen)?;
        match Document::parse(&text).map_err(unusable)? {
            Document::Index(builds) => chosen = choose(&builds, wanted).map_err(unusable)?.clone(),
            Document::Image(image) => return open_image(directory, image, chosen.digest, wanted),
        }
    }
    Err(unusable(DocumentError::TooDeep))
}

/// Returns the image with a tag, or the only one there is.
fn choose_named<'d>(
    directory: &Path,
    builds: &'d [Descriptor],
    tag: Option<&str>,
    wanted: &Platform,
) -> Result<&'d Descriptor, LocalImageError> {
    let path = directory.to_owned();
    let names = || builds.iter().filter_map(|build| build.ref_name().map(str::to_owned)).collect();
    if let Some(tag) = tag {
        let found = builds.iter().find(|build| build.ref_name() == Some(tag));
        return found.ok_or_else(|| LocalImageError::NotThere { path, name: tag.to_owned(), names: names() });
    }
    match builds {
        [build] => Ok(build),
        _ => match choose(builds, wanted) {
            Ok(build) => Ok(build),
            Err(_) if builds.len() > 1 => Err(LocalImageError::Several { path, names: names() }),
            Err(source) => Err(LocalImageError::Document { path, source }),
        },
    }
}

fn open_image(
    directory: &Path,
    image: ImageDocument,
    digest: BlobDigest,
    wanted: &Platform,
) -> Result<LocalImage, LocalImageError> {
    let unusable = |source| LocalImageError::Document { path: directory.to_owned(), source };
    let config = read_blob(directory, &image.config)?;
    let config = ConfigDocument::parse(&config, image.layers.len(), wanted).map_err(unusable)?;
    let layers = image.layers.into_iter().zip(&config.diff_ids).map(|(blob, diff_id)| {
        Ok(Layer {
            file: open_blob(directory, &blob.digest)?,
            offset: 0,
            size: blob.size,
            unchecked: Some(blob.digest),
            diff_id: diff_id.clone(),
        })
    });
    let layers = layers.collect::<Result<_, LocalImageError>>()?;
    Ok(LocalImage { config, layers, digest })
}

fn open_blob(directory: &Path, digest: &BlobDigest) -> Result<File, LocalImageError> {
    let path = directory.join("blobs/sha256").join(digest.hex());
    File::open(&path).map_err(|source| LocalImageError::Read { path, source })
}

fn read_blob(directory: &Path, blob: &Descriptor) -> Result<Vec<u8>, LocalImageError> {
    let path = || directory.to_owned();
    let text = read_document(open_blob(directory, &blob.digest)?)
        .map_err(|source| LocalImageError::Read { path: path(), source })?;
    if BlobDigest::of(&text) != blob.digest {
        return Err(LocalImageError::WrongDigest { path: path(), name: blob.digest.to_string() });
    }
    Ok(text)
}

fn read_document(source: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if source.take(DOCUMENT_BYTES_MAX).read_to_end(&mut text)? as u64 == DOCUMENT_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too large for a document"));
    }
    Ok(text)
}

/// One image of an archive (Docker image spec 1.2, "Combined Image JSON + Filesystem Changeset Format").
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Archived {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// A member of an archive.
#[derive(Debug, Clone)]
enum Member {
    File {
        offset: u64,
        size: u64,
    },
    /// Older dockers write a layer that two images share once.
    Link(PathBuf),
}

/// Opens an image of an archive.
pub(crate) fn open_archive(
    file: &Path,
    name: Option<&str>,
    wanted: &Platform,
) -> Result<LocalImage, LocalImageError> {
    let archive = Archive::open(file)?;
    let manifest = archive.document("manifest.json").map_err(|error| match error {
        LocalImageError::Lacks { .. } => LocalImageError::NoArchive { path: file.to_owned() },
        other => other,
    })?;
    let unusable = |source| LocalImageError::Document { path: file.to_owned(), source };
    let images: Vec<Archived> = serde_json::from_slice(&manifest)
        .map_err(|source| unusable(DocumentError::Damaged { what: "manifest.json", source }))?;
    let image = choose_archived(file, images, name)?;
    if image.layers.len() > LAYERS_MAX {
        return Err(unusable(DocumentError::TooManyLayers { layers: image.layers.len() }));
    }
    let text = archive.document(&image.config)?;
    let config = ConfigDocument::parse(&text, image.layers.len(), wanted).map_err(unusable)?;
    let layers = image.layers.iter().zip(&config.diff_ids);
    let layers = layers.map(|(name, diff_id)| archive.layer(name, diff_id)).collect::<Result<_, _>>()?;
    Ok(LocalImage { layers, config, digest: BlobDigest::of(&text) })
}

fn choose_archived(
    file: &Path,
    images: Vec<Archived>,
    name: Option<&str>,
) -> Result<Archived, LocalImageError> {
    let path = file.to_owned();
    let tags = |image: &Archived| image.repo_tags.clone().unwrap_or_default();
    let names: Vec<_> = images.iter().flat_map(tags).collect();
    match name {
        Some(name) => {
            // Some programs write names out in full and some do not.
            let wanted = name.parse::<Reference>().ok();
            let is_it =
                |tag: &String| tag == name || (wanted.is_some() && tag.parse::<Reference>().ok() == wanted);
            let found = images.into_iter().find(|image| tags(image).iter().any(is_it));
            found.ok_or_else(|| LocalImageError::NotThere { path, name: name.to_owned(), names })
        }
        None if images.len() > 1 => Err(LocalImageError::Several { path, names }),
        None => images.into_iter().next().ok_or(LocalImageError::NoArchive { path }),
    }
}

/// An archive with the places of its members.
#[derive(Debug)]
struct Archive {
    path: PathBuf,
    file: File,
    members: BTreeMap<PathBuf, Member>,
}

impl Archive {
    fn open(path: &Path) -> Result<Self, LocalImageError> {
        let failed = |source| LocalImageError::Read { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(failed)?;
        let mut start = [0; 4];
        let count = file.read(&mut start).map_err(failed)?;
        if start.starts_with(&[0x1f, 0x8b]) || start == [0x28, 0xb5, 0x2f, 0xfd] || start.starts_with(b"BZh")
        {
            return Err(LocalImageError::Compressed { path: path.to_owned() });
        }
        let damaged = |_error| LocalImageError::NoArchive { path: path.to_owned() };
        let mut members = BTreeMap::new();
        if count > 0 {
            file.seek(SeekFrom::Start(0)).map_err(failed)?;
            let mut tar = tar::Archive::new(&file);
            for member in tar.entries_with_seek().map_err(damaged)?.take(MEMBERS_MAX) {
                let member = member.map_err(damaged)?;
                let name = normal(&member.path().map_err(damaged)?);
                let found = match (member.header().entry_type(), member.link_name()) {
                    (tar::EntryType::Regular, _) => {
                        Member::File { offset: member.raw_file_position(), size: member.size() }
                    }
                    (tar::EntryType::Symlink, Ok(Some(target))) => {
                        let beside = name.parent().unwrap_or(Path::new("")).join(target);
                        Member::Link(normal(&beside))
                    }
                    _ => continue,
                };
                members.insert(name, found);
            }
        }
        Ok(Self { path: path.to_owned(), file, members })
    }

    /// Finds a member; links lead to members, and not far.
    fn find(&self, name: &str) -> Result<(u64, u64), LocalImageError> {
        let mut wanted = normal(Path::new(name));
        for _ in 0..DEPTH_MAX {
            match self.members.get(&wanted) {
                Some(Member::File { offset, size }) => return Ok((*offset, *size)),
                Some(Member::Link(target)) => wanted.clone_from(target),
                None => break,
            }
        }
        Err(LocalImageError::Lacks { path: self.path.clone(), name: name.to_owned() })
    }

    fn document(&self, name: &str) -> Result<Vec<u8>, LocalImageError> {
        let (offset, size) = self.find(name)?;
        let read = || {
            let mut file = &self.file;
            file.seek(SeekFrom::Start(offset))?;
            read_document(file.take(size))
        };
        read().map_err(|source| LocalImageError::Read { path: self.path.clone(), source })
    }

    fn layer(&self, name: &str, diff_id: &BlobDigest) -> Result<Layer, LocalImageError> {
        let (offset, size) = self.find(name)?;
        // Opened anew: each layer reads at its own place.
        let file = File::open(&self.path)
            .map_err(|source| LocalImageError::Read { path: self.path.clone(), source })?;
        Ok(Layer { file, offset, size, unchecked: None, diff_id: diff_id.clone() })
    }
}

/// Returns a path of an archive in one form: without `.`, and `..` taken together with the name before it.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    normal
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
