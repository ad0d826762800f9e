use std::fs;
use std::io::Read as _;

use banger_model::Hint;

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
    assert_eq!(error.to_string(), format!("cannot create the disk `{}`", disk.display()));
    assert!(!disk.exists());
}

/// Makes the image's home hold a file of this size.
fn with_large_home(image: &Image, bytes: u64) {
    let options = format_options("banger-root", bytes + (64 << 20), Journal::None);
    let mut rootfs = banger_ext4::Ext4Writer::create(&image.rootfs(), options).unwrap();
    let metadata = banger_ext4::Metadata { mode: 0o644, ..Default::default() };
    let kind = banger_ext4::EntryKind::File { size: bytes, content: &mut std::io::repeat(7).take(bytes) };
    rootfs.add(b"root/.cache/model", &metadata, kind).unwrap();
    rootfs.finish_shrunk(0).unwrap();
    crate::image::refresh_work_seed(image.clone(), &key()).unwrap();
}

#[test]
fn a_home_larger_than_the_disk_is_told_with_a_size_that_is_enough() {
    let home = tempfile::tempdir().unwrap();
    let image = managed_image(home.path());
    let disk = home.path().join("work.ext4");
    let small: DiskBytes = "64M".parse().unwrap();
    // Larger than the disk, and so near to its size that only writing tells.
    for (bytes, has_seed) in [(200 << 20, true), (63 << 20, true), (200 << 20, false)] {
        with_large_home(&image, bytes);
        if !has_seed {
            fs::remove_file(image.file("work-seed.ext4")).unwrap();
        }
        let error = make_work_disk(&disk, small, &image, &key()).unwrap_err();
        assert!(!disk.exists());
        let DiskError::HomeTooLarge { needed, .. } = error else { panic!("{error:?}") };
        assert_eq!(
            error.to_string(),
            format!(
                "`/root` of the image `test` does not fit on a work disk of 64M: it needs at least {needed}"
            )
        );
        assert_eq!(error.hint(), Some(Hint::EnlargeDisks { size: needed.to_string() }));
        assert!(needed.get() < 2 * bytes + (64 << 20), "{needed}");
        make_work_disk(&disk, needed, &image, &key()).unwrap();
        assert_clean(&disk);
        fs::remove_file(&disk).unwrap();
    }
}

#[test]
fn a_home_behind_links_is_the_home_of_the_work_disk() {
    let home = tempfile::tempdir().unwrap();
    let image = managed_image(home.path());
    let disk = home.path().join("work.ext4");
    let metadata = banger_ext4::Metadata { mode: 0o755, ..Default::default() };
    for (links, has_file) in [
        (&[(&b"root"[..], &b"var/roothome"[..])][..], true),
        (&[(b"root", b"/home/root"), (b"home", b"/var"), (b"var/root", b"/var/./roothome")], true),
        (&[(b"root", b"nowhere")], false),
        (&[(b"root", b"root")], false),
        (&[(b"root", b"/")], false),
    ] {
        let options = format_options("banger-root", 64 << 20, Journal::None);
        let mut rootfs = banger_ext4::Ext4Writer::create(&image.rootfs(), options).unwrap();
        let kind = banger_ext4::EntryKind::File { size: 3, content: &mut &b"yes"[..] };
        rootfs.add(b"var/roothome/.profile", &metadata, kind).unwrap();
        for (link, target) in links {
            rootfs.add(link, &metadata, banger_ext4::EntryKind::Symlink(target)).unwrap();
        }
        rootfs.finish_shrunk(0).unwrap();
        crate::image::refresh_work_seed(image.clone(), &key()).unwrap();
        make_work_disk(&disk, gib(1), &image, &key()).unwrap();
        let work = Ext4Reader::open(&disk).unwrap();
        let profile = work.read(b".profile", 10).unwrap();
        assert_eq!(profile.as_deref(), has_file.then_some(&b"yes"[..]), "{links:?}");
        assert!(work.exists(b".ssh/authorized_keys").unwrap() && !work.exists(b"var").unwrap());
        fs::remove_file(&disk).unwrap();
    }
}
