//! A pull from its source to a whole image in a staging directory.
//!
//! ```text
//! resolve ─▶ room ─▶ unpack ─▶ finish
//!    ▲                  │
//!    └── a cached layer was damaged
//! ```

use std::path::Path;

use banger_sys::files::StagedDirectory;

use super::digest::BlobDigest;
use super::images::OciImages;
use super::pull_error::OciPullError;
use super::resolve::{Layers, Resolved};
use super::wanted::OciPull;
use crate::progress::Progress;

/// A layer that the cache had and that turned out to be damaged is fetched again, once.
const TRIES_MAX: u32 = 2;

impl OciImages {
    /// Fills a staging directory with an image, down to the manifest. Dropping the future gives up; what was fetched
    /// stays in the cache.
    pub(crate) async fn build(
        &self,
        wanted: &OciPull,
        mut staged: StagedDirectory,
        progress: &Progress,
    ) -> Result<StagedDirectory, OciPullError> {
        let mut tries = 0;
        loop {
            tries += 1;
            progress.stage("resolve image", wanted.source.to_string());
            let Resolved { config, digest, layers } = self.resolve(wanted, staged.path(), progress).await?;
            let blobs = match &layers {
                Layers::Remote { blobs, .. } => blobs.clone(),
                Layers::Local(_) => Vec::new(),
            };
            let allowance = self.allowance(wanted, &layers, staged.path())?;
            let (back, flattened) = self.flatten(layers, &config, (staged, allowance), progress).await?;
            staged = back;
            match flattened {
                Ok(root) => return self.finish(wanted, staged, config, &digest, root, progress).await,
                Err(error) if tries < TRIES_MAX && self.evict_damaged(&error, &blobs).await => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a damaged layer is fetched again"
                    );
                }
                Err(error) => return Err(OciPullError::Flatten(error)),
            }
        }
    }

    /// Returns the digest of the image that the source has now. A compressed archive is unpacked into a file without a name in
    /// the directory.
    pub(crate) async fn digest(
        &self,
        wanted: &OciPull,
        directory: &Path,
        progress: &Progress,
    ) -> Result<BlobDigest, OciPullError> {
        progress.stage("resolve image", wanted.source.to_string());
        self.resolve(wanted, directory, progress).await.map(|resolved| resolved.digest)
    }
}

#[cfg(test)]
#[path = "pull_tests.rs"]
mod tests;
