//! Chooses the VMM and how it runs guests: a pure rule over facts, with its reason in words for `doctor`.

use std::path::PathBuf;

use banger_sys::host::{self, Virtualization};

use crate::contract::VmmKind;

/// What the user asked for (`--vmm` or the configuration).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WantedVmm {
    /// The best that works here.
    #[default]
    Auto,
    /// QEMU or nothing.
    Qemu,
    /// Firecracker or nothing.
    Firecracker,
}

/// Why a text names no VMM.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a VMM; write auto, qemu or firecracker")]
pub struct UnknownVmm {
    /// The text.
    pub text: String,
}

impl std::str::FromStr for WantedVmm {
    type Err = UnknownVmm;

    fn from_str(text: &str) -> Result<Self, UnknownVmm> {
        match text {
            "auto" => Ok(Self::Auto),
            "qemu" => Ok(Self::Qemu),
            "firecracker" => Ok(Self::Firecracker),
            _ => Err(UnknownVmm { text: text.to_owned() }),
        }
    }
}

/// How guests' instructions run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// On the processor itself.
    Kvm,
    /// Translated by QEMU: works everywhere, many times slower.
    Tcg,
}

/// What the host has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// Where Firecracker is.
    pub firecracker: Option<PathBuf>,
    /// Where QEMU is.
    pub qemu: Option<PathBuf>,
    /// Where the user-mode network stack is.
    pub passt: Option<PathBuf>,
    /// Whether ordinary guests can run on the processor.
    pub virtualization: Virtualization,
}

impl HostFacts {
    /// Looks at the host.
    #[must_use]
    pub fn look() -> Self {
        Self {
            firecracker: host::find_program("firecracker"),
            qemu: host::find_program(QEMU_PROGRAM),
            passt: host::find_program("passt"),
            virtualization: host::virtualization(),
        }
    }
}

/// Name of QEMU's program.
pub const QEMU_PROGRAM: &str = "qemu-system-x86_64";

/// What was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Which VMM.
    pub vmm: VmmKind,
    /// Its program.
    pub program: PathBuf,
    /// How guests run.
    pub accelerator: Accelerator,
    /// Why, in words.
    pub reason: String,
    /// What will not work, in words.
    pub warnings: Vec<String>,
}

/// Why nothing could be chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// Firecracker was asked for.
    #[error("Firecracker is not built in yet; use `auto` or `qemu`")]
    FirecrackerNotBuilt,
    /// There is no VMM.
    #[error("the program `{program}` is not installed")]
    Missing {
        /// Its name.
        program: &'static str,
        /// Debian package that has it.
        package: &'static str,
    },
}

/// Chooses the VMM and the accelerator.
///
/// # Errors
/// [`ChoiceError`].
pub fn choose(wanted: WantedVmm, facts: &HostFacts) -> Result<Choice, ChoiceError> {
    match wanted {
        WantedVmm::Firecracker => return Err(ChoiceError::FirecrackerNotBuilt),
        WantedVmm::Auto | WantedVmm::Qemu => {}
    }
    let program = facts
        .qemu
        .clone()
        .ok_or(ChoiceError::Missing { program: QEMU_PROGRAM, package: "qemu-system-x86" })?;
    let (accelerator, why) = accelerator(&facts.virtualization);
    let mut warnings = Vec::new();
    if facts.passt.is_none() {
        warnings.push("`passt` is not installed: VMs cannot have a network".to_owned());
    }
    let firecracker = match (wanted, &facts.firecracker) {
        (WantedVmm::Auto, Some(_)) => "; Firecracker is installed, but not built in yet",
        _ => "",
    };
    Ok(Choice {
        vmm: VmmKind::Qemu,
        program,
        accelerator,
        reason: format!("QEMU {why}{firecracker}"),
        warnings,
    })
}

fn accelerator(virtualization: &Virtualization) -> (Accelerator, &'static str) {
    match virtualization {
        Virtualization::Usable => (Accelerator::Kvm, "with KVM: the processor has hardware virtualisation"),
        Virtualization::Absent => (Accelerator::Tcg, "without KVM: there is no /dev/kvm"),
        Virtualization::Forbidden => (Accelerator::Tcg, "without KVM: this user may not open /dev/kvm"),
        Virtualization::SoftwareOnly => (
            Accelerator::Tcg,
            "without KVM: /dev/kvm is there, but the processor has neither vmx nor svm, and ordinary guests hang on \
             such a software KVM",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(virtualization: Virtualization) -> HostFacts {
        HostFacts {
            firecracker: None,
            qemu: Some("/usr/bin/qemu-system-x86_64".into()),
            passt: Some("/usr/bin/passt".into()),
            virtualization,
        }
    }

    #[test]
    fn the_accelerator_follows_what_the_processor_can_do() {
        for (virtualization, accelerator) in [
            (Virtualization::Usable, Accelerator::Kvm),
            (Virtualization::Absent, Accelerator::Tcg),
            (Virtualization::Forbidden, Accelerator::Tcg),
            (Virtualization::SoftwareOnly, Accelerator::Tcg),
        ] {
            for wanted in [WantedVmm::Auto, WantedVmm::Qemu] {
                let choice = choose(wanted, &facts(virtualization.clone())).unwrap();
                assert_eq!((choice.vmm, choice.accelerator), (VmmKind::Qemu, accelerator));
            }
        }
    }

    #[test]
    fn firecracker_is_refused_by_name_and_passed_over_by_auto() {
        let facts =
            HostFacts { firecracker: Some("/usr/bin/firecracker".into()), ..facts(Virtualization::Usable) };
        assert_eq!(choose(WantedVmm::Firecracker, &facts), Err(ChoiceError::FirecrackerNotBuilt));
        let choice = choose(WantedVmm::Auto, &facts).unwrap();
        assert_eq!(
            choice.reason,
            "QEMU with KVM: the processor has hardware virtualisation; Firecracker is installed, but not built in yet"
        );
    }

    #[test]
    fn a_missing_program_is_told_with_its_package() {
        let facts = HostFacts { qemu: None, ..facts(Virtualization::Absent) };
        assert_eq!(
            choose(WantedVmm::Auto, &facts),
            Err(ChoiceError::Missing { program: "qemu-system-x86_64", package: "qemu-system-x86" })
        );
    }

    #[test]
    fn a_missing_network_stack_is_a_warning() {
        let facts = HostFacts { passt: None, ..facts(Virtualization::Absent) };
        assert_eq!(choose(WantedVmm::Auto, &facts).unwrap().warnings.len(), 1);
    }
}
