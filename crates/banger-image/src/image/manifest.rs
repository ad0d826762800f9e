//! A local image: what is known of it, and where its files are.

use std::num::NonZeroU16;
use std::path::PathBuf;

use banger_model::{ArtifactKind, ImageName, KernelName};

use crate::artifact::digest::FileRecord;
use crate::artifact::linked_file::LinkedFile;
use crate::artifact::{Artifact, Manifest};
use crate::image::authorized_key::KeyFingerprint;
use crate::image::home_source::HomeSource;
use crate::image::process::ImageProcess;

/// The read-only root of all its VMs.
pub(crate) const ROOTFS: &str = "rootfs.ext4";
/// What a work disk starts with: the content of `/root`, with the user's key.
pub(crate) const WORK_SEED: &str = "work-seed.ext4";
/// The work-seed that an image was registered with, as it was: ours is made of it.
pub(crate) const HOME: &str = "home.ext4";

/// What is recorded of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// What its work-seed is made of; none means the `/root` of its root.
    pub home: Option<FileRecord>,
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
    const KIND: ArtifactKind = ArtifactKind::Image;
    const FORMAT_VERSION: u32 = 2;
    const CAN_CHANGE_UNDER_VMS: bool = false;

    fn name(&self) -> &ImageName {
        &self.name
    }

    fn files(&self) -> Vec<(&str, &FileRecord)> {
        match &self.source {
            Source::Managed(files) => {
                let home = files.home.as_ref().map(|home| (HOME, home));
                [Some((ROOTFS, &files.rootfs)), home].into_iter().flatten().collect()
            }
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

    /// Tells whether it was registered with a work-seed, so that homes do not start as the `/root` of its root.
    pub(crate) fn has_own_home(&self) -> bool {
        match &self.manifest.source {
            Source::Managed(files) => files.home.is_some(),
            Source::Linked(files) => files.work_seed.is_some(),
        }
    }

    /// Returns where a new work disk's content can come from, the best place first.
    pub(crate) fn homes(&self) -> Vec<HomeSource> {
        let has_seed = match &self.manifest.source {
            Source::Managed(files) => files.seeded_key.is_some(),
            Source::Linked(_) => false,
        };
        let seed = has_seed.then(|| HomeSource::whole(self.file(WORK_SEED)));
        seed.into_iter().chain([self.home()]).collect()
    }

    /// Returns what a work-seed is made of.
    pub(crate) fn home(&self) -> HomeSource {
        match &self.manifest.source {
            Source::Managed(ManagedFiles { home: Some(_), .. }) => HomeSource::whole(self.file(HOME)),
            Source::Linked(LinkedFiles { work_seed: Some(file), .. }) => HomeSource::whole(file.path.clone()),
            Source::Managed(_) | Source::Linked(_) => HomeSource::of_root(self.rootfs()),
        }
    }
}
