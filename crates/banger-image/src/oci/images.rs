//! The cache of container images and the rules of their pulls. The phases of a pull are in the files `resolve`, `room`,
//! `unpack` and `finish`; `pull` joins them.

use std::path::PathBuf;
use std::sync::Arc;

use banger_fetch::Patience;

use super::cache::BlobCache;
use crate::image::AuthorizedKey;
use crate::pull_rules::PullRules;

/// Images from registries, layouts and archives, which let this key in.
#[derive(Debug)]
pub(crate) struct OciImages {
    pub(super) cache: Arc<BlobCache>,
    pub(super) key: Arc<AuthorizedKey>,
    pub(super) patience: Patience,
    pub(super) rules: PullRules,
}

impl OciImages {
    /// With a cache in this directory.
    pub(crate) fn new(cache: PathBuf, key: Arc<AuthorizedKey>) -> Self {
        Self {
            cache: Arc::new(BlobCache::new(cache)),
            key,
            patience: Patience::default(),
            rules: PullRules::default(),
        }
    }

    /// From now on, pulls keep to these rules.
    pub(crate) fn set_rules(&mut self, rules: PullRules) {
        let home = self.cache.home().to_owned();
        self.cache = Arc::new(BlobCache::new(home).keeping(rules.floor));
        self.rules = rules;
    }

    #[cfg(test)]
    pub(crate) fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// What pulls have left for later ones.
    pub(crate) fn cache(&self) -> &Arc<BlobCache> {
        &self.cache
    }
}
