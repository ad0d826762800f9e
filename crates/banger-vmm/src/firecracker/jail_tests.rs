//! The jailer's words, and whether it is used: pure.

use super::*;

fn all_controllers() -> Vec<String> {
    ["cpuset", "cpu", "io", "memory", "pids"].map(str::to_owned).into()
}

fn plan() -> MachinePlan {
    MachinePlan {
        vm: "0123456789abcdef".parse().unwrap(),
        state_directory: "/state".into(),
        runtime_directory: "/run".into(),
        kernel: crate::contract::KernelFiles {
            vmlinuz: None,
            has_pvh_entry: true,
            vmlinux: "/k".into(),
            initramfs: "/i".into(),
        },
        kernel_arguments: Vec::new(),
        vcpus: "2".parse().unwrap(),
        memory: "512M".parse().unwrap(),
        drives: Vec::new(),
        network: crate::contract::Network::None,
        drive_limit: None,
    }
}

#[test]
fn a_machine_is_limited_by_what_the_host_can_limit() {
    assert_eq!(
        cgroup_arguments(&limits(&plan(), &all_controllers())).join(" "),
        "--cgroup-version 2 --parent-cgroup banger --cgroup memory.max=645922816 --cgroup cpu.max=300000 100000 \
         --cgroup pids.max=66"
    );
    assert_eq!(
        cgroup_arguments(&limits(&plan(), &["pids".to_owned()])).join(" "),
        "--cgroup-version 2 --parent-cgroup banger --cgroup pids.max=66"
    );
    // The jailer refuses version 2 where it is not mounted, even if nothing is limited.
    assert!(cgroup_arguments(&limits(&plan(), &[])).is_empty());
}

#[test]
fn each_vm_has_a_user_of_its_own_which_stays() {
    let user = |vm: &str| user_of(&vm.parse().unwrap());
    assert_eq!(user("0123456789abcdef"), user("0123456789abcdef"));
    assert_ne!(user("0123456789abcdef"), user("0123456789abcdee"));
    for vm in ["0000000000000000", "ffffffffffffffff"] {
        assert!(is_a_jails_user(user(vm)));
        assert_ne!(user(vm), GROUP);
    }
    assert!(!is_a_jails_user(0) && !is_a_jails_user(GROUP));
}

#[test]
fn the_jailer_is_used_by_root_where_it_is_and_the_user_allows_it() {
    let facts = |jailer: Option<&str>, is_root| JailFacts { jailer: jailer.map(Into::into), is_root };
    let chosen = |wish, facts: &JailFacts| match choose(wish, facts, Path::new("/"), &[]) {
        Ok(Some(jailer)) => jailer.display().to_string(),
        Ok(None) => "none".to_owned(),
        Err(error) => error.to_string(),
    };
    let (good, user, bare) = (facts(Some("/j"), true), facts(Some("/j"), false), facts(None, true));
    assert_eq!([&good, &user, &bare].map(|facts| chosen(JailWish::Auto, facts)), ["/j", "none", "none"]);
    assert_eq!([&good, &user, &bare].map(|facts| chosen(JailWish::Never, facts)), ["none", "none", "none"]);
    assert_eq!(
        [&good, &user, &bare].map(|facts| chosen(JailWish::Always, facts)),
        [
            "/j",
            "the VM cannot be built: the jailer is required for Firecracker, but only root with all capabilities can use it",
            "the VM cannot be built: the jailer is required for Firecracker, but there is no `jailer` beside Firecracker"
        ]
    );
}

#[test]
fn a_place_without_devices_is_no_place_for_a_jail() {
    judge_mount(StatVfsMountFlags::NOSUID | StatVfsMountFlags::RELATIME).unwrap();
    assert!(judge_mount(StatVfsMountFlags::NODEV).unwrap_err().contains("nodev"));
    assert!(judge_mount(StatVfsMountFlags::NOEXEC).unwrap_err().contains("noexec"));
    assert!(check_place(Path::new("/no/such/place")).unwrap_err().contains("/no/such/place"));
}

#[test]
fn a_jailer_belongs_to_the_firecracker_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let release = directory.path().join("1.16.1");
    fs::create_dir(&release).unwrap();
    fs::write(release.join("firecracker"), "").unwrap();
    std::os::unix::fs::symlink("1.16.1", directory.path().join("current")).unwrap();
    let installed = directory.path().join("current/firecracker");
    assert_eq!(jailer_of(&installed), None);
    fs::write(release.join("jailer"), "").unwrap();
    assert_eq!(jailer_of(&installed), Some(release.canonicalize().unwrap().join("jailer")));
    // As in the archive.
    for name in ["firecracker-v1.16.1-x86_64", "jailer-v1.16.1-x86_64", "fc"] {
        fs::write(release.join(name), "").unwrap();
    }
    let name = |program: &str| {
        jailer_of(&release.join(program)).map(|jailer| jailer.file_name().unwrap().to_owned())
    };
    assert_eq!(name("firecracker-v1.16.1-x86_64").unwrap(), "jailer-v1.16.1-x86_64");
    // Which release this is nobody knows.
    assert_eq!(name("fc"), None);
}
