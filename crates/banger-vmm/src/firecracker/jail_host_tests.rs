//! Whether a jailer can be used here.

use super::*;

#[test]
fn only_root_with_a_jailer_can_jail() {
    let judged = |jailer: Option<&str>, is_root| {
        let facts = JailFacts { jailer: jailer.map(Into::into), is_root };
        facts.judge().map(Path::to_owned)
    };
    assert_eq!(judged(Some("/j"), true), Ok("/j".into()));
    assert_eq!(judged(Some("/j"), false), Err("only root with all capabilities can use it".to_owned()));
    assert_eq!(judged(None, true), Err("there is no `jailer` beside Firecracker".to_owned()));
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
