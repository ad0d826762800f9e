//! What makes VMs start slower or stand closer to the host than they have to. Pure rules over facts. Nothing here is a
//! failure: a host that lacks a tuning runs VMs all the same.

use banger_model::{Hint, WantedVmm};
use banger_sys::host::Virtualization;
use banger_sys::tuning::{HostTuning, Processor};
use banger_vmm::firecracker::{JailFacts, JailWish, OLDEST_TEXT, TESTED, Tuning, Version};
use banger_vmm::selection::{FIRECRACKER_KEY, FoundFirecracker, HostFacts};

use super::check::{Check, Outcome, check};

/// From this kernel on, to make a VM waits for a lock of cgroups that readers are favoured for.
const FIRST_SLOW_KERNEL: (u32, u32) = (6, 1);
/// A VM's processes hold some twenty files, the daemon's side included.
const FILES_PER_VM: u64 = 20;
/// VMMs and networks of a hundred VMs.
const FILES_MIN: u64 = 4096;
/// A VM is three processes of some threads each.
const PROCESSES_MIN: u64 = 1024;

/// What the rules look at.
pub(super) struct Facts<'a> {
    pub(super) host: &'a HostFacts,
    pub(super) tuning: &'a HostTuning,
    pub(super) wanted: WantedVmm,
    /// What is asked of Firecracker.
    pub(super) wishes: Tuning,
    /// The jailer of the Firecracker that would be used.
    pub(super) jail: Option<JailFacts>,
}

impl Facts<'_> {
    fn is_virtualization_usable(&self) -> bool {
        self.host.virtualization == Virtualization::Usable
    }
}

/// Returns a row for each tuning, in a fixed order.
pub(super) fn rows(facts: &Facts<'_>) -> Vec<Check> {
    vec![
        firecracker(facts),
        kvm(&facts.host.virtualization, facts.tuning),
        cgroup_moves(facts),
        nx_huge_pages(facts.tuning),
        huge_pages(facts),
        seccomp(facts.tuning.seccomp_actions.as_deref()),
        jailer(facts.wishes.jailer, facts.jail.as_ref()),
        limits(facts.tuning),
    ]
}

fn pass(name: &str, detail: impl Into<String>) -> Check {
    check(name, Outcome::Pass, detail)
}

fn warn(name: &str, detail: impl Into<String>, fix: Option<Hint>) -> Check {
    Check { fix, ..check(name, Outcome::Warn, detail) }
}

fn firecracker(facts: &Facts<'_>) -> Check {
    const NAME: &str = "firecracker";
    let install = || Some(Hint::SetUpFirecracker);
    let Some(found) = &facts.host.firecracker else {
        return match facts.wanted {
            WantedVmm::Qemu => pass(NAME, "not installed; the configuration selects QEMU"),
            WantedVmm::Auto | WantedVmm::Firecracker if !facts.is_virtualization_usable() => {
                pass(NAME, "not installed; it could not run VMs on this host")
            }
            WantedVmm::Auto | WantedVmm::Firecracker => {
                warn(NAME, "not installed: VMs start slower with QEMU, and use more memory", install())
            }
        };
    };
    let FoundFirecracker { program, version, is_static, is_configured } = found;
    let program = program.display();
    match version {
        Err(why) if *is_configured => check(
            NAME,
            Outcome::Fail,
            format!("`{FIRECRACKER_KEY}` in the configuration cannot be used: {why}"),
        ),
        Ok(_) if !is_static => warn(
            NAME,
            format!("`{program}` is not a static program, and sees no libraries in its cell"),
            install(),
        ),
        Err(why) => warn(NAME, format!("`{program}` does not report its version: {why}"), install()),
        Ok(version) if version.is_too_old() => {
            let detail = format!("`{program}` is version {version}, and at least {OLDEST_TEXT} is needed");
            warn(NAME, detail, install())
        }
        Ok(version) if !version.has_acpi() => {
            let detail =
                format!("`{program}` is version {version}: Debian's kernels find their devices from 1.8 on");
            warn(NAME, detail, install())
        }
        Ok(version) if version.is_untested() => {
            let detail =
                format!("`{program}` is version {version}, newer than {TESTED}, the newest tested version");
            warn(NAME, detail, install())
        }
        Ok(version) => pass(NAME, format!("version {version}, `{program}`{}", resume_note(*version))),
    }
}

