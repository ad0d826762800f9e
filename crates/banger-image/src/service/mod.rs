//! The door to kernels and images: what is there, what can be had, and making it be there.

use std::path::PathBuf;
use std::sync::Arc;

use banger_fetch::Patience;
use banger_model::{ImageName, KernelName};
use banger_sys::blocking::run_blocking;
use banger_sys::files::StagedDirectory;
use banger_sys::keyed_lock::SharedGuard;
use banger_sys::paths::Paths;

use crate::artifact::Kind;
use crate::artifact::store::{Store, StoreError};
use crate::bundle::{BundleImages, BundlePull, BundlePullError};
use crate::catalog::{EntrySource, ImageEntry, image_catalog};
use crate::image::{
    AuthorizedKey, DebianImages, Image, ImageManifest, ImageRegistration, ImageSource, PromoteError, Source,
    copy_registered, is_stale as is_seed_stale, refresh_work_seed, sweep_build_directories, sweep_refreshes,
};
use crate::kernel::{
    AgentProgram, AptPackages, DebianKernels, Kernel, KernelEntry, KernelImport, KernelManifest,
    KernelSource, is_stale, kernel_catalog, refresh_initramfs,
};
use crate::oci::{ArchiveInput, CacheError, OciImages, OciPull, OciSource, Prune, Pruned};
use crate::progress::Progress;
use crate::pull::{Build, PullError, Pulls, Removal, Replace, Successor, Users};
use crate::pull_rules::PullRules;

mod by_source;

