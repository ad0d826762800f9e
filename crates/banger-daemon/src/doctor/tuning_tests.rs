//! Rows on hosts of every kind.

use banger_model::Hint;
use banger_sys::tuning::{CgroupMount, DeviceRights, HugePages};

use super::*;

fn good_host() -> HostFacts {
    HostFacts {
        firecracker: Some(found("1.15.1")),
        qemu: None,
        virtualization: Virtualization::Usable,
        no_namespaces: None,
        has_tun: true,
    }
}

fn found(version: &str) -> FoundFirecracker {
    FoundFirecracker {
        program: "/fc".into(),
        version: Ok(version.parse().unwrap()),
        is_static: true,
        is_configured: false,
    }
}

fn good_tuning() -> HostTuning {
    HostTuning {
        kernel: Some((6, 12)),
        processor: Processor { has_vmx: true, has_svm: false, is_virtual: false },
        software_kvm: None,
        kvm_device: Some(DeviceRights { mode: 0o660, group: "kvm".into() }),
        cgroups: vec![CgroupMount { path: "/sys/fs/cgroup".into(), is_unified: true, favors_moves: true }],
        nx_huge_pages: Some("N".into()),
        has_itlb_multihit: Some(false),
        huge_pages: HugePages { total: 512, free: 500 },
        seccomp_actions: Some(["kill_process", "trap", "allow"].map(str::to_owned).into()),
        open_files_max: Some(1_048_576),
        processes_max: None,
    }
}

/// All rows of a host, a line each.
fn told(host: &HostFacts, tuning: &HostTuning, wanted: WantedVmm) -> String {
    let facts = Facts { host, tuning, wanted, wishes: Tuning::default(), jail: None };
    rows(&facts).iter().map(line).collect()
}

fn text(fix: &Hint) -> &str {
    match fix {
        Hint::OnHost { command } => command,
        Hint::Advice { text } => text,
        Hint::SetUpFirecracker => "set up Firecracker",
        other => panic!("{other:?}"),
    }
}

fn line(row: &Check) -> String {
    let fix = row.fix.as_ref().map(|fix| format!(" [{}]", text(fix))).unwrap_or_default();
    format!("{:?} {}: {}{fix}\n", row.outcome, row.name, row.detail)
}

