//! The documents of an image: index, manifest, config (OCI image spec 1.1; Docker image manifest version 2, schema 2).
//! Only what a pull needs is read. `null` counts as absent, because builders write it.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;

use super::digest::BlobDigest;
use super::null::null_is_default;
use super::platform::Platform;
use super::text::plain;

/// Media types that a registry may answer with.
pub(crate) const MANIFEST_TYPES: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// Why a document of an image cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum DocumentError {
    #[error("the {what} is damaged: {fault}")]
    Damaged { what: &'static str, fault: JsonFault },
    #[error("the manifest uses the obsolete schema 1, which is not supported")]
    Schema1,
    #[error("the manifest is neither an image nor an image index")]
    NotAnImage,
    #[error("the image is not available for {wanted}; available: {}", list(.offered))]
    NoPlatform { wanted: String, offered: Vec<String> },
    #[error("the image is built for {found}, but this host runs {wanted}")]
    OtherPlatform { wanted: String, found: String },
    #[error("the image indexes are nested too deeply")]
    TooDeep,
    #[error("the image has {layers} layers, but its config lists {diff_ids}")]
    LayerCount { layers: usize, diff_ids: usize },
    #[error("the image has {layers} layers; at most {LAYERS_MAX} are supported")]
    TooManyLayers { layers: usize },
    #[error("the manifest {digest} has {found} bytes, but the image index says {wanted}")]
    WrongSize { digest: BlobDigest, wanted: u64, found: u64 },
    #[error("the layer {digest} is not in this registry: its licence does not allow redistribution")]
    ForeignLayer { digest: BlobDigest },
}

/// A place in a document, as an error shows it.
const PLACE_CHARACTERS_MAX: usize = 80;

/// What is wrong with a document that is to be JSON of a certain form, in words for whoever uses the image.
#[derive(Debug)]
pub struct JsonFault(serde_path_to_error::Error<serde_json::Error>);

impl fmt::Display for JsonFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (error, place) = (self.0.inner(), self.0.path().to_string());
        match (error.classify(), place.as_str()) {
            (Category::Data, ".") => write!(formatter, "it is not of the expected form"),
            // The names are a stranger's.
            (Category::Data, place) => {
                write!(formatter, "`{}` is missing or invalid", plain(place, PLACE_CHARACTERS_MAX))
            }
            (Category::Eof, _) => write!(formatter, "it ends too early"),
            (Category::Syntax | Category::Io, _) => write!(formatter, "it is not valid JSON"),
        }
    }
}

/// Reads JSON of a stranger.
pub(super) fn read_json<T: DeserializeOwned>(what: &'static str, text: &[u8]) -> Result<T, DocumentError> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let read = serde_path_to_error::deserialize(&mut json);
    read.map_err(|error| DocumentError::Damaged { what, fault: JsonFault(error) })
}

/// Each layer is an open file while it is flattened.
pub(crate) const LAYERS_MAX: usize = 256;
/// Lists that lead to lists.
const DEPTH_MAX: usize = 5;
/// Builds of a list that does not say what they run on.
const CANDIDATES_MAX: usize = 16;

fn list(platforms: &[String]) -> String {
    if platforms.is_empty() { "none".to_owned() } else { platforms.join(", ") }
}

/// A blob, as manifests point to it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) media_type: String,
    pub(crate) digest: BlobDigest,
    pub(crate) size: u64,
    #[serde(default)]
    platform: Option<Platform>,
    /// The tag, in the index of a layout.
    #[serde(default, deserialize_with = "null_is_default")]
    annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// The name that a layout's index gives an image.
    pub(crate) fn ref_name(&self) -> Option<&str> {
        self.annotations.get("org.opencontainers.image.ref.name").map(String::as_str)
    }

    /// All names that it has in a layout: containerd writes the whole one beside the tag.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let keys = ["org.opencontainers.image.ref.name", "io.containerd.image.name"];
        keys.into_iter().filter_map(|key| self.annotations.get(key).map(String::as_str))
    }

    /// What it runs on, where the list says it.
    fn said_platform(&self) -> Option<&Platform> {
        self.platform.as_ref().filter(|platform| !platform.is_blank())
    }

    fn is_foreign(&self) -> bool {
        self.media_type.contains(".foreign.") || self.media_type.contains(".nondistributable.")
    }
}

/// What a manifest's address leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Document {
    /// One image per platform.
    Index(Vec<Descriptor>),
    /// An image.
    Image(ImageDocument),
}

/// The manifest of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageDocument {
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

impl Document {
    /// Reads a document. What it is shows in what it has, not in what somebody says it is.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, DocumentError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Any {
            config: Option<Descriptor>,
            layers: Option<Vec<Descriptor>>,
            manifests: Option<Vec<Descriptor>>,
            schema_version: Option<u64>,
        }
        let any: Any = read_json("manifest", text)?;
        // A document that is both would mean one thing to one program and another thing to the next.
        match (any.config, any.layers, any.manifests) {
            (None, None, Some(manifests)) => Ok(Self::Index(manifests)),
            (Some(config), Some(layers), None) => {
                if let Some(layer) = layers.iter().find(|layer| layer.is_foreign()) {
                    return Err(DocumentError::ForeignLayer { digest: layer.digest.clone() });
                }
                if layers.len() > LAYERS_MAX {
                    return Err(DocumentError::TooManyLayers { layers: layers.len() });
                }
                Ok(Self::Image(ImageDocument { config, layers }))
            }
            _ if any.schema_version == Some(1) => Err(DocumentError::Schema1),
            _ => Err(DocumentError::NotAnImage),
        }
    }
}

