//! A local image: what is known of it, and where its files are.

use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use banger_model::{ImageName, KernelName};
use serde::{Deserialize, Serialize};

use crate::artifact::{Artifact, Kind, Manifest};
use crate::digest::FileRecord;
use crate::image::authorized_key::KeyFingerprint;
use crate::image::manifest_form::ImageForm;
use crate::image::process::ImageProcess;
use crate::image::work_seed::{HomeSource, ROOT_HOME};
use crate::linked_file::LinkedFile;

/// The read-only root of all its VMs.
pub(crate) const ROOTFS: &str = "rootfs.ext4";
/// What a work disk starts with: the content of `/root`, with the user's key.
pub(crate) const WORK_SEED: &str = "work-seed.ext4";

/// What is recorded of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Value", into = "ImageForm")]
pub struct ImageManifest {
    /// Its name.
    pub name: ImageName,
    /// Different for every build, in hexadecimal: an image that was replaced is another one.
    pub id: String,
    /// Whose system it is: `debian`; empty where nobody knows.
    pub distro: String,
    /// Architecture in the distribution's words: `amd64`.
    pub arch: String,
    /// The kernel its VMs boot where nobody names another.
    pub kernel: KernelName,
    /// Whose files it consists of.
    pub source: Source,
    /// Ports that must answer before a VM counts as fully up.
    pub ready_ports: Vec<NonZeroU16>,
    /// Its init; none means that the guest looks for one.
    pub init: Option<String>,
    /// How its processes start; none means as anywhere.
    pub process: Option<ImageProcess>,
    /// The packages that were asked for.
    pub packages: Vec<String>,
    /// Where it came from, for people.
    pub origin: String,
    /// When it was made (RFC 3339).
    pub created_at: String,
}

/// Whose files an image consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Ours, in the image's own directory.
    Managed(ManagedFiles),
    /// Files of the host that were registered where they are.
    Linked(LinkedFiles),
}

/// The files of an image that is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedFiles {
    /// Its root.
    pub rootfs: FileRecord,
    /// The key that its work-seed lets in; none means that there is no work-seed yet.
    pub seeded_key: Option<KeyFingerprint>,
}

/// The files of an image that was registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedFiles {
    /// Its root.
    pub rootfs: LinkedFile,
    /// What a work disk starts with; none means the `/root` of its root.
    pub work_seed: Option<LinkedFile>,
}

impl ImageManifest {
    /// Returns how large its files are together.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        let linked: u64 = self.linked_files().iter().map(|file| file.size).sum();
        linked + self.files().iter().map(|(_, record)| record.size).sum::<u64>()
    }
}

impl Manifest for ImageManifest {
    type Name = ImageName;
    const KIND: Kind = Kind::Image;
    const FORMAT_VERSION: u32 = 2;

    fn name(&self) -> &ImageName {
        &self.name
    }

    fn files(&self) -> Vec<(&str, &FileRecord)> {
        match &self.source {
            Source::Managed(files) => vec![(ROOTFS, &files.rootfs)],
            Source::Linked(_) => Vec::new(),
        }
    }

    fn linked_files(&self) -> Vec<&LinkedFile> {
        match &self.source {
            Source::Managed(_) => Vec::new(),
            Source::Linked(files) => {
                [Some(&files.rootfs), files.work_seed.as_ref()].into_iter().flatten().collect()
            }
        }
    }
}

/// A local image.
pub type Image = Artifact<ImageManifest>;

impl Image {
    /// The read-only root, shared by all its VMs.
    #[must_use]
    pub fn rootfs(&self) -> PathBuf {
        match &self.manifest.source {
            Source::Managed(_) => self.file(ROOTFS),
            Source::Linked(files) => files.rootfs.path.clone(),
        }
    }

    /// Returns where a new work disk's content can come from, the best place first.
    pub(crate) fn homes(&self) -> Vec<HomeSource> {
        let of_root = |rootfs: &Path| HomeSource { file: rootfs.to_owned(), directory: ROOT_HOME };
        let seed = |file: PathBuf| HomeSource { file, directory: b"" };
        match &self.manifest.source {
            Source::Managed(ManagedFiles { seeded_key: Some(_), .. }) => {
                vec![seed(self.file(WORK_SEED)), of_root(&self.rootfs())]
            }
            Source::Managed(ManagedFiles { seeded_key: None, .. }) => vec![of_root(&self.rootfs())],
            Source::Linked(LinkedFiles { work_seed: Some(file), .. }) => vec![seed(file.path.clone())],
            Source::Linked(LinkedFiles { rootfs, work_seed: None }) => vec![of_root(&rootfs.path)],
        }
    }
}
