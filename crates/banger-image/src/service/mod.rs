//! The door to kernels and images: what is there, what can be had, and making it be there.

use std::path::PathBuf;
use std::sync::Arc;

use banger_fetch::Patience;
use banger_model::{ImageName, KernelName};
use banger_sys::keyed_lock::SharedGuard;
use banger_sys::paths::Paths;

use crate::artifact::store::{Store, StoreError};
use crate::bundle::BundleImages;
use crate::catalog::{ImageEntry, image_catalog};
use crate::image::{
    AuthorizedKey, DebianImages, ImageManifest, ImageSource, sweep_build_directories, sweep_refreshes,
};
use crate::kernel::{
    AgentProgram, AptPackages, DebianKernels, KernelEntry, KernelManifest, KernelSource, kernel_catalog,
};
use crate::oci::OciImages;
use crate::pull::{PullError, Pulls, Users};
use crate::pull_rules::PullRules;

mod bundle;
mod by_source;
mod images;
mod kernels;
mod oci;
mod registration;

const KERNEL_BYTES_NEEDED: u64 = 400 << 20;
const IMAGE_BYTES_NEEDED: u64 = 1536 << 20;

/// All kernels and images of one state directory. Share it; every method takes `&self`.
pub struct ImageService {
    kernels: Pulls<KernelManifest>,
    images: Pulls<ImageManifest>,
    kernel_catalog: Vec<KernelEntry>,
    image_catalog: Vec<ImageEntry>,
    kernel_source: Box<dyn KernelSource>,
    image_source: Box<dyn ImageSource>,
    oci: OciImages,
    bundles: BundleImages,
    agent: Arc<AgentProgram>,
    key: Arc<AuthorizedKey>,
}

impl std::fmt::Debug for ImageService {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ImageService")
            .field("kernels", &self.kernels)
            .field("images", &self.images)
            .finish_non_exhaustive()
    }
}

impl ImageService {
    /// The service on these directories. `agent` is the static program that becomes the guests' first process; `key` is
    /// let into every image.
    #[must_use]
    pub fn new(paths: &Paths, agent: PathBuf, key: AuthorizedKey) -> Self {
        let (agent, key) = (Arc::new(AgentProgram::new(agent)), Arc::new(key));
        Self {
            kernels: Pulls::new(Store::new(paths.kernels()), KERNEL_BYTES_NEEDED),
            images: Pulls::new(Store::new(paths.images()), IMAGE_BYTES_NEEDED),
            kernel_catalog: kernel_catalog(),
            image_catalog: image_catalog(),
            kernel_source: Box::new(DebianKernels {
                packages: Box::new(AptPackages),
                agent: Arc::clone(&agent),
            }),
            image_source: Box::new(DebianImages { key: Arc::clone(&key) }),
            oci: OciImages::new(paths.blob_cache(), Arc::clone(&key)),
            bundles: BundleImages {
                key: Arc::clone(&key),
                patience: Patience::default(),
                rules: PullRules::default(),
            },
            agent,
            key,
        }
    }

    /// From now on, a kernel or image of which these know VMs is not removed; and no image of theirs is replaced by
    /// another one: their overlays belong to that very root.
    pub fn keep_for(&mut self, kernel_users: Users<KernelName>, image_users: Users<ImageName>) {
        self.kernels.keep_for(kernel_users);
        self.images.keep_for(image_users);
    }

    /// From now on, pulls keep to these rules. Before the first pull.
    pub fn set_rules(&mut self, rules: PullRules) {
        (self.kernels.floor, self.images.floor) = (rules.floor, rules.floor);
        self.bundles.rules = rules.clone();
        self.oci.set_rules(rules);
    }

    /// The local kernels.
    #[must_use]
    pub fn kernels(&self) -> &Store<KernelManifest> {
        &self.kernels.store
    }

    /// The local images.
    #[must_use]
    pub fn images(&self) -> &Store<ImageManifest> {
        &self.images.store
    }

    /// The kernels that can be pulled.
    #[must_use]
    pub fn available_kernels(&self) -> &[KernelEntry] {
        &self.kernel_catalog
    }

    /// The images that can be pulled.
    #[must_use]
    pub fn available_images(&self) -> &[ImageEntry] {
        &self.image_catalog
    }

    /// Removes what died with an earlier daemon. Before the first pull.
    ///
    /// # Errors
    /// [`StoreError::List`].
    pub fn sweep(&self) -> Result<(), StoreError> {
        self.kernels.store.sweep()?;
        self.images.store.sweep()?;
        sweep_build_directories(self.images.store.directory());
        sweep_refreshes(self.images.store.directory());
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn make_impatient(&mut self, patience: Patience) {
        self.oci.set_patience(patience);
        self.bundles.patience = patience;
    }

    fn check_name(&self, name: &ImageName) -> Result<(), PullError> {
        if self.image_catalog.iter().any(|entry| entry.name == *name) {
            return Err(PullError::NameOfCatalog { name: name.to_string() });
        }
        Ok(())
    }
}

/// Keeps a kernel or an image in its place until it is dropped.
#[derive(Debug)]
pub struct Hold(#[expect(dead_code, reason = "held for its drop")] SharedGuard);

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;

#[cfg(test)]
mod crash_tests;

#[cfg(test)]
mod kernel_tests;
