//! What is missing on this host, and the command that fixes it. Looks, and changes nothing.

mod check;
mod first_run;
mod tuning;

use std::path::Path;
use std::sync::Arc;

use banger_image::HOST_TOOLS;
use banger_model::{ArtifactKind, Hint, count};
use banger_store::Store;
use banger_sys::host::{Virtualization, find_program};
use banger_sys::paths::Paths;
use banger_sys::tuning::HostTuning;
use banger_vmm::firecracker::JailFacts;
use banger_vmm::selection::{Accelerator, Choice, ChoiceError, HostFacts, choose};

pub use check::{Check, Outcome};
use check::{check, is_root};

use crate::config::Config;
use crate::host_trust::HostTrust;
use crate::image::ImageBootSource;
use crate::vm::disks_without_vm;
use crate::vmm_choice;

/// The checks.
pub struct Doctor {
    paths: Paths,
    config: Config,
    source: Arc<ImageBootSource>,
}

impl Doctor {
    /// Checks for a daemon with these directories and this configuration.
    #[must_use]
    pub fn new(paths: Paths, config: Config, source: Arc<ImageBootSource>) -> Self {
        Self { paths, config, source }
    }

    /// Looks at everything, in a fixed order.
    #[must_use]
    pub fn examine(&self) -> Vec<Check> {
        let facts = HostFacts::look(&self.config.firecracker_place(&self.paths));
        let wanted = self.config.vmm;
        let mut checks = vec![architecture(std::env::consts::ARCH)];
        checks.push(vmm(&choose(wanted, &facts), facts.virtualization == Virtualization::Usable));
        checks.extend(tuning::rows(&tuning::Facts {
            host: &facts,
            tuning: &HostTuning::look(),
            wanted,
            wishes: self.config.firecracker.tuning(),
            jail: facts.firecracker.as_ref().map(|found| JailFacts::look(&found.program)),
        }));
        checks.push(network());
        checks.extend(HOST_TOOLS.iter().map(|tool| {
            program(tool.tool, tool.package, tool.needed_for, find_program(tool.tool).is_some(), is_root())
        }));
        checks.push(program(
            "ssh",
            "openssh-client",
            "`banger vm ssh`",
            find_program("ssh").is_some(),
            is_root(),
        ));
        checks.push(agent(&self.source.agent()));
        let is_image_here = matches!(self.source.has_image(&self.config.default_image), Ok(true));
        let memory_bytes = self.config.memory.get() << 20;
        let facts = first_run::Facts::look(&self.paths.state, is_image_here, memory_bytes);
        checks.extend(first_run::rows(&facts, self.config.disk_floor));
        checks.push(store(&self.paths));
        checks.push(self.default_image());
        checks.push(self.vm_defaults());
        checks.push(host_trust(&HostTrust::of_this_host(self.config.guest)));
        checks
    }

    fn default_image(&self) -> Check {
        let name = &self.config.default_image;
        match self.source.has_image(name) {
            Ok(true) => check("default image", Outcome::Pass, format!("`{name}` is present")),
            Ok(false) if !self.source.is_in_catalog(name) => Check {
                fix: Some(Hint::ListKnown { kind: ArtifactKind::Image }),
                ..check(
                    "default image",
                    Outcome::Fail,
                    format!(
                        "`default_image` in config.toml is `{name}`, which is neither local nor in the catalog"
                    ),
                )
            },
            Ok(false) => Check {
                fix: Some(Hint::Pull { kind: ArtifactKind::Image, name: name.to_string() }),
                ..check(
                    "default image",
                    Outcome::Warn,
                    format!("`{name}` is not present; the first run pulls it"),
                )
            },
            Err(error) => {
                Check { fix: error.hint(), ..check("default image", Outcome::Fail, error.to_string()) }
            }
        }
    }

    fn vm_defaults(&self) -> Check {
        let Config { vcpus, memory, disk, .. } = &self.config;
        check("vm defaults", Outcome::Pass, format!("{vcpus} vcpu | {memory} memory | {disk} disk"))
    }
}

/// What guests get of how the host reaches the world, and what cannot reach them.
fn host_trust(trust: &HostTrust) -> Check {
    let proxies = if trust.proxies.is_empty() { "no proxies" } else { "proxies" };
    let count = trust.authorities.len();
    let plural = if count == 1 { "y" } else { "ies" };
    let come = format!("guests get {count} certificate authorit{plural} and {proxies} from the host");
    match trust.left_out.as_slice() {
        [] => check("host trust", Outcome::Pass, come),
        left_out => check("host trust", Outcome::Warn, format!("{come}\n{}", left_out.join("\n"))),
    }
}

fn architecture(arch: &str) -> Check {
    match arch {
        "x86_64" => check("architecture", Outcome::Pass, arch),
        _ => check("architecture", Outcome::Fail, format!("{arch}: only x86_64 is supported")),
    }
}

