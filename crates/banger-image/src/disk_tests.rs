use std::collections::BTreeMap;
use std::process::Command;

use super::*;
use crate::image::ImageManifest;

fn image(home: &Path) -> Image {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, kind, mode) in
        [("./", tar::EntryType::Directory, 0o755), (".bashrc", tar::EntryType::Regular, 0o644)]
    {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(0);
        tar.append_data(&mut header, path, &[][..]).unwrap();
    }
    let manifest = ImageManifest {
        format_version: 1,
        name: "test".parse().unwrap(),
        id: String::new(),
        distro: String::new(),
        arch: String::new(),
        kernel: "test".parse().unwrap(),
        files: BTreeMap::new(),
        ready_ports: Vec::new(),
        init: None,
        packages: Vec::new(),
        source: String::new(),
        created_at: String::new(),
    };
    let image = Image { directory: home.to_owned(), manifest };
    std::fs::write(image.work_seed(), tar.into_inner().unwrap()).unwrap();
    image
}

fn gib(count: u64) -> DiskBytes {
    format!("{count}G").parse().unwrap()
}

fn assert_clean(disk: &Path) {
    let check = Command::new("/usr/sbin/e2fsck").args(["-fn"]).arg(disk).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}

#[test]
fn a_work_disk_has_the_seed_and_the_files_with_modes_that_sshd_accepts() {
    let home = tempfile::tempdir().unwrap();
    let key = SeedFile {
        path: ".ssh/authorized_keys".to_owned(),
        mode: 0o600,
        content: b"ssh-ed25519 A\n".to_vec(),
    };
    let disk = home.path().join("work.ext4");
    make_work_disk(&disk, gib(2), &image(home.path()), &[key]).unwrap();
    assert_clean(&disk);
    let work = ext4_view::Ext4::load_from_path(&disk).unwrap();
    let mode = |path: &str| u32::from(work.symlink_metadata(path).unwrap().mode()) & 0o7777;
    assert_eq!(mode("/"), 0o755);
    assert_eq!(mode("/.bashrc"), 0o644);
    assert_eq!((mode("/.ssh"), mode("/.ssh/authorized_keys")), (0o700, 0o600));
    assert_eq!(work.read_to_string("/.ssh/authorized_keys").unwrap(), "ssh-ed25519 A\n");
    assert_eq!(work.label().display().to_string(), "banger-work");
}

#[test]
fn an_overlay_disk_is_sparse_and_clean() {
    use std::os::unix::fs::MetadataExt as _;
    let home = tempfile::tempdir().unwrap();
    let disk = home.path().join("overlay.ext4");
    make_overlay_disk(&disk, gib(8)).unwrap();
    assert_clean(&disk);
    let found = std::fs::metadata(&disk).unwrap();
    assert_eq!(found.len(), 8 << 30);
    assert!(found.blocks() * 512 < 32 << 20, "{} bytes", found.blocks() * 512);
}

#[test]
fn without_a_seed_no_disk_is_left() {
    let home = tempfile::tempdir().unwrap();
    let image = image(home.path());
    std::fs::remove_file(image.work_seed()).unwrap();
    let disk = home.path().join("work.ext4");
    assert!(matches!(make_work_disk(&disk, gib(1), &image, &[]), Err(DiskError::ReadSeed { .. })));
    assert!(!disk.exists());
}
