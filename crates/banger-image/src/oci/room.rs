//! Whether an image fits, before anything of it is fetched.

use std::collections::BTreeMap;
use std::path::Path;

use super::digest::BlobDigest;
use super::images::OciImages;
use super::pull_error::OciPullError;
use super::resolve::Layers;
use super::wanted::OciPull;
use crate::limits::{Allowance, OverLimit, check_floor};

/// Layers unpack to two or three times their size; less than this cannot be enough.
const UNPACKED_RATIO_MIN: u64 = 2;

impl OciImages {
    /// Refuses before anything is fetched what cannot fit, and returns what the rest may take.
    pub(super) fn allowance(
        &self,
        wanted: &OciPull,
        layers: &Layers,
        staged: &Path,
    ) -> Result<Allowance, OciPullError> {
        let sum = |sizes: &mut dyn Iterator<Item = u64>| sizes.fold(0, u64::saturating_add);
        let (missing, all) = match layers {
            Layers::Remote { blobs, .. } => {
                // One that is named twice is fetched once.
                let blobs: BTreeMap<_, _> = blobs.iter().map(|blob| (&blob.digest, blob.size)).collect();
                let is_missing =
                    |digest: &BlobDigest, size| !matches!(self.cache.open(digest, size), Ok(Some(_)));
                let missing = blobs.iter().filter(|(digest, size)| is_missing(digest, **size));
                (sum(&mut missing.map(|(_, size)| *size)), sum(&mut blobs.values().copied()))
            }
            Layers::Local(_) => (0, layers.size()),
        };
        let limits = self.rules.limits.with_bytes_max(wanted.bytes_max);
        if all > limits.unpacked_bytes_max {
            let bytes_max = limits.unpacked_bytes_max;
            return Err(OciPullError::Limit(OverLimit::Bytes { bytes_max }));
        }
        let needed = missing.saturating_add(all.saturating_mul(UNPACKED_RATIO_MIN));
        match check_floor(self.rules.floor, staged, needed) {
            Err(below) => Err(OciPullError::Limit(OverLimit::Floor(below))),
            Ok(()) => Ok(Allowance::new(limits, self.rules.floor, staged.to_owned(), all)),
        }
    }
}
