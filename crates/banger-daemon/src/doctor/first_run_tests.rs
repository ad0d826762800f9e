use super::*;
use banger_model::Hint;

const MIB: u64 = 1 << 20;

fn sources() -> PackageSources {
    PackageSources { suite: "bookworm", has_suite: true, has_lists: true, has_keys: true }
}

/// A host on which the first run works.
fn good() -> Facts {
    Facts {
        is_root: false,
        is_image_here: false,
        has_sub_ids: true,
        no_namespaces: None,
        forbidding: Vec::new(),
        sources: sources(),
        state: "/s".into(),
        space: Some(DiskSpace { free_bytes: 9000 * MIB, total_bytes: 10_000 * MIB }),
        no_holes: None,
        build: ("/tmp".into(), true),
        file_bytes_max: None,
        memory_bytes: 2048 * MIB,
    }
}

fn failing(facts: &Facts) -> Vec<(String, Option<Hint>)> {
    let rows = rows(facts, DiskFloor::Bytes(500 * MIB)).into_iter();
    let failing = rows.filter(|row| row.outcome == Outcome::Fail);
    failing.map(|row| (row.name, row.fix)).collect()
}

#[test]
fn a_good_host_fails_nowhere() {
    assert!(failing(&good()).is_empty());
    assert!(failing(&Facts { is_root: true, has_sub_ids: false, ..good() }).is_empty(), "root needs no ids");
}

#[test]
fn each_thing_that_would_fail_the_first_run_fails_its_row_and_names_its_cure() {
    let no_namespaces = || Some("not permitted".to_owned());
    let clone = vec!["kernel.unprivileged_userns_clone=1"];
    let space = |free| Some(DiskSpace { free_bytes: free * MIB, total_bytes: 10_000 * MIB });
    let told: Vec<_> = [
        Facts { no_namespaces: no_namespaces(), forbidding: clone, ..good() },
        Facts { no_namespaces: no_namespaces(), is_image_here: true, ..good() },
        Facts { has_sub_ids: false, ..good() },
        Facts { sources: PackageSources { has_suite: false, ..sources() }, ..good() },
        Facts { sources: PackageSources { has_lists: false, ..sources() }, ..good() },
        Facts { sources: PackageSources { has_keys: false, ..sources() }, ..good() },
        Facts { build: ("/tmp".into(), false), ..good() },
        Facts { no_holes: Some("holes use space".to_owned()), ..good() },
        Facts { space: space(2547), ..good() },
        Facts { space: space(499), is_image_here: true, ..good() },
        Facts { space: None, ..good() },
        Facts { file_bytes_max: Some(2048 * MIB - 1), ..good() },
    ]
    .iter()
    .map(|facts| match failing(facts).as_slice() {
        [(name, fix)] => (name.clone(), fix.clone()),
        other => panic!("{facts:?}: {other:?}"),
    })
    .collect();
    let fix = |name: &str, fix| (name.to_owned(), fix);
    let on_host = |name, command: &str| fix(name, Some(Hint::on_host(command)));
    let source = "add `deb http://deb.debian.org/debian bookworm main` to /etc/apt/sources.list, then: sudo apt-get update";
    let elsewhere = "set BANGER_HOME to a directory on ext4, xfs or btrfs";
    let expected = [
        on_host("user namespaces", "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
        fix("user namespaces", None),
        on_host(
            "subordinate ids",
            "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER",
        ),
        fix("package sources", Some(Hint::advice(source))),
        on_host("package sources", "sudo apt-get update"),
        fix("package sources", Some(Hint::install("debian-archive-keyring"))),
        on_host("build directory", "sudo mount -o remount,exec \"$(findmnt -n -o TARGET -T /tmp)\""),
        fix("state directory", Some(Hint::advice(elsewhere))),
        fix("disk space", Some(Hint::FreeSpace)),
        fix("disk space", Some(Hint::FreeSpace)),
        fix("disk space", None),
        on_host("guest memory", "ulimit -f unlimited"),
    ];
    assert_eq!(told, expected);
}

#[test]
fn what_only_a_build_needs_is_a_warning_once_the_image_is_here() {
    let facts = Facts {
        is_image_here: true,
        has_sub_ids: false,
        sources: PackageSources { has_suite: false, ..sources() },
        build: ("/tmp".into(), false),
        ..good()
    };
    assert!(failing(&facts).is_empty());
    let rows = rows(&facts, DiskFloor::Bytes(0));
    assert_eq!(rows.iter().filter(|row| row.outcome == Outcome::Warn).count(), 3);
}

#[test]
fn the_settings_that_forbid_namespaces_are_found() {
    let told = |value: &'static str| {
        forbidding(|path| path.ends_with("max_user_namespaces").then(|| value.to_owned()))
    };
    assert_eq!(told("0\n"), ["user.max_user_namespaces=15000"]);
    assert!(told("63000\n").is_empty());
    let apparmor = forbidding(|path| path.contains("apparmor").then(|| "1\n".to_owned()));
    assert_eq!(apparmor, ["kernel.apparmor_restrict_unprivileged_userns=0"]);
}

#[test]
fn this_file_system_is_looked_at_without_a_trace() {
    let directory = tempfile::tempdir().unwrap();
    try_holes(directory.path()).unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    assert!(try_holes(Path::new("/nonexistent")).is_err());
}
