//! Kernels: pulled, imported, held for a start, and kept with this version's agent.

use std::sync::Arc;

use banger_model::{ArtifactKind, KernelName};
use banger_sys::blocking::run_blocking;

use super::{Hold, ImageService, KERNEL_BYTES_NEEDED};
use crate::kernel::{Kernel, KernelImport, is_stale, refresh_initramfs};
use crate::progress::Progress;
use crate::pull::{Build, PullError, Removal, Replace};

impl ImageService {
    /// Returns the kernel, ready to boot: pulled if it is not there, with this banger's agent in its initramfs, its
    /// files looked at. Dropping the future gives up; only whole things stay.
    ///
    /// # Errors
    /// [`PullError`].
    pub async fn ensure_kernel(&self, name: &KernelName, progress: &Progress) -> Result<Kernel, PullError> {
        let kernel = self.kernels.ensure(name, self.kernel_build(name, progress)).await?;
        self.with_this_agent(kernel, progress).await
    }

    /// Pulls the kernel because somebody asked for it. One that is here stays, with a note, unless it may be replaced.
    ///
    /// # Errors
    /// [`PullError`].
    pub async fn pull_kernel(
        &self,
        name: &KernelName,
        replace: Replace,
        progress: &Progress,
    ) -> Result<Kernel, PullError> {
        self.kernels.pull(name, replace, progress, self.kernel_build(name, progress)).await
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

    pub(super) async fn with_this_agent(
        &self,
        kernel: Kernel,
        progress: &Progress,
    ) -> Result<Kernel, PullError> {
        let name = kernel.manifest.name.clone();
        if !self.is_stale(&kernel)? {
            return Ok(kernel);
        }
        let held = self.kernels.lock(&name).await;
        // Another caller may have done it, or replaced the kernel.
        let Some(kernel) = self.kernels.usable(&name)? else {
            return Err(PullError::NotInCatalog { kind: ArtifactKind::Kernel, name: name.to_string() });
        };
        progress.stage("refresh initramfs", name.to_string());
        let agent = Arc::clone(&self.agent);
        let guards = (held, self.kernels.alone(&name).await);
        let (refreshed, _guards) = run_blocking(move |_| (refresh_initramfs(kernel, &agent), guards)).await;
        refreshed.map_err(|source| PullError::Refresh { name: name.to_string(), source })
    }

    pub(super) fn is_stale(&self, kernel: &Kernel) -> Result<bool, PullError> {
        let failed = |source| PullError::Refresh { name: kernel.manifest.name.to_string(), source };
        is_stale(kernel, &self.agent).map_err(failed)
    }

    pub(super) fn kernel_build<'a>(&'a self, name: &KernelName, progress: &'a Progress) -> Build<'a> {
        let name = name.clone();
        Box::new(move |staged| {
            Box::pin(async move {
                let name_text = name.to_string();
                let Some(entry) = self.kernel_catalog.iter().find(|entry| entry.name == name) else {
                    return Err(PullError::NotInCatalog { kind: ArtifactKind::Kernel, name: name_text });
                };
                let built = self.kernel_source.build(entry, staged, progress).await;
                built.map_err(|source| PullError::Kernel { name: name_text, source })
            })
        })
    }
}
