//! Chooses the VMM and how it runs guests: a pure rule over facts, with its reason in words for `doctor`.

use std::error::Error as _;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use banger_sys::host::{self, Virtualization};

use crate::contract::VmmKind;
use crate::firecracker::{self, Version};

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
    /// The Firecracker that would be used.
    pub firecracker: Option<FoundFirecracker>,
    /// Where QEMU is.
    pub qemu: Option<PathBuf>,
    /// Where the user-mode network stack is.
    pub passt: Option<PathBuf>,
    /// Whether ordinary guests can run on the processor.
    pub virtualization: Virtualization,
    /// Why this user cannot make namespaces; `None`: it can.
    pub no_namespaces: Option<String>,
    /// Whether this user may make taps.
    pub has_tun: bool,
}

/// A Firecracker of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFirecracker {
    /// Where it is.
    pub program: PathBuf,
    /// Its version, or why it is not known.
    pub version: Result<Version, String>,
}

impl HostFacts {
    /// Looks at the host. `firecracker` is where one may be that is used before one on `PATH`.
    #[must_use]
    pub fn look(firecracker: Option<&Path>) -> Self {
        let firecracker = firecracker
            .filter(|program| program.is_file())
            .map(Path::to_owned)
            .or_else(|| host::find_program(firecracker::PROGRAM_NAME));
        Self {
            firecracker: firecracker.map(FoundFirecracker::ask),
            qemu: host::find_program(QEMU_PROGRAM),
            passt: host::find_program("passt"),
            virtualization: host::virtualization(),
            no_namespaces: host::try_user_namespaces().err().map(|error| error.to_string()),
            has_tun: OpenOptions::new().read(true).write(true).open(TUN).is_ok(),
        }
    }
}

impl FoundFirecracker {
    fn ask(program: PathBuf) -> Self {
        let version = firecracker::version_of(&program).map_err(|error| match error.source() {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        });
        Self { program, version }
    }
}

/// Where taps are made.
const TUN: &str = "/dev/net/tun";

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
    /// Firecracker was asked for and is not there.
    #[error("Firecracker is not installed")]
    NoFirecracker,
    /// Firecracker was asked for and cannot run machines here.
    #[error("Firecracker cannot run a VM here: {why}")]
    UnfitFirecracker {
        /// Why.
        why: String,
    },
    /// There is no VMM.
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
    match wanted {
        WantedVmm::Firecracker => {
            let found = facts.firecracker.as_ref().ok_or(ChoiceError::NoFirecracker)?;
            let version =
                judge_firecracker(found, facts).map_err(|why| ChoiceError::UnfitFirecracker { why })?;
            let mut choice = firecracker(found, version, facts);
            choice.warnings.extend(doubts(version, facts));
            Ok(choice)
        }
        WantedVmm::Qemu => qemu(facts, None),
        WantedVmm::Auto => match &facts.firecracker {
            None => qemu(facts, None),
            Some(found) => match judge_firecracker(found, facts) {
                Ok(version) => match doubts(version, facts).into_iter().next() {
                    None => Ok(firecracker(found, version, facts)),
                    Some(doubt) => qemu(facts, Some(&doubt)),
                },
                Err(why) => qemu(facts, Some(&why)),
            },
        },
    }
}

/// Tells what keeps Firecracker from running any machine here.
fn judge_firecracker(found: &FoundFirecracker, facts: &HostFacts) -> Result<Version, String> {
    let version = found.version.clone()?;
    if version.is_too_old() {
        return Err(format!("it is version {version}, and at least {} is needed", firecracker::OLDEST_TEXT));
    }
    match facts.virtualization {
        Virtualization::Usable | Virtualization::SoftwareOnly => {}
        Virtualization::Absent => return Err("there is no /dev/kvm".to_owned()),
        Virtualization::Forbidden => return Err("this user may not open /dev/kvm".to_owned()),
    }
    if let Some(why) = &facts.no_namespaces {
        return Err(format!("this user may not make the namespaces that keep it apart ({why})"));
    }
    if !facts.has_tun {
        return Err(format!("this user may not open {TUN}, which its network needs"));
    }
    Ok(version)
}

/// Tells what keeps ordinary guests from running on a Firecracker that runs: who asks for it by name gets it all the same.
fn doubts(version: Version, facts: &HostFacts) -> Vec<String> {
    let mut doubts = Vec::new();
    if facts.virtualization == Virtualization::SoftwareOnly {
        doubts.push(SOFTWARE_KVM.to_owned());
    }
    if !version.has_acpi() {
        doubts.push(format!(
            "Firecracker {version} does not tell guests of their devices by ACPI, where Debian's kernels look for them \
             (1.8 does)"
        ));
    }
    doubts
}

