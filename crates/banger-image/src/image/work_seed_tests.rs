use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use super::*;
use crate::artifact::store::Store;
use crate::image::ImageManifest;
use crate::test_files::{assert_clean, key, managed_image, other_key};

fn store(home: &Path) -> Store<ImageManifest> {
    Store::new(home.join("images"))
}

fn keys_of_seed(image: &Image) -> String {
    let seed = Ext4Reader::open(&image.file(WORK_SEED)).unwrap();
    String::from_utf8(seed.read(b".ssh/authorized_keys", 1 << 20).unwrap().unwrap()).unwrap()
}

fn names(image: &Image) -> Vec<String> {
    let entries = fs::read_dir(&image.directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

const WHOLE: [&str; 3] = ["manifest.json", "rootfs.ext4", "work-seed.ext4"];

#[test]
fn a_rotated_key_is_put_in_the_place_of_the_older_one_and_recorded() {
    let home = tempfile::tempdir().unwrap();
    let image = managed_image(home.path());
    assert!(!is_stale(&image, &key()) && is_stale(&image, &other_key()));
    let refreshed = refresh_work_seed(image, &other_key()).unwrap();
    assert_eq!(keys_of_seed(&refreshed), format!("{}\n", other_key().line()));
    assert_clean(&refreshed.file(WORK_SEED));
    let read = store(home.path()).get(&refreshed.manifest.name).unwrap().unwrap();
    assert!(!is_stale(&read, &other_key()) && is_stale(&read, &key()));
    assert_eq!(names(&refreshed), WHOLE);
}

#[test]
fn an_image_of_the_first_format_gets_its_seed_and_a_manifest_of_today() {
    let home = tempfile::tempdir().unwrap();
    let image = managed_image(home.path());
    let name = image.manifest.name.clone();
    let rootfs = crate::artifact::digest::FileRecord::of_file(&image.rootfs()).unwrap();
    let first = include_str!("../../testdata/image-manifest-1.json")
        .replace("debian-bookworm", name.as_str())
        .replace("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", &rootfs.sha256)
        .replace("\"size\": 3", &format!("\"size\": {}", rootfs.size));
    fs::write(image.file(MANIFEST_FILE), first).unwrap();
    fs::remove_file(image.file(WORK_SEED)).unwrap();
    fs::write(image.file(OLD_SEED), "a tar").unwrap();

    let older = store(home.path()).get(&name).unwrap().unwrap();
    store(home.path()).verify_content(&older).unwrap();
    assert!(is_stale(&older, &key()));
    refresh_work_seed(older, &key()).unwrap();
    let healed = store(home.path()).get(&name).unwrap().unwrap();
    assert!(!is_stale(&healed, &key()));
    assert_eq!(healed.manifest.ready_ports.len(), 1);
    assert_eq!(names(&healed), WHOLE);
}

#[test]
fn a_missing_or_damaged_seed_is_stale_and_made_anew() {
    let home = tempfile::tempdir().unwrap();
    let image = managed_image(home.path());
    for content in ["", "damaged"] {
        fs::write(image.file(WORK_SEED), content).unwrap();
        assert!(is_stale(&image, &key()));
        assert!(!is_stale(&refresh_work_seed(image.clone(), &key()).unwrap(), &key()));
    }
}

#[test]
fn a_refresh_that_fails_leaves_the_older_seed_and_its_record() {
    let home = tempfile::tempdir().unwrap();
    let image = managed_image(home.path());
    let before = fs::read(image.file(MANIFEST_FILE)).unwrap();
    fs::write(image.rootfs(), "damaged").unwrap();
    let error = refresh_work_seed(image.clone(), &other_key()).unwrap_err();
    assert!(matches!(error, WorkSeedError::Write { .. }), "{error:?}");
    assert_eq!(keys_of_seed(&image), format!("{}\n", key().line()));
    assert_eq!(fs::read(image.file(MANIFEST_FILE)).unwrap(), before);
    assert_eq!(names(&image), WHOLE);
}

#[test]
fn a_sweep_removes_what_dead_refreshes_left_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let image = managed_image(home.path());
    let staged = staging_path(&image.file(WORK_SEED));
    let name = staged.file_name().unwrap().to_str().unwrap();
    let numbers = name.strip_prefix("work-seed.ext4.refresh.").unwrap().strip_suffix(".tmp").unwrap();
    let (pid, nanos) = numbers.split_once('-').unwrap();
    assert_eq!(pid, std::process::id().to_string());
    assert!(nanos.parse::<u128>().is_ok());
    fs::write(&staged, "half").unwrap();
    sweep_refreshes(image.directory.parent().unwrap());
    assert_eq!(names(&image), WHOLE);
}

#[test]
fn refreshes_that_read_the_same_time_get_different_names() {
    let last = AtomicU64::new(0);
    let given = [100, 100, 100, 90, 101, 200].map(|now| later_than_last(&last, now));
    assert_eq!(given, [100, 101, 102, 103, 104, 200]);

    let (barrier, last) = (Barrier::new(4), AtomicU64::new(0));
    let take = || {
        barrier.wait();
        (0..1000).map(|_| later_than_last(&last, 7)).collect::<Vec<_>>()
    };
    let given: Vec<u64> = std::thread::scope(|scope| {
        let threads = [(); 4].map(|()| scope.spawn(take));
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), 4000);
}

/// B3 of the original: a seed that was rewritten in place was read torn.
#[test]
fn readers_see_whole_seeds_and_manifests_during_a_thousand_refreshes() {
    const REFRESHES: usize = 1000;
    let home = tempfile::tempdir().unwrap();
    let image = managed_image(home.path());
    let (seed, store) = (image.file(WORK_SEED), store(home.path()));
    let lists = [key(), other_key()].map(|key| format!("{}\n", key.line()));
    let is_done = AtomicBool::new(false);
    let (checked, made) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let reading = |read: &dyn Fn()| {
            while !is_done.load(Ordering::Relaxed) {
                read();
                checked.fetch_add(1, Ordering::Relaxed);
            }
        };
        scope.spawn(move || {
            reading(&|| {
                let found = Ext4Reader::open(&seed).unwrap();
                let list = found.read(b".ssh/authorized_keys", 999).unwrap().unwrap();
                assert!(lists.iter().any(|known| known.as_bytes() == list));
            });
        });
        let (seed, name) = (image.file(WORK_SEED), image.manifest.name.clone());
        scope.spawn(move || {
            reading(&|| {
                // `e2fsck` opens a path more than once: it gets one file, as a VM's disk does.
                let held = fs::File::open(&seed).unwrap();
                let path =
                    format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&held));
                let check = Command::new("/usr/sbin/e2fsck").args(["-fn", &path]).output().unwrap();
                assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
            });
        });
        scope.spawn(move || {
            reading(&|| {
                let found = store.get(&name).unwrap().unwrap();
                store.verify(&found).unwrap();
            });
        });
        let refreshing = |ours: AuthorizedKey| {
            let (image, made, is_done) = (image.clone(), &made, &is_done);
            scope.spawn(move || {
                while made.fetch_add(1, Ordering::Relaxed) < REFRESHES {
                    refresh_work_seed(image.clone(), &ours).unwrap();
                }
                is_done.store(true, Ordering::Relaxed);
            });
        };
        refreshing(key());
        refreshing(other_key());
    });
    assert!(checked.load(Ordering::Relaxed) > 100, "nobody read");
    assert_eq!(names(&image), WHOLE);
}
