//! Whether an image fits, before anything of it is fetched.

use std::collections::BTreeMap;
use std::path::Path;

use super::digest::BlobDigest;
use super::documents::Descriptor;
use super::images::OciImages;
use super::pull_error::OciPullError;
use super::resolve::Layers;
use super::wanted::OciPull;
use crate::limits::{Allowance, OverLimit, check_floor};

/// Layers unpack to two or three times their size; less than this cannot be enough.
const UNPACKED_RATIO_MIN: u64 = 2;

/// The size of an image's layers, in bytes as they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Demand {
    /// Of those that must still be fetched.
    missing: u64,
    all: u64,
}

impl Demand {
    /// The demand of layers in a registry. One that is listed twice is fetched once.
    fn of_blobs(blobs: &[Descriptor], is_cached: impl Fn(&BlobDigest, u64) -> bool) -> Self {
        let blobs: BTreeMap<_, _> = blobs.iter().map(|blob| (&blob.digest, blob.size)).collect();
        blobs.into_iter().fold(Self { missing: 0, all: 0 }, |sum, (digest, size)| Self {
            missing: if is_cached(digest, size) { sum.missing } else { sum.missing.saturating_add(size) },
            all: sum.all.saturating_add(size),
        })
    }

    /// Returns the bytes that the disk must have, or refuses layers that are larger than their content may be.
    fn disk_bytes(self, bytes_max: u64) -> Result<u64, OverLimit> {
        if self.all > bytes_max {
            return Err(OverLimit::Bytes { bytes_max });
        }
        Ok(self.missing.saturating_add(self.all.saturating_mul(UNPACKED_RATIO_MIN)))
    }
}

impl OciImages {
    /// Refuses before anything is fetched what cannot fit, and returns what the rest may take.
    pub(super) fn allowance(
        &self,
        wanted: &OciPull,
        layers: &Layers,
        staged: &Path,
    ) -> Result<Allowance, OciPullError> {
        let is_cached = |digest: &BlobDigest, size| matches!(self.cache.open(digest, size), Ok(Some(_)));
        let demand = match layers {
            Layers::Remote { blobs, .. } => Demand::of_blobs(blobs, is_cached),
            Layers::Local(_) => Demand { missing: 0, all: layers.size() },
        };
        let (limits, floor) = (self.rules.limits.with_bytes_max(wanted.bytes_max), self.rules.floor);
        let needed = demand.disk_bytes(limits.unpacked_bytes_max).map_err(OciPullError::Limit)?;
        let fits = check_floor(floor, staged, needed);
        fits.map_err(|below| OciPullError::Limit(OverLimit::Floor(below)))?;
        Ok(Allowance::new(limits, floor, staged.to_owned(), demand.all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(content: &[u8], size: u64) -> Descriptor {
        let digest = BlobDigest::of(content).to_string();
        serde_json::from_value(serde_json::json!({ "digest": digest, "size": size })).unwrap()
    }

    #[test]
    fn a_layer_counts_once_and_is_fetched_unless_it_is_cached() {
        let blobs = [blob(b"a", 10), blob(b"b", 5), blob(b"a", 10)];
        let demand = Demand::of_blobs(&blobs, |digest, _size| *digest == BlobDigest::of(b"b"));
        assert_eq!(demand, Demand { missing: 10, all: 15 });
    }

    #[test]
    fn the_disk_must_have_what_is_fetched_and_twice_the_layers() {
        let demand = Demand { missing: 10, all: 15 };
        assert_eq!(demand.disk_bytes(15).unwrap(), 40);
        assert!(matches!(demand.disk_bytes(14), Err(OverLimit::Bytes { bytes_max: 14 })));
        let endless = Demand { missing: u64::MAX, all: u64::MAX };
        assert_eq!(endless.disk_bytes(u64::MAX).unwrap(), u64::MAX);
    }
}
