use std::io::Write as _;

use super::*;

fn lock(cache: &BlobCache, digest: &BlobDigest) -> KeyedGuard {
    futures::executor::block_on(cache.lock(digest))
}

fn put(cache: &BlobCache, content: &[u8]) -> BlobDigest {
    let digest = BlobDigest::of(content);
    let held = lock(cache, &digest);
    let mut partial = cache.partial(&held, &digest).unwrap();
    partial.file.write_all(content).unwrap();
    cache.publish(partial, &digest).unwrap();
    digest
}

#[test]
fn a_dry_run_removes_nothing_and_tells_the_same() {
    let home = tempfile::tempdir().unwrap();
    let cache = BlobCache::new(home.path().join("oci"));
    assert_eq!(cache.prune(Prune::DryRun).unwrap(), Pruned::default(), "there is no cache yet");
    assert_eq!(cache.prune(Prune::Remove).unwrap(), Pruned::default());
    let digests = [put(&cache, &[1; 5000]), put(&cache, &[2; 5000])];
    fs::create_dir_all(home.path().join("oci/partial")).unwrap();
    fs::write(home.path().join("oci/partial/old"), [3; 5000]).unwrap();
    let told = cache.prune(Prune::DryRun).unwrap();
    assert_eq!(told, Pruned { blobs: 3, bytes: 3 * 8192 });
    assert!(digests.iter().all(|digest| cache.open(digest, 5000).unwrap().is_some()));
    assert_eq!(cache.prune(Prune::Remove).unwrap(), told);
    assert!(digests.iter().all(|digest| cache.open(digest, 5000).unwrap().is_none()));
    assert_eq!(cache.prune(Prune::Remove).unwrap(), Pruned::default());
    put(&cache, b"the cache goes on");
}

#[test]
fn a_blob_that_grows_is_not_pruned() {
    let home = tempfile::tempdir().unwrap();
    let cache = BlobCache::new(home.path().join("oci"));
    let digest = BlobDigest::of(b"x");
    let held = lock(&cache, &digest);
    let mut partial = cache.partial(&held, &digest).unwrap();
    partial.file.write_all(b"x").unwrap();
    // Another daemon on the same cache.
    let other = BlobCache::new(home.path().join("oci"));
    assert_eq!(other.prune(Prune::Remove).unwrap(), Pruned::default());
    let apart = other.partial(&lock(&other, &digest), &digest).unwrap();
    assert_ne!(apart.path, partial.path, "two daemons never write one file");
    assert_eq!(fs::read(&partial.path).unwrap(), b"x");
    cache.publish(partial, &digest).unwrap();
    assert!(other.open(&digest, 1).unwrap().is_some());
}

#[test]
fn what_a_killed_prune_left_is_removed_by_the_next() {
    let home = tempfile::tempdir().unwrap();
    let cache = BlobCache::new(home.path().join("oci"));
    put(&cache, b"x");
    let left = sibling(&home.path().join("oci/blobs"));
    fs::create_dir_all(left.join("sha256")).unwrap();
    cache.prune(Prune::Remove).unwrap();
    assert!(!left.exists());
}

#[test]
fn a_link_in_place_of_a_blob_is_not_followed() {
    let home = tempfile::tempdir().unwrap();
    let cache = BlobCache::new(home.path().join("oci"));
    let digest = put(&cache, b"secret");
    fs::rename(cache.place(&digest), home.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(home.path().join("elsewhere"), cache.place(&digest)).unwrap();
    assert!(cache.open(&digest, 6).is_err());
}
