//! What machines are started with: kernels, images, VMMs, the user's key and the configuration, and where the files of VMs are.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use banger_model::{HostSize, KernelName, MemoryMib, VmId, WantedVmm, memory_beyond_host};
use banger_store::VmRow;
use banger_sys::paths::Paths;
use banger_vmm::KillError;
use rustix::process::Signal;
use tracing::warn;

use super::VmError;
use super::removal::{remove_directory, remove_sockets};
use super::strays::Strays;
use crate::boot_source::{BootFiles, BootSource, WantedImage};
use crate::config::Config;
use crate::operation::OperationTask;
use crate::ssh_keys::UserKey;
use crate::vmm_source::{ChosenVmm, VmmSource};

/// How long a machine that nobody holds may take to end: a kernel that writes its disk out is not waited for longer.
const STRAY_DEADLINE: Duration = Duration::from_secs(10);

/// What machines are started with.
pub(super) struct Supplies {
    pub(super) paths: Paths,
    pub(super) config: Config,
    pub(super) host: HostSize,
    pub(super) source: Arc<dyn BootSource>,
    pub(super) vmms: Arc<dyn VmmSource>,
    pub(super) strays: Strays,
    pub(super) user_key: UserKey,
}

impl Supplies {
    /// Returns the directory of a VM's disks.
    pub(super) fn directory(&self, id: &VmId) -> PathBuf {
        self.paths.vm(id.as_str())
    }

    pub(super) fn choose_vmm(&self, wish: WantedVmm) -> Result<ChosenVmm, VmError> {
        self.vmms.choose(wish).map_err(VmError::Vmm)
    }

    /// Returns what a machine boots from; image and kernel are pulled when needed.
    pub(super) async fn boot_files(
        &self,
        image: &WantedImage,
        kernel: Option<&KernelName>,
        task: &OperationTask,
    ) -> Result<BootFiles, VmError> {
        let ensured = self.source.ensure(image, kernel, task);
        task.unless_cancelled(ensured).await?.map_err(VmError::BootSource)
    }

    /// Returns what whoever starts a VM with this memory is told.
    pub(super) fn warnings(&self, vmm: &ChosenVmm, memory: MemoryMib) -> Vec<String> {
        let beyond_host = memory_beyond_host(memory, vmm.vmm.memory_beside_guest_mib(memory), self.host);
        vmm.warnings.iter().cloned().chain(beyond_host).collect()
    }

    /// Returns what whoever gives a VM this memory is told. It does not depend on a VMM that could run the VM.
    pub(super) fn memory_warning(&self, wish: WantedVmm, memory: MemoryMib) -> Option<String> {
        let beside = self.choose_vmm(wish).map(|chosen| chosen.vmm.memory_beside_guest_mib(memory));
        memory_beyond_host(memory, beside.unwrap_or_default(), self.host)
    }

    /// Removes what a machine that has ended leaves.
    pub(super) async fn remove_sockets(&self, id: &VmId) -> Result<(), VmError> {
        remove_sockets(&self.paths, id).await
    }

    /// Removes all files of a VM, and ends whatever still runs from its directory, even if no machine of the VM is known: no
    /// process outlives its disks.
    pub(super) async fn remove_files(&self, row: &VmRow) -> Result<(), VmError> {
        self.end_strays(row).await?;
        for path in [self.paths.vm_runtime(row.id.as_str()), self.directory(&row.id)] {
            remove_directory(path).await?;
        }
        Ok(())
    }

    async fn end_strays(&self, row: &VmRow) -> Result<(), VmError> {
        let directory = self.directory(&row.id);
        let found = self.strays.machines_of(&directory).await;
        let found =
            found.map_err(|source| VmError::Directory { action: "remove", path: directory, source })?;
        for process in found {
            warn!(vm = %row.name, pid = process.pid, "ending a machine that nobody holds, as its VM is removed");
            let failed = |source| VmError::Kill { name: row.name.clone(), source };
            let signal = |source| failed(KillError::Signal { pid: process.pid, source });
            let Some(open) = process.open().map_err(signal)? else { continue };
            open.signal(Signal::KILL).map_err(signal)?;
            match tokio::time::timeout(STRAY_DEADLINE, open.ended()).await {
                Ok(ended) => ended.map_err(signal)?,
                Err(_elapsed) => {
                    return Err(failed(KillError::StillAlive { pid: process.pid, deadline: STRAY_DEADLINE }));
                }
            }
        }
        Ok(())
    }
}
