//! Chooses the VMM and how it runs guests: a pure rule over facts, with its reason in words for `doctor`.

use std::path::PathBuf;

use banger_model::WantedVmm;
use banger_sys::host::Virtualization;

use super::facts::{FoundFirecracker, HostFacts, QEMU_PROGRAM, TUN};
use crate::contract::VmmKind;
use crate::firecracker::{self, Version};

/// How guests' instructions run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// On the processor itself.
    Kvm,
    /// Translated by QEMU: works everywhere, many times slower.
    Tcg,
}

/// The key that names Firecracker's program in the configuration.
pub const FIRECRACKER_KEY: &str = "firecracker_bin";

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
    /// What may not work, or could be better, in words: told whenever a machine is started.
    pub warnings: Vec<String>,
}

/// Why nothing could be chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// Firecracker was asked for and is not there.
    #[error("Firecracker is not installed")]
    NoFirecracker,
    /// Firecracker was asked for and cannot run machines here.
    #[error("Firecracker cannot be used: {why}")]
    UnfitFirecracker {
        /// Why.
        why: String,
    },
    /// The configuration names a Firecracker that cannot be used.
    #[error("`{FIRECRACKER_KEY}` in the configuration cannot be used: {why}")]
    ConfiguredFirecracker {
        /// Why, with the file's path.
        why: String,
    },
    /// A program that every VM needs is missing.
    #[error("the program `{program}` is not installed")]
    Missing {
        /// Its name.
        program: &'static str,
        /// Debian package that has it.
        package: &'static str,
    },
}

/// Chooses the VMM and the accelerator: Firecracker where it is there and can run ordinary guests, else QEMU.
///
/// # Errors
/// [`ChoiceError`].
pub fn choose(wanted: WantedVmm, facts: &HostFacts) -> Result<Choice, ChoiceError> {
    match (wanted, &facts.firecracker) {
        (WantedVmm::Qemu, _) | (WantedVmm::Auto, None) => qemu(facts, None),
        (WantedVmm::Firecracker, None) => Err(no_firecracker(facts)),
        (WantedVmm::Firecracker | WantedVmm::Auto, Some(found))
            if found.is_configured && found.version.is_err() =>
        {
            let why = found.version.clone().err().unwrap_or_default();
            Err(ChoiceError::ConfiguredFirecracker { why })
        }
        (WantedVmm::Firecracker, Some(found)) => {
            let version =
                judge_firecracker(found, facts).map_err(|why| ChoiceError::UnfitFirecracker { why })?;
            let mut choice = firecracker(found, version);
            choice.warnings.extend(doubts(version, facts));
            Ok(choice)
        }
        (WantedVmm::Auto, Some(found)) => match judge_firecracker(found, facts) {
            Ok(version) => match doubts(version, facts).into_iter().next() {
                None => Ok(firecracker(found, version)),
                Some(doubt) => qemu(facts, Some(&doubt)),
            },
            Err(why) => qemu(facts, Some(&why)),
        },
    }
}

/// Tells what keeps Firecracker from running any machine here.
fn judge_firecracker(found: &FoundFirecracker, facts: &HostFacts) -> Result<Version, String> {
    let version = found.version.clone()?;
    if version.is_too_old() {
        return Err(format!("it is version {version}, and at least {} is needed", firecracker::OLDEST_TEXT));
    }
    if !found.is_static {
        let program = found.program.display();
        return Err(format!("`{program}` is not statically linked, so it cannot run isolated"));
    }
    judge_host(facts)?;
    Ok(version)
}

/// Returns why Firecracker cannot be chosen where it is not installed. Nobody is told to install what cannot run ordinary
/// guests on this host.
fn no_firecracker(facts: &HostFacts) -> ChoiceError {
    match judge_host(facts) {
        Err(why) => ChoiceError::UnfitFirecracker { why },
        Ok(()) if facts.virtualization == Virtualization::SoftwareOnly => {
            ChoiceError::UnfitFirecracker { why: SOFTWARE_KVM.to_owned() }
        }
        Ok(()) => ChoiceError::NoFirecracker,
    }
}

