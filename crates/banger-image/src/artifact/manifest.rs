//! What kernels and images have in common: a directory with files and a manifest that records them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use banger_model::ArtifactKind;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::artifact::digest::FileRecord;
use crate::artifact::linked_file::LinkedFile;

/// The manifest's name in its directory.
pub(crate) const MANIFEST_FILE: &str = "manifest.json";

/// What a manifest of either kind tells.
pub trait Manifest: Serialize + DeserializeOwned + Clone + Send + 'static {
    /// The kind's names.
    type Name: Clone + std::fmt::Display + std::str::FromStr + Eq + std::hash::Hash + Send + Sync + 'static;
    /// Which kind it is.
    const KIND: ArtifactKind;
    /// The version that this crate writes; it reads all older ones.
    const FORMAT_VERSION: u32;
    /// May it be replaced while VMs use it? Their next start then takes the new one.
    const CAN_CHANGE_UNDER_VMS: bool;

    /// Whose manifest it is.
    fn name(&self) -> &Self::Name;
    /// The files beside the manifest that never change, by name.
    fn files(&self) -> Vec<(&str, &FileRecord)>;
    /// The files of the host that it consists of.
    fn linked_files(&self) -> Vec<&LinkedFile> {
        Vec::new()
    }
}

/// A local kernel or image.
#[derive(Clone, Debug)]
pub struct Artifact<M> {
    /// Where its files are.
    pub directory: PathBuf,
    /// What is known of it.
    pub manifest: M,
}

impl<M> Artifact<M> {
    /// Returns where one of its files is.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// Returns the manifest as it is written to disk.
pub(crate) fn manifest_bytes<M: Manifest>(manifest: &M) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = serde_json::to_vec_pretty(manifest)?;
    text.push(b'\n');
    Ok(text)
}

/// Returns the records of these files of a directory.
pub(crate) fn record_files(
    directory: &Path,
    names: &[&str],
) -> Result<BTreeMap<String, FileRecord>, (PathBuf, std::io::Error)> {
    names
        .iter()
        .map(|name| {
            let path = directory.join(name);
            let record = FileRecord::of_file(&path).map_err(|source| (path, source))?;
            Ok(((*name).to_owned(), record))
        })
        .collect()
}