fn resume_note(version: Version) -> &'static str {
    if version.loses_vsock_by_a_bare_resume() {
        "\na bare resume of this version makes streams to the guest hang (its issue #6100); banger goes round that, and \
         open streams are reset by a pause"
    } else {
        ""
    }
}

fn kvm(virtualization: &Virtualization, tuning: &HostTuning) -> Check {
    const NAME: &str = "kvm";
    let processor = tuning.processor;
    match virtualization {
        Virtualization::Usable if processor.is_virtual => {
            let detail = format!(
                "{}, nested: this host is a guest itself, so whatever leaves a VM costs several times as much",
                flag(processor).unwrap_or("usable")
            );
            pass(NAME, detail)
        }
        Virtualization::Usable => pass(NAME, flag(processor).unwrap_or("usable")),
        Virtualization::SoftwareOnly => {
            let module = tuning.software_kvm.as_deref().unwrap_or("unknown");
            let detail = format!(
                "/dev/kvm is a software KVM (module {module}): the processor has neither vmx nor svm, and ordinary guests \
                 hang on it; {}",
                remedy(processor)
            );
            warn(NAME, detail, None)
        }
        Virtualization::Forbidden => {
            let rights = tuning.kvm_device.clone().unwrap_or_default();
            let detail =
                format!("this user may not open /dev/kvm (mode {:03o}, group {})", rights.mode, rights.group);
            let is_group_allowed = rights.mode & 0o060 == 0o060 && rights.group != "root";
            let fix = if is_group_allowed {
                Hint::advice(format!("sudo usermod -aG {} \"$USER\", then log in again", rights.group))
            } else {
                Hint::on_host("sudo setfacl -m \"u:$USER:rw\" /dev/kvm")
            };
            warn(NAME, detail, Some(fix))
        }
        Virtualization::Absent => match (processor.has_vmx, processor.has_svm) {
            (true, _) => {
                warn(NAME, "/dev/kvm is missing, although the processor has vmx", Some(modprobe("kvm_intel")))
            }
            (false, true) => {
                warn(NAME, "/dev/kvm is missing, although the processor has svm", Some(modprobe("kvm_amd")))
            }
            (false, false) => {
                let detail = format!(
                    "/dev/kvm is missing, and the processor has neither vmx nor svm; {}",
                    remedy(processor)
                );
                warn(NAME, detail, None)
            }
        },
    }
}

fn flag(processor: Processor) -> Option<&'static str> {
    match (processor.has_vmx, processor.has_svm) {
        (true, _) => Some("the processor has vmx"),
        (false, true) => Some("the processor has svm"),
        (false, false) => None,
    }
}

fn remedy(processor: Processor) -> &'static str {
    if processor.is_virtual {
        "this host is itself a guest; its hypervisor must allow nested virtualisation"
    } else {
        "virtualisation may be disabled in the firmware"
    }
}

fn modprobe(module: &str) -> Hint {
    Hint::on_host(format!("sudo modprobe {module}"))
}

/// To make a VM moves a kernel thread into its cgroup. Kernels from 6.1 on wait long for that, unless they are told to favour
/// moves, or have no such thread to move (`nx_huge_pages=never`).
fn cgroup_moves(facts: &Facts<'_>) -> Check {
    const NAME: &str = "cgroup favordynmods";
    let tuning = facts.tuning;
    if !facts.is_virtualization_usable() {
        return pass(NAME, "not applicable without hardware virtualisation");
    }
    let Some((major, minor)) = tuning.kernel.filter(|kernel| *kernel >= FIRST_SLOW_KERNEL) else {
        return pass(NAME, "not needed by this kernel");
    };
    if tuning.nx_huge_pages.as_deref() == Some("never") {
        return pass(NAME, "not needed, as nx_huge_pages is `never`");
    }
    if tuning.cgroups.is_empty() || tuning.cgroups.iter().any(|mount| mount.favors_moves) {
        return pass(NAME, "processes move between cgroups fast");
    }
    let fix = match tuning.unified_cgroup() {
        Some(path) => Hint::on_host(format!("sudo mount -o remount,favordynmods {}", path.display())),
        None => Hint::advice("add cgroup_favordynmods=true to the kernel's command line"),
    };
    warn(NAME, format!("off: on kernel {major}.{minor}, starting a VM takes up to 0.2 s longer"), Some(fix))
}

