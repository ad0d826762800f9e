//! What an image of Debian packages is made of, as its entry of the catalog says it.

use std::num::NonZeroU16;

use serde::Deserialize;

/// What an image of Debian packages is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// Release of the distribution.
    pub(crate) suite: String,
    pub(crate) ready_ports: Vec<NonZeroU16>,
    pub(crate) packages: Vec<String>,
    pub(crate) dpkg_options: Vec<String>,
    pub(crate) excluded_paths: Vec<String>,
    pub(crate) included_paths: Vec<String>,
    pub(crate) left_out: Vec<String>,
    pub(crate) masked_units: Vec<String>,
    pub(crate) masked_generators: Vec<String>,
    pub(crate) links: Vec<Link>,
    pub(crate) files: Vec<GuestFile>,
}

/// A symbolic link of the image.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    /// Relative to the root.
    pub(crate) path: String,
    pub(crate) target: String,
}

/// A text file of the image, owned by root, 0644.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GuestFile {
    /// Relative to the root.
    pub(crate) path: String,
    pub(crate) content: String,
}
