//! The jailer's words, and whether it is used.

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
fn the_jailer_is_used_where_it_can_be_and_the_user_allows_it() {
    let jailer =
        Jailer { program: "/j".into(), firecracker: "/f".into(), controllers: Vec::new(), cgroup: None };
    let none = "only root with all capabilities can use it".to_owned();
    let decided = |wish, found| match decide(wish, found) {
        Ok(Some(jailer)) => jailer.program.display().to_string(),
        Ok(None) => "none".to_owned(),
        Err(error) => error.to_string(),
    };
    let wishes = [JailWish::Auto, JailWish::Never, JailWish::Always];
    assert_eq!(wishes.map(|wish| decided(wish, Ok(&jailer))), ["/j", "none", "/j"]);
    assert_eq!(
        wishes.map(|wish| decided(wish, Err(&none))),
        [
            "none",
            "none",
            "the VM cannot be built: the jailer is required for Firecracker, but only root with all capabilities can use it"
        ]
    );
}
