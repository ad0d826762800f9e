use std::fs;

use super::*;
use crate::image::Source;
use crate::test_files::{assert_clean, key, managed_image};

fn gib(count: u64) -> DiskBytes {
    format!("{count}G").parse().unwrap()
}

/// Fails unless a work disk has the image's home and lets the key in.
#[track_caller]
fn assert_work_disk(disk: &Path, key: &AuthorizedKey) {
    assert_clean(disk);
    let work = ext4_view::Ext4::load_from_path(disk).unwrap();
    let mode = |path: &str| u32::from(work.symlink_metadata(path).unwrap().mode()) & 0o7777;
    assert_eq!((mode("/"), mode("/.bashrc"), mode("/.hushlogin")), (0o755, 0o644, 0o644));
    assert_eq!((mode("/.ssh"), mode("/.ssh/authorized_keys")), (0o700, 0o600));
    assert_eq!(work.read_to_string("/.ssh/authorized_keys").unwrap(), format!("{}\n", key.line()));
    assert_eq!(work.label().display().to_string(), "banger-work");
    assert!(!work.exists("/root").unwrap(), "a home within the home");
}

#[test]
fn a_work_disk_has_the_images_home_and_lets_the_key_in() {
    let home = tempfile::tempdir().unwrap();
    let disk = home.path().join("work.ext4");
    make_work_disk(&disk, gib(2), &managed_image(home.path()), &key()).unwrap();
    assert_work_disk(&disk, &key());
    assert_eq!(fs::metadata(&disk).unwrap().len(), 2 << 30);
}

#[test]
fn a_missing_damaged_or_older_seed_is_no_obstacle() {
    let home = tempfile::tempdir().unwrap();
    let image = managed_image(home.path());
    let (seed, disk) = (image.directory.join("work-seed.ext4"), home.path().join("work.ext4"));
    let whole = fs::read(&seed).unwrap();
    fs::write(&seed, &whole[..whole.len() / 2]).unwrap();
    make_work_disk(&disk, gib(1), &image, &key()).unwrap();
    assert_work_disk(&disk, &key());
    fs::remove_file(&seed).unwrap();
    make_work_disk(&disk, gib(1), &image, &key()).unwrap();
    assert_work_disk(&disk, &key());
    let mut older = image;
    if let Source::Managed(files) = &mut older.manifest.source {
        files.seeded_key = None;
    }
    make_work_disk(&disk, gib(1), &older, &key()).unwrap();
    assert_work_disk(&disk, &key());
}

#[test]
fn an_overlay_disk_is_sparse_and_clean() {
    use std::os::unix::fs::MetadataExt as _;
    let home = tempfile::tempdir().unwrap();
    let disk = home.path().join("overlay.ext4");
    make_overlay_disk(&disk, gib(8)).unwrap();
    assert_clean(&disk);
    let found = fs::metadata(&disk).unwrap();
    assert_eq!(found.len(), 8 << 30);
    assert!(found.blocks() * 512 < 32 << 20, "{} bytes", found.blocks() * 512);
}

#[test]
fn where_the_images_root_is_damaged_no_disk_is_left() {
    let home = tempfile::tempdir().unwrap();
    let image = managed_image(home.path());
    fs::remove_file(image.directory.join("work-seed.ext4")).unwrap();
    fs::write(image.rootfs(), "nothing").unwrap();
    let disk = home.path().join("work.ext4");
    let error = make_work_disk(&disk, gib(1), &image, &key()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot make the disk `{}`", disk.display()));
    assert!(!disk.exists());
}
