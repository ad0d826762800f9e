//! A local image: its manifest and its files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use banger_model::{ImageName, KernelName};
use serde::{Deserialize, Serialize};

use crate::artifact::{Artifact, Kind, Manifest};
use crate::digest::FileRecord;

/// The read-only root of all its VMs.
pub(crate) const ROOTFS: &str = "rootfs.ext4";
/// What a work disk starts with: the content of `/root`, with owners and modes.
pub(crate) const WORK_SEED: &str = "work-seed.tar";

/// What is recorded of an image. Format 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageManifest {
    /// Version of this form.
    pub format_version: u32,
    /// Its name.
    pub name: ImageName,
    /// Different for every build, in hexadecimal: an image that was replaced is another one.
    pub id: String,
    /// Whose system it is: `debian`.
    pub distro: String,
    /// Architecture in the distribution's words: `amd64`.
    pub arch: String,
    /// The kernel its VMs boot where nobody names another.
    pub kernel: KernelName,
    /// The files beside the manifest.
    pub files: BTreeMap<String, FileRecord>,
    /// Ports that must answer before a VM counts as fully up.
    pub ready_ports: Vec<u16>,
    /// Its init; none means that the guest looks for one.
    pub init: Option<String>,
    /// The packages that were asked for.
    pub packages: Vec<String>,
    /// Where it came from, for people.
    pub source: String,
    /// When it was made (RFC 3339).
    pub created_at: String,
}

impl Manifest for ImageManifest {
    type Name = ImageName;
    const KIND: Kind = Kind::Image;

    fn name(&self) -> &ImageName {
        &self.name
    }

    fn files(&self) -> &BTreeMap<String, FileRecord> {
        &self.files
    }
}

/// A local image.
pub type Image = Artifact<ImageManifest>;

impl Image {
    /// The read-only root, shared by all its VMs.
    #[must_use]
    pub fn rootfs(&self) -> PathBuf {
        self.file(ROOTFS)
    }

    /// What a work disk starts with, as a tar.
    #[must_use]
    pub fn work_seed(&self) -> PathBuf {
        self.file(WORK_SEED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::manifest_bytes;

    #[test]
    fn the_first_format_of_an_image_manifest_stays_readable() {
        let text = include_str!("../../testdata/image-manifest-1.json");
        let manifest: ImageManifest = serde_json::from_str(text).unwrap();
        assert_eq!(manifest.kernel.as_str(), "debian-12");
        assert_eq!(String::from_utf8(manifest_bytes(&manifest).unwrap()).unwrap(), text);
    }
}
