//! The last step of every way to an image of ours: the root is there, and gets its work-seed and its manifest.

use std::fs;
use std::io;
use std::num::NonZeroU16;
use std::path::PathBuf;

use banger_model::{ImageName, KernelName};
use banger_sys::failpoint;
use banger_sys::files::StagedDirectory;
use banger_sys::id::random_hex;

use crate::artifact::digest::FileRecord;
use crate::artifact::{MANIFEST_FILE, manifest_bytes};
use crate::image::authorized_key::AuthorizedKey;
use crate::image::home_source::HomeSource;
use crate::image::manifest::{ImageManifest, ManagedFiles, ROOTFS, Source, WORK_SEED};
use crate::image::process::ImageProcess;
use crate::image::work_seed::{WorkSeedError, write_work_seed};

/// Why an image whose root is there does not become whole.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum FinishError {
    #[error("cannot create the image's work-seed")]
    WorkSeed(#[source] WorkSeedError),
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write the manifest of the image")]
    Manifest(#[source] serde_json::Error),
    #[error("cannot write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Reads the root of an image to its end, for its record.
pub(crate) fn record_rootfs(staged: &StagedDirectory) -> Result<FileRecord, FinishError> {
    let path = staged.path().join(ROOTFS);
    FileRecord::of_file(&path).map_err(|source| FinishError::Read { path, source })
}

/// What is known of an image, apart from its files.
#[derive(Clone, Debug)]
pub(crate) struct ImageFacts {
    pub(crate) name: ImageName,
    pub(crate) distro: String,
    pub(crate) arch: String,
    pub(crate) kernel: KernelName,
    pub(crate) ready_ports: Vec<NonZeroU16>,
    pub(crate) init: Option<String>,
    pub(crate) process: Option<ImageProcess>,
    pub(crate) packages: Vec<String>,
    pub(crate) origin: String,
}

/// Adds work-seed and manifest to a directory that has the root, which is recorded as it was written.
pub(crate) fn finish_image(
    staged: StagedDirectory,
    facts: ImageFacts,
    rootfs: FileRecord,
    key: &AuthorizedKey,
) -> Result<StagedDirectory, FinishError> {
    let home = staged.path();
    failpoint::pass("finish image");
    let root = HomeSource::of_root(home.join(ROOTFS));
    write_work_seed(&root, &home.join(WORK_SEED), key).map_err(FinishError::WorkSeed)?;
    let files = ManagedFiles { rootfs, home: None, seeded_key: Some(key.fingerprint().clone()) };
    let manifest = ImageManifest {
        name: facts.name,
        id: random_hex::<8>(),
        distro: facts.distro,
        arch: facts.arch,
        kernel: facts.kernel,
        source: Source::Managed(files),
        ready_ports: facts.ready_ports,
        init: facts.init,
        process: facts.process,
        packages: facts.packages,
        origin: facts.origin,
        created_at: jiff::Timestamp::now().to_string(),
    };
    write_manifest(&staged, &manifest)?;
    Ok(staged)
}

/// Writes the manifest of an image whose files are there.
pub(crate) fn write_manifest(staged: &StagedDirectory, manifest: &ImageManifest) -> Result<(), FinishError> {
    let text = manifest_bytes(manifest).map_err(FinishError::Manifest)?;
    let path = staged.path().join(MANIFEST_FILE);
    fs::write(&path, text).map_err(|source| FinishError::Write { path, source })?;
    failpoint::pass("image finished");
    Ok(())
}