fn firecracker(found: &FoundFirecracker, version: Version, facts: &HostFacts) -> Choice {
    let mut warnings = network_warning(facts);
    if version.is_untested() {
        warnings.push(format!(
            "Firecracker {version} is newer than {}, the newest that banger was tried with",
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
    let firecracker = why_not_firecracker
        .map(|why| format!("; Firecracker is installed, but not used: {why}"))
        .unwrap_or_default();
    Ok(Choice {
        vmm: VmmKind::Qemu,
        program,
        accelerator,
        reason: format!("QEMU {why}{firecracker}"),
        warnings: network_warning(facts),
    })
}

fn network_warning(facts: &HostFacts) -> Vec<String> {
    let is_missing = facts.passt.is_none();
    is_missing.then(|| "`passt` is not installed: VMs cannot have a network".to_owned()).into_iter().collect()
}

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
mod tests {
    use super::*;

    fn facts(virtualization: Virtualization) -> HostFacts {
        HostFacts {
            firecracker: None,
            qemu: Some("/usr/bin/qemu-system-x86_64".into()),
            passt: Some("/usr/bin/passt".into()),
            virtualization,
            no_namespaces: None,
            has_tun: true,
        }
    }

    fn with_firecracker(version: &str) -> HostFacts {
        let firecracker = FoundFirecracker {
            program: "/usr/bin/firecracker".into(),
            version: Ok(version.parse().unwrap()),
        };
        HostFacts { firecracker: Some(firecracker), ..facts(Virtualization::Usable) }
    }

    #[test]
    fn the_installed_firecracker_comes_before_one_on_the_path() {
        let directory = tempfile::tempdir().unwrap();
        let installed = directory.path().join("firecracker");
        let found = || HostFacts::look(Some(&installed)).firecracker.map(|found| found.program);
        let on_path = found();
        assert_ne!(on_path.as_deref(), Some(installed.as_path()));
        std::fs::write(&installed, "").unwrap();
        assert_eq!(found(), Some(installed.clone()));
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
    fn firecracker_comes_first_where_it_can_run_ordinary_guests() {
        let facts = with_firecracker("1.16.1");
        for wanted in [WantedVmm::Auto, WantedVmm::Firecracker] {
            let choice = choose(wanted, &facts).unwrap();
            assert_eq!((choice.vmm, choice.warnings.len()), (VmmKind::Firecracker, 0));
            assert_eq!(choice.reason, "Firecracker 1.16.1 with KVM");
        }
        assert_eq!(choose(WantedVmm::Qemu, &facts).unwrap().vmm, VmmKind::Qemu);
        let newer = choose(WantedVmm::Auto, &with_firecracker("1.18.0")).unwrap();
        assert_eq!((newer.vmm, newer.warnings.len()), (VmmKind::Firecracker, 1));
    }

    /// What `auto` and `firecracker` choose, in words.
    fn both(facts: &HostFacts) -> String {
        let told = |wanted| match choose(wanted, facts) {
            Ok(choice) if choice.vmm == VmmKind::Firecracker => {
                format!("{}, {}", choice.reason, choice.warnings.join(", "))
            }
            Ok(choice) => choice.reason.rsplit("; ").next().unwrap().to_owned(),
            Err(error) => error.to_string(),
        };
        format!("auto: {}\nnamed: {}", told(WantedVmm::Auto), told(WantedVmm::Firecracker))
    }

    #[test]
    fn what_keeps_firecracker_from_being_used_is_told() {
        let unfit = HostFacts { virtualization: Virtualization::Forbidden, ..with_firecracker("1.16.1") };
        assert_eq!(
            both(&unfit),
            "auto: Firecracker is installed, but not used: this user may not open /dev/kvm\n\
             named: Firecracker cannot run a VM here: this user may not open /dev/kvm"
        );
        let software =
            HostFacts { virtualization: Virtualization::SoftwareOnly, ..with_firecracker("1.16.1") };
        assert_eq!(
            both(&software),
            format!(
                "auto: Firecracker is installed, but not used: {SOFTWARE_KVM}\n\
                 named: Firecracker 1.16.1 with KVM, {SOFTWARE_KVM}"
            )
        );
        for (facts, why) in [
            (with_firecracker("1.4.9"), "at least 1.5 is needed"),
            (HostFacts { no_namespaces: Some("no".into()), ..with_firecracker("1.16.1") }, "namespaces"),
            (HostFacts { has_tun: false, ..with_firecracker("1.16.1") }, "/dev/net/tun"),
            (
                HostFacts { virtualization: Virtualization::Absent, ..with_firecracker("1.16.1") },
                "no /dev/kvm",
            ),
        ] {
            let told = both(&facts);
            assert_eq!(told.matches(why).count(), 2, "{told}");
        }
        let old = both(&with_firecracker("1.7.0"));
        assert!(
            old.contains("not used: Firecracker 1.7.0") && old.contains("named: Firecracker 1.7.0 with"),
            "{old}"
        );
        assert_eq!(
            choose(WantedVmm::Firecracker, &facts(Virtualization::Usable)),
            Err(ChoiceError::NoFirecracker)
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