/// Tells what of this host keeps any Firecracker from running a machine.
fn judge_host(facts: &HostFacts) -> Result<(), String> {
    match facts.virtualization {
        Virtualization::Usable | Virtualization::SoftwareOnly => {}
        Virtualization::Absent => return Err("there is no /dev/kvm".to_owned()),
        Virtualization::Forbidden => return Err("this user may not open /dev/kvm".to_owned()),
    }
    if let Some(why) = &facts.no_namespaces {
        return Err(format!("this user may not create the namespaces that isolate it ({why})"));
    }
    if !facts.has_tun {
        return Err(format!("this user may not open {TUN}, which its network needs"));
    }
    Ok(())
}

/// Tells what keeps ordinary guests from running on a Firecracker that runs: who asks for it by name gets it all the same.
fn doubts(version: Version, facts: &HostFacts) -> Vec<String> {
    let mut doubts = Vec::new();
    if facts.virtualization == Virtualization::SoftwareOnly {
        doubts.push(SOFTWARE_KVM.to_owned());
    }
    if !version.has_acpi() {
        doubts.push(format!(
            "Firecracker {version} does not describe devices to guests by ACPI, where Debian's kernels look for them \
             (1.8 does)"
        ));
    }
    doubts
}

fn firecracker(found: &FoundFirecracker, version: Version) -> Choice {
    let mut warnings = Vec::new();
    if version.is_untested() {
        warnings.push(format!(
            "Firecracker {version} is newer than {}, the newest tested version",
            firecracker::TESTED
        ));
    }
    Choice {
        vmm: VmmKind::Firecracker,
        program: found.program.clone(),
        accelerator: Accelerator::Kvm,
        reason: format!("Firecracker {version} with KVM"),
        warnings,
    }
}

fn qemu(facts: &HostFacts, why_not_firecracker: Option<&str>) -> Result<Choice, ChoiceError> {
    let program = facts
        .qemu
        .clone()
        .ok_or(ChoiceError::Missing { program: QEMU_PROGRAM, package: "qemu-system-x86" })?;
    let (accelerator, why) = accelerator(&facts.virtualization);
    let not_used = why_not_firecracker.map(|why| format!("Firecracker is installed, but not used: {why}"));
    let reason = ["QEMU ", &why].concat();
    let reason = not_used.iter().fold(reason, |reason, not_used| format!("{reason}; {not_used}"));
    let warnings = match facts.virtualization {
        // What slows guests down though the user could change it.
        Virtualization::Usable => not_used.into_iter().collect(),
        Virtualization::Forbidden => vec![FORBIDDEN_KVM.to_owned()],
        // Nothing else could run ordinary guests here.
        Virtualization::Absent | Virtualization::SoftwareOnly => Vec::new(),
    };
    Ok(Choice { vmm: VmmKind::Qemu, program, accelerator, reason, warnings })
}

/// What a KVM means that this user may not open.
const FORBIDDEN_KVM: &str = "this user may not open /dev/kvm, so QEMU translates and guests are many times slower; \
                             `banger doctor` tells how to allow it";

/// What a software KVM means.
const SOFTWARE_KVM: &str = "/dev/kvm is there, but the processor has neither vmx nor svm, and ordinary guests hang on \
                            such a software KVM";

fn accelerator(virtualization: &Virtualization) -> (Accelerator, String) {
    match virtualization {
        Virtualization::Usable => {
            (Accelerator::Kvm, "with KVM: the processor has hardware virtualisation".to_owned())
        }
        Virtualization::Absent => (Accelerator::Tcg, "without KVM: there is no /dev/kvm".to_owned()),
        Virtualization::Forbidden => {
            (Accelerator::Tcg, "without KVM: this user may not open /dev/kvm".to_owned())
        }
        Virtualization::SoftwareOnly => (Accelerator::Tcg, format!("without KVM: {SOFTWARE_KVM}")),
    }
}

#[cfg(test)]
#[path = "choice_tests.rs"]
mod tests;
