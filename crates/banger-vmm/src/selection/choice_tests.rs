//! What is chosen, and what is said of it.

use super::*;

fn facts(virtualization: Virtualization) -> HostFacts {
    HostFacts {
        firecracker: None,
        qemu: Some("/usr/bin/qemu-system-x86_64".into()),
        virtualization,
        no_namespaces: None,
        has_tun: true,
    }
}

fn with_firecracker(version: &str) -> HostFacts {
    let firecracker = FoundFirecracker {
        program: "/usr/bin/firecracker".into(),
        version: Ok(version.parse().unwrap()),
        is_static: true,
        is_configured: false,
    };
    HostFacts { firecracker: Some(firecracker), ..facts(Virtualization::Usable) }
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
         named: Firecracker cannot be used: this user may not open /dev/kvm"
    );
    let software = HostFacts { virtualization: Virtualization::SoftwareOnly, ..with_firecracker("1.16.1") };
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
        (HostFacts { virtualization: Virtualization::Absent, ..with_firecracker("1.16.1") }, "no /dev/kvm"),
    ] {
        let told = both(&facts);
        assert_eq!(told.matches(why).count(), 2, "{told}");
    }
    let old = both(&with_firecracker("1.7.0"));
    assert!(
        old.contains("not used: Firecracker 1.7.0") && old.contains("named: Firecracker 1.7.0 with"),
        "{old}"
    );
}

#[test]
fn firecracker_is_said_to_be_missing_only_where_it_could_run() {
    let named = |virtualization| choose(WantedVmm::Firecracker, &facts(virtualization)).unwrap_err();
    assert_eq!(named(Virtualization::Usable), ChoiceError::NoFirecracker);
    for (virtualization, why) in [
        (Virtualization::Absent, "there is no /dev/kvm"),
        (Virtualization::Forbidden, "this user may not open /dev/kvm"),
        (Virtualization::SoftwareOnly, SOFTWARE_KVM),
    ] {
        assert_eq!(named(virtualization), ChoiceError::UnfitFirecracker { why: why.to_owned() });
    }
}

#[test]
fn a_missing_program_is_told_with_its_package() {
    let facts = HostFacts { qemu: None, ..facts(Virtualization::Absent) };
    assert_eq!(
        choose(WantedVmm::Auto, &facts),
        Err(ChoiceError::Missing { program: "qemu-system-x86_64", package: "qemu-system-x86" })
    );
}

/// A host whose configuration names a Firecracker.
fn with_configured(version: Result<&str, &str>) -> HostFacts {
    let firecracker = FoundFirecracker {
        program: "/opt/fc".into(),
        version: version.map(|version| version.parse().unwrap()).map_err(str::to_owned),
        is_static: true,
        is_configured: true,
    };
    HostFacts { firecracker: Some(firecracker), ..facts(Virtualization::Usable) }
}

#[test]
fn a_configured_firecracker_that_cannot_be_used_is_an_error_and_not_replaced() {
    let missing = with_configured(Err("`/opt/fc` does not exist"));
    for virtualization in [Virtualization::Usable, Virtualization::Absent] {
        let facts = HostFacts { virtualization, ..missing.clone() };
        for wanted in [WantedVmm::Auto, WantedVmm::Firecracker] {
            assert_eq!(
                choose(wanted, &facts).unwrap_err().to_string(),
                "`firecracker_bin` in the configuration cannot be used: `/opt/fc` does not exist"
            );
        }
        assert_eq!(choose(WantedVmm::Qemu, &facts).unwrap().vmm, VmmKind::Qemu, "nobody asks for it");
    }
    assert_eq!(choose(WantedVmm::Auto, &with_configured(Ok("1.16.1"))).unwrap().vmm, VmmKind::Firecracker);
    // One that is there is judged as any other.
    assert_eq!(choose(WantedVmm::Auto, &with_configured(Ok("1.4.0"))).unwrap().vmm, VmmKind::Qemu);
}

#[test]
fn a_program_that_needs_libraries_is_not_used() {
    let mut facts = with_firecracker("1.16.1");
    facts.firecracker.as_mut().unwrap().is_static = false;
    let told = both(&facts);
    assert_eq!(told.matches("`/usr/bin/firecracker` is not statically linked").count(), 2, "{told}");
}

#[test]
fn what_makes_guests_slower_than_they_have_to_be_is_warned_of() {
    let warnings = |facts: &HostFacts| choose(WantedVmm::Auto, facts).unwrap().warnings;
    let old = "Firecracker is installed, but not used: it is version 1.4.9, and at least 1.5 is needed";
    assert_eq!(warnings(&with_firecracker("1.4.9")), [old]);
    assert_eq!(warnings(&facts(Virtualization::Forbidden)), [FORBIDDEN_KVM]);
    for cannot_be_helped in [Virtualization::Absent, Virtualization::SoftwareOnly] {
        let facts = HostFacts { virtualization: cannot_be_helped, ..with_firecracker("1.16.1") };
        assert_eq!(warnings(&facts), [""; 0]);
    }
    assert_eq!(warnings(&facts(Virtualization::Usable)), [""; 0]);
}
