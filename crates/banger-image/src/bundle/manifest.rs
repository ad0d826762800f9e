//! The manifest inside a bundle. Format 1. A bundle comes from elsewhere: every name in it becomes a type here.

use std::num::NonZeroU16;

use banger_model::{ImageName, KernelName};
use serde::{Deserialize, Serialize};

use super::error::BundleError;
use crate::artifact::digest::FileRecord;
use crate::image::{ImageFacts, ImageManifest, ImageProcess};

const FORMAT_VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BundleManifest {
    format_version: u32,
    /// What the image was called where the bundle was made.
    name: ImageName,
    distro: String,
    arch: String,
    pub(super) kernel: KernelName,
    ready_ports: Vec<NonZeroU16>,
    init: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    process: Option<ImageProcess>,
    packages: Vec<String>,
    origin: String,
    /// When the image was made (RFC 3339).
    created_at: String,
    pub(super) rootfs: FileRecord,
}

#[derive(Deserialize)]
struct Version {
    format_version: u32,
}

impl BundleManifest {
    pub(super) fn of(image: &ImageManifest, rootfs: FileRecord) -> Self {
        let image = image.clone();
        Self {
            format_version: FORMAT_VERSION,
            name: image.name,
            distro: image.distro,
            arch: image.arch,
            kernel: image.kernel,
            ready_ports: image.ready_ports,
            init: image.init,
            process: image.process,
            packages: image.packages,
            origin: image.origin,
            created_at: image.created_at,
            rootfs,
        }
    }

    pub(super) fn parse(text: &[u8]) -> Result<Self, BundleError> {
        let Version { format_version: version } =
            serde_json::from_slice(text).map_err(BundleError::Manifest)?;
        if version > FORMAT_VERSION {
            return Err(BundleError::NewerManifest { version, known: FORMAT_VERSION });
        }
        serde_json::from_slice(text).map_err(BundleError::Manifest)
    }

    /// Returns what is known of the image that is made of it, under the name that it gets here.
    pub(super) fn into_facts(self, name: ImageName, kernel: Option<KernelName>) -> ImageFacts {
        ImageFacts {
            name,
            distro: self.distro,
            arch: self.arch,
            kernel: kernel.unwrap_or(self.kernel),
            ready_ports: self.ready_ports,
            init: self.init,
            process: self.process,
            packages: self.packages,
            origin: self.origin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_format_stays_readable_and_is_written_as_it_is() {
        let text = include_str!("../../testdata/bundle-manifest-1.json");
        let manifest = BundleManifest::parse(text.as_bytes()).unwrap();
        assert_eq!(serde_json::to_string_pretty(&manifest).unwrap() + "\n", text);
        let facts = manifest.into_facts("mine".parse().unwrap(), None);
        assert_eq!((facts.name.as_str(), facts.kernel.as_str()), ("mine", "debian-12"));
    }

    #[test]
    fn names_and_ports_that_make_no_sense_are_refused() {
        let text = include_str!("../../testdata/bundle-manifest-1.json");
        for (from, to) in [
            ("\"debian-12\"", "\"../../etc\""),
            ("22", "0"),
            ("22", "70000"),
            ("\"packages\"", "\"more\""),
            ("\"format_version\": 1", "\"format_version\": 2"),
        ] {
            assert!(BundleManifest::parse(text.replacen(from, to, 1).as_bytes()).is_err(), "{to}");
        }
    }
}