/// Returns the builds that may be the one for this platform, the most likely one first. Where the list does not say what a
/// build runs on, its config will.
pub(crate) fn candidates<'d>(
    builds: &'d [Descriptor],
    wanted: &Platform,
) -> Result<Vec<&'d Descriptor>, DocumentError> {
    let preference =
        |build: &Descriptor| build.said_platform().map_or(Some(0), |said| wanted.preference(said));
    let is_said = |build: &Descriptor| build.said_platform().is_some();
    let suiting = builds.iter().filter_map(|build| Some((is_said(build), preference(build)?, build)));
    let mut suiting: Vec<_> = suiting.collect();
    // The sort keeps the list's order of what is equally good.
    suiting.sort_by_key(|(is_said, preference, _)| std::cmp::Reverse((*is_said, *preference)));
    if suiting.first().is_some_and(|(is_said, ..)| *is_said) {
        suiting.truncate(1);
    }
    suiting.truncate(CANDIDATES_MAX);
    if suiting.is_empty() {
        let offered = builds.iter().filter_map(|build| build.platform.as_ref());
        let offered: Vec<_> = offered.filter(|platform| !platform.is_no_build()).collect();
        let wanted = wanted.beside(offered.iter().copied());
        let offered = offered.iter().map(ToString::to_string).collect();
        return Err(DocumentError::NoPlatform { wanted, offered });
    }
    Ok(suiting.into_iter().map(|(.., build)| build).collect())
}

/// The way to an image through lists of images.
#[derive(Debug)]
pub(crate) struct Search {
    /// What may lead to it, with the number of lists in front; the most likely one last.
    waiting: Vec<(usize, Descriptor)>,
    depth: usize,
}

impl Search {
    /// Begins with these, the most likely one first.
    pub(crate) fn among<'d>(first: impl IntoIterator<Item = &'d Descriptor>) -> Self {
        let mut search = Self { waiting: Vec::new(), depth: 0 };
        search.push(first);
        search
    }

    /// Returns what to look at next.
    pub(crate) fn next(&mut self) -> Option<Descriptor> {
        let (depth, build) = self.waiting.pop()?;
        self.depth = depth;
        Some(build)
    }

    /// Goes on with what a list has.
    pub(crate) fn enter(&mut self, builds: &[Descriptor], wanted: &Platform) -> Result<(), DocumentError> {
        self.depth += 1;
        if self.depth >= DEPTH_MAX {
            return Err(DocumentError::TooDeep);
        }
        self.push(candidates(builds, wanted)?);
        Ok(())
    }

    /// Tells whether an image that is none for the guests need not be the end.
    pub(crate) fn goes_on_after(&self, error: &DocumentError) -> bool {
        let is_of_build = matches!(
            error,
            DocumentError::OtherPlatform { .. }
                | DocumentError::NoPlatform { .. }
                | DocumentError::Damaged { .. }
                | DocumentError::NotAnImage
        );
        is_of_build && !self.waiting.is_empty()
    }

    fn push<'d>(&mut self, builds: impl IntoIterator<Item = &'d Descriptor>) {
        let mut builds: Vec<_> = builds.into_iter().map(|build| (self.depth, build.clone())).collect();
        builds.reverse();
        self.waiting.extend(builds);
    }
}

/// The config of an image: what its layers are, and how its process starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConfigDocument {
    pub(crate) diff_ids: Vec<BlobDigest>,
    pub(crate) process: ProcessDocument,
}

/// How the process of an image starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ProcessDocument {
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) user: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) env: Vec<String>,
    #[serde(default, deserialize_with = "words")]
    pub(crate) entrypoint: Vec<String>,
    #[serde(default, deserialize_with = "words")]
    pub(crate) cmd: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) working_dir: String,
    /// Directories that a container finds in any case (`VOLUME`).
    #[serde(default, deserialize_with = "keys")]
    pub(crate) volumes: Vec<String>,
}

impl ConfigDocument {
    /// Reads the config of an image with this many layers.
    pub(crate) fn parse(text: &[u8], layers: usize, wanted: &Platform) -> Result<Self, DocumentError> {
        #[derive(Deserialize)]
        struct Any {
            #[serde(flatten)]
            platform: Platform,
            #[serde(default, deserialize_with = "null_is_default")]
            config: ProcessDocument,
            #[serde(default, deserialize_with = "null_is_default")]
            rootfs: RootFs,
        }
        #[derive(Default, Deserialize)]
        struct RootFs {
            #[serde(default, deserialize_with = "null_is_default")]
            diff_ids: Vec<BlobDigest>,
        }
        let any: Any = read_json("config of the image", text)?;
        if !wanted.runs(&any.platform) {
            let (wanted, found) = (wanted.beside([&any.platform]), any.platform.to_string());
            return Err(DocumentError::OtherPlatform { wanted, found });
        }
        let diff_ids = any.rootfs.diff_ids;
        if diff_ids.len() != layers {
            return Err(DocumentError::LayerCount { layers, diff_ids: diff_ids.len() });
        }
        Ok(Self { diff_ids, process: any.config })
    }
}

/// Reads words. Old builders write one alone as text (docker's `strslice`).
fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        Several(Vec<String>),
        One(String),
    }
    Ok(match Option::<Words>::deserialize(deserializer)? {
        Some(Words::Several(words)) => words,
        Some(Words::One(word)) if !word.is_empty() => vec![word],
        Some(Words::One(_)) | None => Vec::new(),
    })
}

/// Reads the names of a map, whatever they lead to.
fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    struct Ignored {}
    let map = Option::<BTreeMap<String, Option<Ignored>>>::deserialize(deserializer)?;
    Ok(map.unwrap_or_default().into_keys().collect())
}

#[cfg(test)]
#[path = "documents_tests.rs"]
mod tests;
