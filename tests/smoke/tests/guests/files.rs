//! Files to guests, from guests, and from one guest to another.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};

use banger_smoke::Home;
use banger_smoke::harness::Scenario;

pub(crate) const SCENARIOS: &[Scenario] = &[Scenario::pure(
    "vm_cp",
    12,
    "files are copied both ways unchanged, and only to where they were sent",
    vm_cp,
)];

fn vm_cp() {
    let home = Home::ready();
    for name in ["dev", "other"] {
        let _ = home.text(&["vm", "create", "-q", "--memory", "512M", "--name", name]);
    }
    let host = tempfile::tempdir().unwrap();
    let at = |path: &str| host.path().join(path).display().to_string();
    let cp = |from: &str, to: &str| home.banger(&["vm", "cp", from, to]).run();
    let guest = |vm: &str, script: &str| home.text(&["vm", "exec", vm, "--", "sh", "-c", script]);
    // A tree with everything that a copy preserves.
    fs::create_dir_all(at("tree/sub dir")).unwrap();
    fs::write(at("tree/sub dir/run"), "#!/bin/sh\necho it runs\n").unwrap();
    fs::set_permissions(at("tree/sub dir/run"), Permissions::from_mode(0o4750)).unwrap();
    symlink("sub dir/run", at("tree/link")).unwrap();
    let sparse = File::create(at("tree/sparse")).unwrap();
    sparse.set_len(4 << 30).unwrap();
    sparse.write_all_at(b"end", (4 << 30) - 3).unwrap();
    let large: Vec<u8> = (0..20_000_000_u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
    fs::write(at("tree/large"), &large).unwrap();
    let answer = cp(&at("tree"), "dev:");
    assert_eq!(answer.status, 0, "{answer:?}");
    assert_eq!(guest("dev", "./tree/link; stat -c '%a %U' 'tree/sub dir/run'"), "it runs\n750 root\n");
    assert_eq!(guest("dev", "test $(du -m tree/sparse | cut -f1) -lt 2 && tail -c 3 tree/sparse"), "end");
    // From one guest to another, and back to the host.
    let answer = cp("dev:tree/.", "other:/srv/copy");
    assert_eq!(answer.status, 0, "{answer:?}");
    let answer = cp("other:/srv/copy", &at("back"));
    assert_eq!(answer.status, 0, "{answer:?}");
    assert!(fs::read(at("back/large")).unwrap() == large, "a large file came back changed");
    let back = fs::metadata(at("back/sparse")).unwrap();
    assert_eq!(back.len(), 4 << 30);
    assert!(back.blocks() * 512 < 1 << 20, "the hole was filled");
    assert_eq!(fs::metadata(at("back/sub dir/run")).unwrap().mode() & 0o7777, 0o750);
    assert_eq!(
        fs::metadata(at("back/large")).unwrap().modified().unwrap(),
        fs::metadata(at("tree/large")).unwrap().modified().unwrap()
    );
    // What a hostile guest would try on the host: links out, set-user-id programs, devices.
    guest(
        "dev",
        "mkdir evil && cd evil && ln -s /etc passwd-dir && cp /bin/true suid && chmod 6755 suid && \
         mknod null c 1 3 && mkfifo pipe",
    );
    let answer = cp("dev:evil", &at("evil"));
    assert_eq!(answer.status, 0, "{answer:?}");
    assert!(answer.stderr.contains("is a device") && answer.stderr.contains("is a named pipe"), "{answer:?}");
    assert_eq!(fs::metadata(at("evil/suid")).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(fs::metadata(at("evil/suid")).unwrap().uid(), rustix::process::geteuid().as_raw());
    assert!(fs::symlink_metadata(at("evil/passwd-dir")).unwrap().is_symlink());
    guest("dev", "rm evil/passwd-dir && mkdir evil/passwd-dir && touch evil/passwd-dir/banger-was-here");
    let answer = cp("dev:evil/.", &at("evil"));
    assert_eq!(answer.status, 1, "{answer:?}");
    assert!(answer.stderr.contains("already exists and is not a directory"), "{answer:?}");
    assert!(!std::path::Path::new("/etc/banger-was-here").exists());
    // A full disk is reported, and no partial file is left.
    let answer = cp(&at("tree/large"), "dev:/dev/shm/x/");
    assert!(answer.stderr.contains("dev: there is no directory `/dev/shm/x`"), "{answer:?}");
    guest("dev", "mkdir /tmp/small && mount -t tmpfs -o size=1M tmpfs /tmp/small");
    let answer = cp(&at("tree/large"), "dev:/tmp/small");
    assert_eq!(answer.status, 1);
    assert!(answer.stderr.contains("dev: cannot write `/tmp/small/large`: No space left"), "{answer:?}");
    assert_eq!(guest("dev", "ls -A /tmp/small"), "");
}