const KERNEL_BYTES_NEEDED: u64 = 400 << 20;
const IMAGE_BYTES_NEEDED: u64 = 1536 << 20;
/// What counts is asked again when the layers are known.
const OCI_BYTES_NEEDED: u64 = 64 << 20;
/// A manifest, and for a promotion the work-seed beside the copies.
const REGISTER_BYTES_NEEDED: u64 = 1 << 20;
const WORK_SEED_BYTES_NEEDED: u64 = 64 << 20;
/// A bundle's size is not known before it comes.
const BUNDLE_BYTES_NEEDED: u64 = 256 << 20;

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

    /// Returns the kernel, ready to boot: pulled if it is not there, with this banger's agent in its initramfs, its
    /// files looked at. Dropping the future gives up; only whole things stay.
    ///
    /// # Errors
    /// [`PullError`], but never that it is already pulled.
    pub async fn ensure_kernel(&self, name: &KernelName, progress: &Progress) -> Result<Kernel, PullError> {
        let kernel = self.kernels.ensure(name, self.kernel_build(name, progress)).await?;
        self.with_this_agent(kernel, progress).await
    }

    /// Pulls the kernel because somebody asked for it.
    ///
    /// # Errors
    /// [`PullError::AlreadyPulled`] unless it may be replaced.
    pub async fn pull_kernel(
        &self,
        name: &KernelName,
        replace: Replace,
        progress: &Progress,
    ) -> Result<Kernel, PullError> {
        self.kernels.pull(name, replace, self.kernel_build(name, progress)).await
    }

    /// Returns the kernel as [`ImageService::ensure_kernel`] does, and keeps it in its place until the hold is dropped: a
    /// machine is started from files of one kernel, never from those of two.
    ///
    /// # Errors
    /// As [`ImageService::ensure_kernel`].
    pub async fn hold_kernel(
        &self,
        name: &KernelName,
        progress: &Progress,
    ) -> Result<(Kernel, Hold), PullError> {
        loop {
            let hold = Hold(self.kernels.hold(name).await);
            match self.kernels.usable(name) {
                Ok(Some(kernel)) if !self.is_stale(&kernel)? => return Ok((kernel, hold)),
                Ok(_) | Err(_) => drop(hold),
            }
            // Who makes it wants it alone. It may be removed or replaced again before it is held.
            self.ensure_kernel(name, progress).await?;
        }
    }

    /// Makes a kernel out of what somebody brings.
    ///
    /// # Errors
    /// [`PullError::NameTaken`] unless it may be replaced, [`PullError::Import`].
    pub async fn import_kernel(
        &self,
        import: KernelImport,
        replace: Replace,
        progress: &Progress,
    ) -> Result<Kernel, PullError> {
        let name = import.name().clone();
        let text = name.to_string();
        let build: Build<'_> = Box::new(move |staged| {
            Box::pin(async move {
                let built = import.build(staged, &self.agent, progress).await;
                built.map_err(|source| PullError::Import { name: text, source })
            })
        });
        self.kernels.import(KERNEL_BYTES_NEEDED, &name, replace, build).await
    }

    /// Refuses an import at once whose name is taken.
    ///
    /// # Errors
    /// [`PullError::NameTaken`] unless it may be replaced.
    pub fn refuse_taken_kernel(&self, name: &KernelName, replace: Replace) -> Result<(), PullError> {
        self.kernels.refuse_taken(name, replace)
    }

    /// Refuses a kernel that VMs use.
    ///
    /// # Errors
    /// [`PullError::InUse`].
    pub fn refuse_used_kernel(&self, name: &KernelName) -> Result<(), PullError> {
        self.kernels.refuse_used(name)
    }

    /// Waits until nobody pulls the kernel or starts a machine from it; then it can be removed.
    ///
    /// # Errors
    /// [`PullError::NotHere`], [`PullError::InUse`].
    pub async fn kernel_removal(&self, name: &KernelName) -> Result<Removal, PullError> {
        self.kernels.removal(name).await
    }

    /// Returns the image, pulled if it is not there, its files looked at, its work-seed with this user's key. Its kernel
    /// is the caller's next wish.
    ///
    /// # Errors
    /// [`PullError`], but never that it is already pulled.
    pub async fn ensure_image(&self, name: &ImageName, progress: &Progress) -> Result<Image, PullError> {
        let image = self.images.ensure(name, self.image_build(name, progress)).await?;
        Ok(self.with_this_key(image, progress).await)
    }

    /// As [`ImageService::ensure_image`]; and the image is neither replaced nor deleted for as long as the hold lives.
    ///
    /// # Errors
    /// As [`ImageService::ensure_image`].
    pub async fn hold_image(
        &self,
        name: &ImageName,
        progress: &Progress,
    ) -> Result<(Image, Hold), PullError> {
        loop {
            let hold = Hold(self.images.hold(name).await);
            if let Ok(Some(image)) = self.images.usable(name) {
                return Ok((self.with_this_key(image, progress).await, hold));
            }
            drop(hold);
            // Who makes it wants it alone. It may be deleted or replaced again before it is held.
            self.ensure_image(name, progress).await?;
        }
    }

    /// Registers files of the host as an image, where they are.
    ///
    /// # Errors
    /// [`PullError::NameTaken`] unless it may be replaced; [`PullError::NameOfCatalog`]; [`PullError::InUse`].
    pub async fn register_image(
        &self,
        registration: ImageRegistration,
        replace: Replace,
    ) -> Result<Image, PullError> {
        self.check_name(registration.name())?;
        let name = registration.name().clone();
        let failed = |source| PullError::Register { name: name.to_string(), source };
        let build: Build<'_> = Box::new(move |staged| {
            Box::pin(async move { run_blocking(move |_| registration.write(staged)).await.map_err(failed) })
        });
        self.images.import(REGISTER_BYTES_NEEDED, &name, replace, build).await
    }

    /// Refuses at once what must not be registered.
    ///
    /// # Errors
    /// As [`ImageService::register_image`].
    pub fn check_registration(
        &self,
        registration: &ImageRegistration,
        replace: Replace,
    ) -> Result<(), PullError> {
        self.check_name(registration.name())?;
        self.images.refuse_taken(registration.name(), replace)
    }

    /// Gives a registered image files of its own: copies, and a work-seed with this user's key. It stays the same image
    /// for its VMs. Dropping the future gives up.
    ///
    /// # Errors
    /// [`PullError::NotHere`]; [`PullError::Promote`], also when its files are its own already.
    pub async fn promote_image(&self, name: &ImageName, progress: &Progress) -> Result<Image, PullError> {
        let held = self.images.lock(name).await;
        let Some(image) = self.images.usable(name)? else {
            return Err(PullError::NotHere { kind: Kind::Image, name: name.to_string() });
        };
        let failed = |source| PullError::Promote { name: name.to_string(), source };
        if matches!(image.manifest.source, Source::Managed(_)) {
            return Err(failed(PromoteError::Managed { name: name.clone() }));
        }
        let bytes_needed = image.manifest.size_bytes() + WORK_SEED_BYTES_NEEDED;
        let (key, told) = (Arc::clone(&self.key), progress.clone());
        let build: Build<'_> = Box::new(move |staged| {
            Box::pin(async move {
                let copied =
                    run_blocking(move |cancelled| copy_registered(&image, staged, &key, &told, cancelled));
                copied.await.map_err(failed)
            })
        });
        self.images.make(held, bytes_needed, name, Successor::Same, build).await
    }

    /// Waits until nobody pulls the image or starts a machine from it, and keeps both from happening.
    ///
    /// # Errors
    /// [`PullError::NotHere`], [`PullError::InUse`].
    pub async fn image_removal(&self, name: &ImageName) -> Result<Removal, PullError> {
        self.images.removal(name).await
    }

    /// Refuses an image that VMs need as it is.
    ///
    /// # Errors
    /// [`PullError::InUse`].
    pub fn refuse_used_image(&self, name: &ImageName) -> Result<(), PullError> {
        self.images.refuse_used(name)
    }

    /// Pulls the image because somebody asked for it.
    ///
    /// # Errors
    /// [`PullError::AlreadyPulled`] unless it may be replaced.
    pub async fn pull_image(
        &self,
        name: &ImageName,
        replace: Replace,
        progress: &Progress,
    ) -> Result<Image, PullError> {
        self.images.pull(name, replace, self.image_build(name, progress)).await
    }

    #[cfg(test)]
    pub(crate) fn make_impatient(&mut self, patience: Patience) {
        self.oci.set_patience(patience);
        self.bundles.patience = patience;
    }

    /// Pulls an image from a registry, a layout or an archive. Dropping the future gives up; what was fetched stays in
    /// the cache.
    ///
    /// # Errors
    /// [`PullError::NameTaken`] unless it may be replaced; [`PullError::NameOfCatalog`] before anything is made.
    pub async fn pull_oci(
        &self,
        wanted: &OciPull,
        replace: Replace,
        progress: &Progress,
    ) -> Result<Image, PullError> {
        self.check_oci_name(wanted)?;
        let build: Build<'_> = Box::new(move |staged| Box::pin(self.build_oci(wanted, staged, progress)));
        self.images.import(OCI_BYTES_NEEDED, &wanted.name, replace, build).await
    }

    /// Opens a layout or an archive, and returns the name that its image carries, else the one that its file gives it.
    /// `input` is the file that stands for standard input.
    ///
    /// # Errors
    /// [`PullError::Oci`], [`PullError::Input`]; [`PullError::Unnamed`] when there is neither.
    pub async fn name_archive(
        &self,
        source: &OciSource,
        input: Option<PathBuf>,
        bytes_max: Option<u64>,
        progress: &Progress,
    ) -> Result<(Option<ArchiveInput>, ImageName), PullError> {
        progress.stage("read archive", source.to_string());
        let directory = self.images.store.directory();
        let opened = self.oci.name_archive(source, input, (directory, bytes_max), progress).await;
        let of_file = source.default_name().ok();
        match (opened, of_file) {
            (Ok((input, Some(name))), _) | (Ok((input, None)), Some(name)) => Ok((input, name)),
            (Ok((_, None)), None) => Err(PullError::Unnamed { source_text: source.to_string() }),
            (Err(error), Some(name)) => {
                Err(PullError::Oci { name: name.to_string(), source: Box::new(error) })
            }
            (Err(error), None) => Err(PullError::Input { source: Box::new(error) }),
        }
    }

    /// Refuses a name that is one of the catalog's: who asks for that name later would get something else.
    ///
    /// # Errors
    /// [`PullError::NameOfCatalog`].
    pub fn check_oci_name(&self, wanted: &OciPull) -> Result<(), PullError> {
        self.check_name(&wanted.name)
    }

    /// Makes an image out of a bundle. Dropping the future gives up.
    ///
    /// # Errors
    /// As [`ImageService::check_bundle`]; [`PullError::NameTaken`] unless it may be replaced.
    pub async fn pull_bundle(
        &self,
        wanted: &BundlePull,
        replace: Replace,
        progress: &Progress,
    ) -> Result<Image, PullError> {
        self.check_bundle(wanted)?;
        let build: Build<'_> = Box::new(move |staged| Box::pin(self.build_bundle(wanted, staged, progress)));
        self.images.import(BUNDLE_BYTES_NEEDED, &wanted.name, replace, build).await
    }

    /// Refuses a bundle at once that must not be pulled.
    ///
    /// # Errors
    /// [`PullError::NameOfCatalog`], [`PullError::Bundle`].
    pub fn check_bundle(&self, wanted: &BundlePull) -> Result<(), PullError> {
        self.check_name(&wanted.name)?;
        wanted.check().map_err(|error| of_bundle(wanted, error))
    }

    fn check_name(&self, name: &ImageName) -> Result<(), PullError> {
        if self.image_catalog.iter().any(|entry| entry.name == *name) {
            return Err(PullError::NameOfCatalog { name: name.to_string() });
        }
        Ok(())
    }

    async fn build_oci(
        &self,
        wanted: &OciPull,
        staged: StagedDirectory,
        progress: &Progress,
    ) -> Result<StagedDirectory, PullError> {
        let built = self.oci.build(wanted, staged, progress).await;
        built.map_err(|error| PullError::Oci { name: wanted.name.to_string(), source: Box::new(error) })
    }

    async fn build_bundle(
        &self,
        wanted: &BundlePull,
        staged: StagedDirectory,
        progress: &Progress,
    ) -> Result<StagedDirectory, PullError> {
        let is_known = |kernel: &KernelName| {
            let catalog = self.kernel_catalog.iter().any(|entry| entry.name == *kernel);
            catalog || matches!(self.kernels.store.get(kernel), Ok(Some(_)))
        };
        let built = self.bundles.build(wanted, is_known, staged, progress).await;
        built.map_err(|error| of_bundle(wanted, error))
    }

    /// Counts what pulls have left in the cache, and removes it unless it is only to be looked at. Pulls that run right
    /// now keep what they need.
    ///
    /// # Errors
    /// [`CacheError`].
    pub async fn prune_cache(&self, prune: Prune) -> Result<Pruned, CacheError> {
        let cache = Arc::clone(self.oci.cache());
        run_blocking(move |_| cache.prune(prune)).await
    }

    /// Returns the image with a work-seed that lets this key in. That it cannot be made is no reason to fail, and that
    /// somebody else works at the image none to wait: a work disk gets the key all the same.
    async fn with_this_key(&self, image: Image, progress: &Progress) -> Image {
        if !is_seed_stale(&image, &self.key) {
            return image;
        }
        let name = image.manifest.name.clone();
        let Some(held) = self.images.try_lock(&name) else { return image };
        // Another caller may have done it, or replaced the image.
        let current = match self.images.usable(&name) {
            Ok(Some(current)) if is_seed_stale(&current, &self.key) => current,
            Ok(Some(current)) => return current,
            Ok(None) | Err(_) => return image,
        };
        progress.stage("refresh work-seed", name.to_string());
        let key = Arc::clone(&self.key);
        let refreshed = run_blocking(move |_| {
            // Held to the end of the work, also when nobody waits for it any more.
            let _held = held;
            refresh_work_seed(current, &key)
        });
        refreshed.await.unwrap_or_else(|error| {
            tracing::warn!(image = %name, error = &error as &dyn std::error::Error, "the work-seed stays as it is");
            image
        })
    }

    async fn with_this_agent(&self, kernel: Kernel, progress: &Progress) -> Result<Kernel, PullError> {
        let name = kernel.manifest.name.clone();
        if !self.is_stale(&kernel)? {
            return Ok(kernel);
        }
        let held = self.kernels.lock(&name).await;
        // Another caller may have done it, or replaced the kernel.
        let Some(kernel) = self.kernels.usable(&name)? else {
            return Err(PullError::NotInCatalog { kind: Kind::Kernel, name: name.to_string() });
        };
        progress.stage("refresh initramfs", name.to_string());
        let agent = Arc::clone(&self.agent);
        let guards = (held, self.kernels.alone(&name).await);
        let (refreshed, _guards) = run_blocking(move |_| (refresh_initramfs(kernel, &agent), guards)).await;
        refreshed.map_err(|source| PullError::Refresh { name: name.to_string(), source })
    }

    fn is_stale(&self, kernel: &Kernel) -> Result<bool, PullError> {
        let failed = |source| PullError::Refresh { name: kernel.manifest.name.to_string(), source };
        is_stale(kernel, &self.agent).map_err(failed)
    }

    fn kernel_build<'a>(&'a self, name: &KernelName, progress: &'a Progress) -> Build<'a> {
        let name = name.clone();
        Box::new(move |staged| {
            Box::pin(async move {
                let name_text = name.to_string();
                let Some(entry) = self.kernel_catalog.iter().find(|entry| entry.name == name) else {
                    return Err(PullError::NotInCatalog { kind: Kind::Kernel, name: name_text });
                };
                let built = self.kernel_source.build(entry, staged, progress).await;
                built.map_err(|source| PullError::Kernel { name: name_text, source })
            })
        })
    }

    fn image_build<'a>(&'a self, name: &ImageName, progress: &'a Progress) -> Build<'a> {
        let name = name.clone();
        Box::new(move |staged| {
            Box::pin(async move {
                let name_text = name.to_string();
                let Some(entry) = self.image_catalog.iter().find(|entry| entry.name == name) else {
                    return Err(PullError::NotInCatalog { kind: Kind::Image, name: name_text });
                };
                match &entry.source {
                    EntrySource::Debian(recipe) => {
                        let built =
                            self.image_source.build(recipe, entry.facts(recipe), staged, progress).await;
                        built.map_err(|source| PullError::Image { name: name_text, source })
                    }
                    EntrySource::Bundle(bundle) => {
                        let wanted = BundlePull {
                            location: bundle.location.clone(),
                            name,
                            kernel: Some(entry.kernel.clone()),
                            sha256: Some(bundle.sha256.clone()),
                            key: bundle.key.clone(),
                            bytes_max: None,
                        };
                        self.build_bundle(&wanted, staged, progress).await
                    }
                    EntrySource::Oci(reference) => {
                        let source = OciSource::Registry(reference.clone());
                        let wanted = OciPull::of(source, name, entry.kernel.clone());
                        self.build_oci(&wanted, staged, progress).await
                    }
                }
            })
        })
    }
}

/// Keeps a kernel or an image in its place until it is dropped.
#[derive(Debug)]
pub struct Hold(#[expect(dead_code, reason = "held for its drop")] SharedGuard);

fn of_bundle(wanted: &BundlePull, error: BundlePullError) -> PullError {
    PullError::Bundle { name: wanted.name.to_string(), source: Box::new(error) }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;

#[cfg(test)]
mod crash_tests;

#[cfg(test)]
mod kernel_tests;
