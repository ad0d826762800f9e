//! The VMMs of this host.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use banger_model::{Hint, WantedVmm};
use banger_net::UserNetwork;
use banger_net::control::Rules;
use banger_sys::process::ProcessIdentity;
use banger_vmm::firecracker::{Firecracker, JailFacts, JailWish, Tuning};
use banger_vmm::orphans::{end_orphan, find_machines_of, find_orphans};
use banger_vmm::qemu::Qemu;
use banger_vmm::selection::{
    Accelerator, Choice, ChoiceError, FIRECRACKER_KEY, FirecrackerPlace, HostFacts, choose,
};
use banger_vmm::{NetworkLauncher, Vmm, VmmKind};
use tracing::warn;

use crate::machine_network::MachineNetwork;
use crate::vmm_source::{ChosenVmm, NoVmm, VmmSource};

/// Chooses by looking at the host each time: what was installed a moment ago is there.
#[derive(Debug)]
pub struct HostVmms {
    helper: PathBuf,
    network: Arc<dyn NetworkLauncher>,
    firecracker: FirecrackerPlace,
    tuning: Tuning,
}

impl HostVmms {
    /// The VMMs of this host. The helper is a program that calls [`banger_vmm::role::play`] and [`banger_net::role::play`]
    /// first of all: it becomes what runs beside machines. The rules are those of the machines' networks.
    #[must_use]
    pub fn new(helper: PathBuf, firecracker: FirecrackerPlace, tuning: Tuning, rules: Rules) -> Self {
        let network = Arc::new(MachineNetwork(UserNetwork::new(&helper, rules)));
        Self { helper, network, firecracker, tuning }
    }

    fn driver(&self, choice: &Choice) -> Arc<dyn Vmm> {
        let network = Arc::clone(&self.network);
        match choice.vmm {
            VmmKind::Qemu => Arc::new(Qemu::new(choice, network)),
            VmmKind::Firecracker => {
                Arc::new(Firecracker::new(choice, &self.helper, network).with_tuning(self.tuning))
            }
        }
    }
}

impl VmmSource for HostVmms {
    fn choose(&self, wanted: WantedVmm) -> Result<ChosenVmm, NoVmm> {
        let facts = HostFacts::look(&self.firecracker);
        let choice = choose(wanted, &facts).map_err(NoVmm)?;
        check_parts(&choice, self.tuning.jailer).map_err(NoVmm)?;
        Ok(ChosenVmm { label: label(&choice), vmm: self.driver(&choice), warnings: choice.warnings })
    }

    fn of_kind(&self, kind: VmmKind) -> Option<Arc<dyn Vmm>> {
        // Taking over needs no program: a machine may outlive the package that started it.
        let accelerator = Accelerator::Tcg;
        let (program, reason, warnings) = (PathBuf::new(), String::new(), Vec::new());
        Some(self.driver(&Choice { vmm: kind, program, accelerator, reason, warnings }))
    }

    fn end_orphans(&self, vms: &Path, known: &[ProcessIdentity], kept: &[PathBuf]) -> usize {
        let mut orphans = match find_orphans(vms, known) {
            Ok(orphans) => orphans,
            Err(error) => {
                warn!(%error, "processes without an owner cannot be looked for");
                return 0;
            }
        };
        orphans.retain(|(_, directory)| !kept.contains(directory));
        for (process, directory) in &orphans {
            match end_orphan(*process) {
                Ok(()) => {
                    warn!(pid = process.pid, directory = %directory.display(), "ended a machine without an owner");
                }
                Err(error) => warn!(pid = process.pid, %error, "a machine without an owner goes on"),
            }
        }
        orphans.len()
    }

    fn machines_of(&self, directories: &[PathBuf]) -> io::Result<Vec<(ProcessIdentity, PathBuf)>> {
        find_machines_of(directories)
    }
}

fn label(choice: &Choice) -> String {
    match (choice.vmm, choice.accelerator) {
        (VmmKind::Qemu, Accelerator::Kvm) => "qemu/kvm",
        (VmmKind::Qemu, Accelerator::Tcg) => "qemu/tcg",
        (VmmKind::Firecracker, _) => "firecracker/kvm",
    }
    .to_owned()
}

/// Refuses what could not be started: a jailer that is asked for must be there.
fn check_parts(choice: &Choice, jailer: JailWish) -> Result<(), ChoiceError> {
    match (choice.vmm, jailer) {
        (VmmKind::Firecracker, JailWish::Always) => {
            let judged = JailFacts::look(&choice.program).judge().map(drop);
            judged.map_err(|why| ChoiceError::UnfitFirecracker {
                why: format!("the jailer is required, but {why}"),
            })
        }
        (VmmKind::Firecracker, JailWish::Auto | JailWish::Never) | (VmmKind::Qemu, _) => Ok(()),
    }
}

/// The command that brings a VMM.
#[must_use]
pub fn hint(error: &ChoiceError) -> Option<Hint> {
    match error {
        ChoiceError::Missing { package, .. } => Some(Hint::install(*package)),
        ChoiceError::NoFirecracker => Some(Hint::SetUpFirecracker),
        ChoiceError::UnfitFirecracker { .. } => Some(Hint::ExamineHost),
        ChoiceError::ConfiguredFirecracker { .. } => {
            Some(Hint::advice(format!("correct `{FIRECRACKER_KEY}` in config.toml, or remove it")))
        }
    }
}
