//! The documents of an image: index, manifest, config (OCI image spec 1.1; Docker image manifest version 2, schema 2).
//! Only what a pull needs is read. `null` counts as absent, because builders write it.

use serde::{Deserialize, Deserializer};

use super::digest::BlobDigest;

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
    #[error("the {what} is damaged")]
    Damaged { what: &'static str, source: serde_json::Error },
    #[error("the manifest is in the form of before 2017 (schema 1), which has no digests of its layers")]
    Schema1,
    #[error("the manifest is neither an image nor a list of images")]
    NotAnImage,
    #[error("the image has no build for {wanted}; it has {}", list(.offered))]
    NoPlatform { wanted: String, offered: Vec<String> },
    #[error("the image is built for {found}, and this host runs {wanted}")]
    OtherPlatform { wanted: String, found: String },
    #[error("the list of images leads to another list too often")]
    TooDeep,
    #[error("the image has {layers} layers, and its config tells of {diff_ids}")]
    LayerCount { layers: usize, diff_ids: usize },
    #[error("the image has {layers} layers; at most {LAYERS_MAX} are possible")]
    TooManyLayers { layers: usize },
    #[error("the layer {digest} is not in this registry: its licence forbids that it is passed on")]
    ForeignLayer { digest: BlobDigest },
}

/// Each layer is an open file while it is flattened.
pub(crate) const LAYERS_MAX: usize = 256;

fn list(platforms: &[String]) -> String {
    if platforms.is_empty() { "none at all".to_owned() } else { platforms.join(", ") }
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
    annotations: std::collections::BTreeMap<String, String>,
}

impl Descriptor {
    /// The name that a layout's index gives an image.
    pub(crate) fn ref_name(&self) -> Option<&str> {
        self.annotations.get("org.opencontainers.image.ref.name").map(String::as_str)
    }

    fn is_foreign(&self) -> bool {
        self.media_type.contains(".foreign.") || self.media_type.contains(".nondistributable.")
    }
}

/// What a build runs on, in Go's words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Platform {
    #[serde(default, deserialize_with = "null_is_default")]
    os: String,
    #[serde(default, deserialize_with = "null_is_default")]
    architecture: String,
    #[serde(default, deserialize_with = "null_is_default")]
    variant: String,
}

impl Platform {
    /// What guests of this host run.
    pub(crate) fn of_guests() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: String::new() }
    }

    pub(crate) fn architecture(&self) -> &str {
        &self.architecture
    }

    fn runs(&self, build: &Self) -> bool {
        self.os == build.os && self.architecture == build.architecture
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { os, architecture, variant } = self;
        write!(formatter, "{os}/{architecture}{}{variant}", if variant.is_empty() { "" } else { "/" })
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
        let any: Any = serde_json::from_slice(text)
            .map_err(|source| DocumentError::Damaged { what: "manifest", source })?;
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

/// Returns the build for this platform.
pub(crate) fn choose<'d>(
    builds: &'d [Descriptor],
    wanted: &Platform,
) -> Result<&'d Descriptor, DocumentError> {
    let named = builds.iter().find(|build| build.platform.as_ref().is_some_and(|found| wanted.runs(found)));
    match (named, builds) {
        (Some(build), _) => Ok(build),
        // One alone without a platform: its config will tell.
        (None, [build]) if build.platform.is_none() => Ok(build),
        (None, _) => Err(DocumentError::NoPlatform {
            wanted: wanted.to_string(),
            // Attestations pretend to be builds for an unknown platform.
            offered: builds
                .iter()
                .filter_map(|build| build.platform.as_ref())
                .filter(|platform| platform.os != "unknown")
                .map(ToString::to_string)
                .collect(),
        }),
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
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) entrypoint: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) cmd: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) working_dir: String,
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
            rootfs: RootFs,
        }
        #[derive(Deserialize)]
        struct RootFs {
            #[serde(default, deserialize_with = "null_is_default")]
            diff_ids: Vec<BlobDigest>,
        }
        let any: Any = serde_json::from_slice(text)
            .map_err(|source| DocumentError::Damaged { what: "config of the image", source })?;
        if !wanted.runs(&any.platform) {
            let (wanted, found) = (wanted.to_string(), any.platform.to_string());
            return Err(DocumentError::OtherPlatform { wanted, found });
        }
        let diff_ids = any.rootfs.diff_ids;
        if diff_ids.len() != layers {
            return Err(DocumentError::LayerCount { layers, diff_ids: diff_ids.len() });
        }
        Ok(Self { diff_ids, process: any.config })
    }
}

fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
#[path = "documents_tests.rs"]
mod tests;