fn nx_huge_pages(tuning: &HostTuning) -> Check {
    const NAME: &str = "kvm nx_huge_pages";
    let Some(value) = tuning.nx_huge_pages.as_deref() else { return pass(NAME, "there is no KVM") };
    match (value, tuning.has_itlb_multihit) {
        ("never", _) => pass(NAME, "`never`: a VM is made without a thread that divides huge pages"),
        ("Y", Some(true)) => pass(NAME, "on, which this processor needs (iTLB multihit)"),
        ("Y", Some(false)) => {
            let detail = "on, and this processor does not need it: guests run slower";
            warn(
                NAME,
                detail,
                Some(Hint::on_host("echo off | sudo tee /sys/module/kvm/parameters/nx_huge_pages")),
            )
        }
        ("Y", None) => pass(NAME, "on"),
        (_, Some(true)) => {
            let detail = "off, and this processor needs it: a guest can crash this host (iTLB multihit)";
            warn(
                NAME,
                detail,
                Some(Hint::on_host("echo auto | sudo tee /sys/module/kvm/parameters/nx_huge_pages")),
            )
        }
        (_, Some(false) | None) => pass(NAME, "off"),
    }
}

fn huge_pages(facts: &Facts<'_>) -> Check {
    const NAME: &str = "huge pages";
    let pages = facts.tuning.huge_pages;
    let detail = format!("{} of {} pages of 2 MiB are free", pages.free, pages.total);
    match (facts.wishes.huge_pages, pages.free) {
        (true, 0) => {
            let detail =
                format!("{detail}: guests get ordinary pages, though `huge_pages = true` asks for huge ones");
            warn(
                NAME,
                detail,
                Some(Hint::on_host("sudo sysctl vm.nr_hugepages=<half of the MiB for guests>")),
            )
        }
        (true, _) => pass(NAME, detail),
        (false, _) => pass(NAME, format!("{detail}; the configuration does not ask for them")),
    }
}

fn seccomp(actions: Option<&[String]>) -> Check {
    const NAME: &str = "seccomp";
    let has = |wanted: &str| actions.unwrap_or_default().iter().any(|action| action == wanted);
    if has("trap") && has("kill_process") {
        return pass(NAME, "VMMs can do no more than their filters allow");
    }
    warn(
        NAME,
        "this kernel has no seccomp filters, without which neither Firecracker nor QEMU's sandbox starts",
        None,
    )
}

fn jailer(wish: JailWish, facts: Option<&JailFacts>) -> Check {
    const NAME: &str = "jailer";
    let Some(facts) = facts else { return pass(NAME, "not applicable without Firecracker") };
    match (wish, facts.judge()) {
        (JailWish::Never, _) => pass(NAME, "not used, as configured; namespaces isolate Firecracker"),
        (JailWish::Auto | JailWish::Always, Ok(jailer)) => pass(
            NAME,
            format!("used for each Firecracker, in addition to its namespaces: `{}`", jailer.display()),
        ),
        (JailWish::Auto, Err(why)) => pass(NAME, format!("not used ({why}); namespaces isolate Firecracker")),
        (JailWish::Always, Err(why)) => {
            let fix = facts.is_root.then_some(Hint::SetUpFirecracker);
            warn(NAME, format!("{why}, and the configuration lets nothing start without it"), fix)
        }
    }
}

fn limits(tuning: &HostTuning) -> Check {
    const NAME: &str = "limits";
    let told = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    let (files, processes) = (tuning.open_files_max, tuning.processes_max);
    let detail = format!("{} open files, {} processes", told(files), told(processes));
    if files.is_some_and(|files| files < FILES_MIN) {
        let room = files.unwrap_or_default() / FILES_PER_VM;
        let detail = format!("{detail}: enough for about {room} VMs at once");
        return warn(
            NAME,
            detail,
            Some(Hint::advice(format!("raise `ulimit -Hn` (LimitNOFILE) to {} or more", FILES_MIN * 16))),
        );
    }
    if processes.is_some_and(|processes| processes < PROCESSES_MIN) {
        let fix = Hint::advice(format!("raise `ulimit -Hu` (LimitNPROC) to {} or more", PROCESSES_MIN * 16));
        return warn(
            NAME,
            format!("{detail}: each VM needs three processes with several threads"),
            Some(fix),
        );
    }
    pass(NAME, detail)
}

#[cfg(test)]
#[path = "tuning_tests.rs"]
mod tests;