/// If KVM is not usable, its own row tells why.
fn vmm(choice: &Result<Choice, ChoiceError>, is_kvm_usable: bool) -> Check {
    match choice {
        Ok(choice)
            if choice.accelerator == Accelerator::Tcg && !is_kvm_usable && choice.warnings.is_empty() =>
        {
            check("vmm", Outcome::Pass, "QEMU without KVM; guests are slower (see `kvm`)")
        }
        Ok(choice) => {
            let slower = match choice.accelerator {
                Accelerator::Tcg => " (slower guests)",
                Accelerator::Kvm => "",
            };
            let news = choice.warnings.iter().filter(|warning| !choice.reason.contains(*warning));
            let detail = news
                .fold(format!("{}{slower}", choice.reason), |detail, warning| format!("{detail}\n{warning}"));
            let is_best = slower.is_empty() && choice.warnings.is_empty();
            check("vmm", if is_best { Outcome::Pass } else { Outcome::Warn }, detail)
        }
        Err(error) => {
            Check { fix: vmm_choice::hint(error), ..check("vmm", Outcome::Fail, error.to_string()) }
        }
    }
}

fn network() -> Check {
    match banger_net::check_host() {
        Ok(()) => check("network", Outcome::Pass, "guests have outbound access without root"),
        Err(error) => check(
            "network",
            Outcome::Fail,
            format!(
                "this host's own addresses cannot be listed ({error}): guests cannot be kept away from them"
            ),
        ),
    }
}

fn program(tool: &str, package: &str, needed_for: &str, is_there: bool, is_root: bool) -> Check {
    let name = format!("program {tool}");
    if is_there {
        return check(&name, Outcome::Pass, format!("for {needed_for}"));
    }
    let outcome = if is_root && tool == "newuidmap" { Outcome::Warn } else { Outcome::Fail };
    Check {
        fix: Some(Hint::install(package)),
        ..check(&name, outcome, format!("`{tool}` is missing: needed for {needed_for}"))
    }
}

fn agent(path: &Path) -> Check {
    if path.is_file() {
        check("guest agent", Outcome::Pass, path.display().to_string())
    } else {
        let detail = format!("`{}` is missing; reinstall banger", path.display());
        check("guest agent", Outcome::Fail, detail)
    }
}

fn store(paths: &Paths) -> Check {
    let database = paths.database();
    match Store::inspect(&database) {
        Ok(ids) => {
            let told = format!("{} in `{}`", count("VM", ids.len()), database.display());
            let unknown = disks_without_vm(&paths.vms(), &ids.into_iter().collect());
            if unknown.is_empty() {
                return check("store", Outcome::Pass, told);
            }
            let directories =
                unknown.iter().map(|path| format!("\n`{}`", path.display())).collect::<String>();
            let detail = format!("{told}; disks of VMs that it does not know are kept in:{directories}");
            let fix = "put back the database that knows them, or delete these directories";
            Check { fix: Some(Hint::advice(fix)), ..check("store", Outcome::Warn, detail) }
        }
        Err(error) => check("store", Outcome::Fail, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_comes_with_the_command_that_fixes_it() {
        let missing = program("depmod", "kmod", "pulling a kernel", false, true);
        assert_eq!(missing.outcome, Outcome::Fail);
        assert_eq!(missing.fix, Some(Hint::install("kmod")));
        assert_eq!(network().outcome, Outcome::Pass);
        let no_qemu = Err(ChoiceError::Missing { program: "qemu-system-x86_64", package: "qemu-system-x86" });
        assert_eq!(vmm(&no_qemu, true).fix, Some(Hint::install("qemu-system-x86")));
    }

    #[test]
    fn what_the_choice_warns_of_is_in_its_row_once() {
        let choice = |accelerator, warnings: &[&str]| Choice {
            vmm: banger_vmm::VmmKind::Qemu,
            program: "qemu".into(),
            accelerator,
            reason: "QEMU; Firecracker is not used: old".to_owned(),
            warnings: warnings.iter().map(|warning| (*warning).to_owned()).collect(),
        };
        let told = |choice| {
            let row = vmm(&Ok(choice), true);
            (row.outcome, row.detail)
        };
        let reason = "QEMU; Firecracker is not used: old".to_owned();
        assert_eq!(told(choice(Accelerator::Kvm, &[])), (Outcome::Pass, reason.clone()));
        assert_eq!(
            told(choice(Accelerator::Kvm, &["Firecracker is not used: old"])),
            (Outcome::Warn, reason.clone())
        );
        assert_eq!(
            told(choice(Accelerator::Tcg, &["slow"])),
            (Outcome::Warn, format!("{reason} (slower guests)\nslow"))
        );
    }

    #[test]
    fn a_host_without_kvm_is_warned_of_once() {
        let choice = || {
            Ok(Choice {
                vmm: banger_vmm::VmmKind::Qemu,
                program: "qemu".into(),
                accelerator: Accelerator::Tcg,
                reason: "QEMU without KVM: the processor has neither vmx nor svm".to_owned(),
                warnings: Vec::new(),
            })
        };
        assert_eq!(vmm(&choice(), false).outcome, Outcome::Pass, "the row of KVM warns");
        assert_eq!(vmm(&choice(), true).outcome, Outcome::Warn, "the configuration has chosen it");
    }

    #[test]
    fn root_does_not_need_the_programs_of_those_who_are_not() {
        let of = |is_root| program("newuidmap", "uidmap", "building without root", false, is_root).outcome;
        assert_eq!((of(true), of(false)), (Outcome::Warn, Outcome::Fail));
    }

    #[test]
    fn a_missing_agent_or_database_is_a_failure() {
        assert_eq!(agent(Path::new("/no/such/agent")).outcome, Outcome::Fail);
        assert_eq!(store(&Paths::under(Path::new("/no/such")).unwrap()).outcome, Outcome::Fail);
        assert_eq!(architecture("aarch64").outcome, Outcome::Fail);
    }
}