#[test]
fn a_host_with_everything_has_nothing_to_be_told() {
    insta::assert_snapshot!(told(&good_host(), &good_tuning(), WantedVmm::Auto), @r"
    Pass firecracker: version 1.15.1, `/fc`
    Pass kvm: the processor has vmx
    Pass cgroup favordynmods: processes move between cgroups fast
    Pass kvm nx_huge_pages: off
    Pass huge pages: 500 of 512 pages of 2 MiB are free; the configuration does not ask for them
    Pass seccomp: VMMs can do no more than their filters allow
    Pass jailer: not applicable without Firecracker
    Pass limits: 1048576 open files, unlimited processes
    ");
}

#[test]
fn a_host_without_any_of_it_is_warned_and_never_failed() {
    let host = HostFacts { firecracker: None, ..good_host() };
    let tuning = HostTuning { open_files_max: Some(1024), kernel: Some((6, 1)), ..HostTuning::default() };
    let poor = HostTuning {
        cgroups: vec![CgroupMount { path: "/sys/fs/cgroup".into(), is_unified: true, favors_moves: false }],
        ..tuning
    };
    insta::assert_snapshot!(told(&host, &poor, WantedVmm::Auto), @r"
    Warn firecracker: not installed: VMs start slower with QEMU, and use more memory [set up Firecracker]
    Pass kvm: usable
    Warn cgroup favordynmods: off: on kernel 6.1, starting a VM takes up to 0.2 s longer [sudo mount -o remount,favordynmods /sys/fs/cgroup]
    Pass kvm nx_huge_pages: there is no KVM
    Pass huge pages: 0 of 0 pages of 2 MiB are free; the configuration does not ask for them
    Warn seccomp: this kernel has no seccomp filters, without which neither Firecracker nor QEMU's sandbox starts
    Pass jailer: not applicable without Firecracker
    Warn limits: 1024 open files, unlimited processes: enough for about 51 VMs at once [raise `ulimit -Hn` (LimitNOFILE) to 65536 or more]
    ");
    for virtualization in [Virtualization::Absent, Virtualization::Forbidden, Virtualization::SoftwareOnly] {
        for wanted in [WantedVmm::Auto, WantedVmm::Qemu, WantedVmm::Firecracker] {
            let host = HostFacts { virtualization: virtualization.clone(), ..host.clone() };
            let told = told(&host, &HostTuning::default(), wanted);
            assert!(!told.contains("Fail"), "{told}");
        }
    }
}

#[test]
fn each_firecracker_is_told_for_what_it_is() {
    let row = |found, wanted| {
        let host = HostFacts { firecracker: found, ..good_host() };
        let tuning = good_tuning();
        line(&firecracker(&Facts {
            host: &host,
            tuning: &tuning,
            wanted,
            wishes: Tuning::default(),
            jail: None,
        }))
    };
    let unknown = FoundFirecracker { version: Err("it hangs".into()), ..found("1.16.1") };
    let missing = FoundFirecracker {
        version: Err("`/fc` does not exist".into()),
        is_configured: true,
        ..found("1.16.1")
    };
    let linked = FoundFirecracker { is_static: false, ..found("1.16.1") };
    let table: String = [
        Some(found("1.4.1")),
        Some(found("1.7.0")),
        Some(found("1.16.1")),
        Some(found("1.18.0")),
        Some(unknown),
        Some(missing),
        Some(linked),
    ]
    .into_iter()
    .map(|found| row(found, WantedVmm::Auto))
    .chain([row(None, WantedVmm::Qemu)])
    .collect();
    insta::assert_snapshot!(table, @r"
    Warn firecracker: `/fc` is version 1.4.1, and at least 1.5 is needed [set up Firecracker]
    Warn firecracker: `/fc` is version 1.7.0: Debian's kernels find their devices from 1.8 on [set up Firecracker]
    Pass firecracker: version 1.16.1, `/fc`
    a bare resume of this version makes streams to the guest hang (its issue #6100); banger goes round that, and open streams are reset by a pause
    Warn firecracker: `/fc` is version 1.18.0, newer than 1.16.1, the newest tested version [set up Firecracker]
    Warn firecracker: `/fc` does not report its version: it hangs [set up Firecracker]
    Fail firecracker: `firecracker_bin` in the configuration cannot be used: `/fc` does not exist
    Warn firecracker: `/fc` is not a static program, and sees no libraries in its cell [set up Firecracker]
    Pass firecracker: not installed; the configuration selects QEMU
    ");
}

#[test]
fn each_kvm_is_told_for_what_it_is() {
    let row = |virtualization, flags: &str, software: Option<&str>, rights: Option<(u32, &str)>| {
        let tuning = HostTuning {
            processor: Processor::of_cpuinfo(&format!("flags : {flags}")),
            software_kvm: software.map(str::to_owned),
            kvm_device: rights.map(|(mode, group)| DeviceRights { mode, group: group.to_owned() }),
            ..good_tuning()
        };
        line(&kvm(&virtualization, &tuning))
    };
    let table: String = [
        row(Virtualization::Usable, "svm", None, None),
        row(Virtualization::Usable, "vmx hypervisor", None, None),
        row(Virtualization::SoftwareOnly, "hypervisor", Some("kvm_pvm"), None),
        row(Virtualization::Forbidden, "vmx", None, Some((0o660, "kvm"))),
        row(Virtualization::Forbidden, "vmx", None, Some((0o600, "root"))),
        row(Virtualization::Absent, "vmx", None, None),
        row(Virtualization::Absent, "svm", None, None),
        row(Virtualization::Absent, "", None, None),
    ]
    .concat();
    insta::assert_snapshot!(table, @r#"
    Pass kvm: the processor has svm
    Pass kvm: the processor has vmx, nested: this host is a guest itself, so whatever leaves a VM costs several times as much
    Warn kvm: /dev/kvm is a software KVM (module kvm_pvm): the processor has neither vmx nor svm, and ordinary guests hang on it; this host is itself a guest; its hypervisor must allow nested virtualisation
    Warn kvm: this user may not open /dev/kvm (mode 660, group kvm) [sudo usermod -aG kvm "$USER", then log in again]
    Warn kvm: this user may not open /dev/kvm (mode 600, group root) [sudo setfacl -m "u:$USER:rw" /dev/kvm]
    Warn kvm: /dev/kvm is missing, although the processor has vmx [sudo modprobe kvm_intel]
    Warn kvm: /dev/kvm is missing, although the processor has svm [sudo modprobe kvm_amd]
    Warn kvm: /dev/kvm is missing, and the processor has neither vmx nor svm; virtualisation may be disabled in the firmware
    "#);
}

#[test]
fn the_slow_making_of_vms_is_told_where_it_is_slow() {
    let outcome = |kernel, value: &str, favors_moves, virtualization| {
        let host = HostFacts { virtualization, ..good_host() };
        let cgroups = vec![CgroupMount { path: "/c".into(), is_unified: false, favors_moves }];
        let tuning =
            HostTuning { kernel: Some(kernel), nx_huge_pages: Some(value.into()), cgroups, ..good_tuning() };
        let facts = Facts {
            host: &host,
            tuning: &tuning,
            wanted: WantedVmm::Auto,
            wishes: Tuning::default(),
            jail: None,
        };
        let row = cgroup_moves(&facts);
        (row.outcome, row.fix)
    };
    let slow = outcome((6, 1), "N", false, Virtualization::Usable);
    assert_eq!(slow.0, Outcome::Warn);
    // Version 1 cannot be told while it is mounted.
    assert_eq!(slow.1, Some(Hint::advice("add cgroup_favordynmods=true to the kernel's command line")));
    for (kernel, value, favors_moves, virtualization) in [
        ((5, 15), "N", false, Virtualization::Usable),
        ((6, 1), "never", false, Virtualization::Usable),
        ((6, 1), "N", true, Virtualization::Usable),
        ((6, 1), "N", false, Virtualization::SoftwareOnly),
    ] {
        assert_eq!(outcome(kernel, value, favors_moves, virtualization).0, Outcome::Pass);
    }
}

#[test]
fn a_mitigation_is_judged_by_whether_the_processor_needs_it() {
    let row = |value: &str, has_itlb_multihit| {
        line(&nx_huge_pages(&HostTuning {
            nx_huge_pages: Some(value.into()),
            has_itlb_multihit,
            ..good_tuning()
        }))
    };
    let table: String = [
        row("never", Some(false)),
        row("Y", Some(true)),
        row("Y", Some(false)),
        row("N", Some(true)),
        row("Y", None),
    ]
    .concat();
    insta::assert_snapshot!(table, @r"
    Pass kvm nx_huge_pages: `never`: a VM is made without a thread that divides huge pages
    Pass kvm nx_huge_pages: on, which this processor needs (iTLB multihit)
    Warn kvm nx_huge_pages: on, and this processor does not need it: guests run slower [echo off | sudo tee /sys/module/kvm/parameters/nx_huge_pages]
    Warn kvm nx_huge_pages: off, and this processor needs it: a guest can crash this host (iTLB multihit) [echo auto | sudo tee /sys/module/kvm/parameters/nx_huge_pages]
    Pass kvm nx_huge_pages: on
    ");
}

#[test]
fn huge_pages_are_missed_by_who_asks_for_them_only() {
    let outcome = |huge_pages_are_wanted, free| {
        let wishes = Tuning { huge_pages: huge_pages_are_wanted, ..Tuning::default() };
        let (host, tuning) =
            (good_host(), HostTuning { huge_pages: HugePages { total: 8, free }, ..good_tuning() });
        huge_pages(&Facts { host: &host, tuning: &tuning, wanted: WantedVmm::Auto, wishes, jail: None })
            .outcome
    };
    assert_eq!(
        [outcome(false, 0), outcome(true, 1), outcome(true, 0)],
        [Outcome::Pass, Outcome::Pass, Outcome::Warn]
    );
}

#[test]
fn limits_that_many_vms_run_into_are_told() {
    let outcome = |open_files_max, processes_max| {
        limits(&HostTuning { open_files_max, processes_max, ..good_tuning() }).outcome
    };
    assert_eq!(outcome(None, None), Outcome::Pass);
    assert_eq!(outcome(Some(4096), Some(4096)), Outcome::Pass);
    assert_eq!(outcome(Some(4095), None), Outcome::Warn);
    assert_eq!(outcome(None, Some(100)), Outcome::Warn);
}

#[test]
fn the_jailer_is_told_for_what_becomes_of_it() {
    let facts = |jailer: Option<&str>, is_root| JailFacts { jailer: jailer.map(Into::into), is_root };
    let table: String = [
        (JailWish::Auto, facts(Some("/fc/jailer"), true)),
        (JailWish::Auto, facts(Some("/fc/jailer"), false)),
        (JailWish::Never, facts(Some("/fc/jailer"), true)),
        (JailWish::Always, facts(Some("/fc/jailer"), false)),
        (JailWish::Always, facts(None, true)),
    ]
    .iter()
    .map(|(wish, facts)| line(&jailer(*wish, Some(facts))))
    .collect();
    insta::assert_snapshot!(table, @r"
    Pass jailer: used for each Firecracker, in addition to its namespaces: `/fc/jailer`
    Pass jailer: not used (only root with all capabilities can use it); namespaces isolate Firecracker
    Pass jailer: not used, as configured; namespaces isolate Firecracker
    Warn jailer: only root with all capabilities can use it, and the configuration lets nothing start without it
    Warn jailer: there is no `jailer` beside Firecracker, and the configuration lets nothing start without it [set up Firecracker]
    ");
}
