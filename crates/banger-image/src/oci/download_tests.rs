use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;
use tokio::sync::Barrier;

use super::*;
use crate::oci::cache::Prune;
use crate::oci::credentials::Credentials;
use crate::oci::digest::BlobDigest;
use crate::oci::endpoint::RegistryOptions;
use crate::oci::fake_registry::{FakeRegistry, Reply, Stop, descriptor, impatience};

const SIZE: usize = 3 << 20;

fn content() -> Vec<u8> {
    (0..SIZE).map(|place| u8::try_from(place * 7 % 251).unwrap()).collect()
}

fn cache(home: &Path) -> Arc<BlobCache> {
    Arc::new(BlobCache::new(home.join("oci")))
}

fn registry(fake: &FakeRegistry) -> Arc<Registry> {
    let options = RegistryOptions { patience: impatience(), ..RegistryOptions::default() };
    let reference = format!("{}/x", fake.host).parse().unwrap();
    Arc::new(Registry::of(&reference, Credentials::Anonymous, &options))
}

fn read(mut file: File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Names of all files below the cache.
fn names(home: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![home.join("oci")];
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().unwrap().is_dir() {
                waiting.push(entry.path());
            } else {
                let path = entry.path();
                found.push(path.strip_prefix(home.join("oci")).unwrap().display().to_string());
            }
        }
    }
    found
}

#[tokio::test]
async fn sixteen_callers_fetch_a_blob_once() {
    let fake = FakeRegistry::good().await;
    let blob = fake.blob(&content());
    let home = tempfile::tempdir().unwrap();
    let (cache, registry, start) = (cache(home.path()), registry(&fake), Arc::new(Barrier::new(16)));
    let callers = (0..16).map(|_| {
        let (cache, registry, start) = (Arc::clone(&cache), Arc::clone(&registry), Arc::clone(&start));
        let blob = blob.clone();
        tokio::spawn(async move {
            start.wait().await;
            fetch(&cache, &registry, &blob, |_| {}).await.unwrap()
        })
    });
    for file in join_all(callers).await {
        assert!(read(file.unwrap()) == content());
    }
    assert_eq!(fake.asked("blobs").len(), 1);
    assert_eq!(names(home.path()), [format!("blobs/sha256/{}", blob.digest.hex())]);
    // And later on nobody asks at all.
    fetch(&cache, &registry, &blob, |_| {}).await.unwrap();
    assert_eq!(fake.asked("blobs").len(), 1);
}

#[tokio::test]
async fn a_broken_connection_is_taken_up_where_it_broke() {
    let number = AtomicUsize::new(0);
    let all = content();
    let cut = all.clone();
    let fake = FakeRegistry::with(move |_| {
        let is_first = number.fetch_add(1, Ordering::SeqCst) == 0;
        is_first.then(|| Reply::of(200, cut.clone()).stops(2 << 20, Stop::Close))
    })
    .await;
    let blob = fake.blob(&all);
    let home = tempfile::tempdir().unwrap();
    let told = Mutex::new(Vec::new());
    let tell = |bytes| told.lock().unwrap().push(bytes);
    let file = fetch(&cache(home.path()), &registry(&fake), &blob, tell).await.unwrap();
    assert!(read(file) == all);
    let asked = fake.asked("blobs");
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1].headers["range"], format!("bytes={}-", 2 << 20));
    let told = told.into_inner().unwrap();
    assert!(told.is_sorted() && told.last() == Some(&blob.size), "nothing is told twice");
}

#[tokio::test]
async fn a_connection_that_stalls_again_and_again_gets_to_the_end_as_long_as_it_comes_further() {
    let all = content();
    let whole = all.clone();
    let fake = FakeRegistry::with(move |asked| {
        let range = asked.headers.get("range").map_or("0", |range| &range["bytes=".len()..range.len() - 1]);
        let start: usize = range.parse().unwrap();
        let rest = whole[start..].to_vec();
        let end = rest.len().min((1 << 20) + 1);
        let reply = Reply::of(206, rest).with("Content-Range", &format!("bytes {start}-x"));
        Some(reply.stops(end, Stop::Stall))
    })
    .await;
    let home = tempfile::tempdir().unwrap();
    let blob = descriptor(&BlobDigest::of(&all), all.len());
    let file = fetch(&cache(home.path()), &registry(&fake), &blob, |_| {}).await.unwrap();
    assert!(read(file) == all);
}

#[tokio::test]
async fn a_registry_that_knows_no_ranges_starts_again() {
    let all = content();
    let whole = all.clone();
    let number = AtomicUsize::new(0);
    let fake = FakeRegistry::with(move |_| {
        let reply = Reply::of(200, whole.clone());
        let is_first = number.fetch_add(1, Ordering::SeqCst) == 0;
        Some(if is_first { reply.stops(1 << 20, Stop::Close) } else { reply })
    })
    .await;
    let home = tempfile::tempdir().unwrap();
    let blob = descriptor(&BlobDigest::of(&all), all.len());
    let file = fetch(&cache(home.path()), &registry(&fake), &blob, |_| {}).await.unwrap();
    assert!(read(file) == all);
}

#[tokio::test]
async fn wrong_bytes_never_count_and_leave_nothing() {
    let mut wrong = content();
    wrong[SIZE - 1] ^= 1;
    let fake = FakeRegistry::with(move |_| Some(Reply::of(200, wrong.clone()))).await;
    let home = tempfile::tempdir().unwrap();
    let blob = descriptor(&BlobDigest::of(&content()), SIZE);
    let error = fetch(&cache(home.path()), &registry(&fake), &blob, |_| {}).await.unwrap_err();
    assert!(
        matches!(error, DownloadError::Registry(RegistryError::Fetch(FetchError::WrongDigest { .. }))),
        "{error:?}"
    );
    assert_eq!(fake.asked("blobs").len(), 2, "the registry gets one more chance");
    assert_eq!(names(home.path()), [""; 0]);
}

#[tokio::test]
async fn a_blob_that_is_too_short_or_too_long_never_counts() {
    for (sent, is_expected) in [
        (
            SIZE - 1,
            (|error| matches!(error, RegistryError::Fetch(FetchError::Truncated { .. })))
                as fn(&RegistryError) -> bool,
        ),
        (SIZE + 1, |error| matches!(error, RegistryError::Fetch(FetchError::TooLarge { .. }))),
    ] {
        let mut body = content();
        body.resize(sent, 0);
        let fake = FakeRegistry::with(move |asked| {
            (!asked.headers.contains_key("range")).then(|| Reply::of(200, body.clone()))
        })
        .await;
        let home = tempfile::tempdir().unwrap();
        let cache = cache(home.path());
        let blob = descriptor(&BlobDigest::of(&content()), SIZE);
        match fetch(&cache, &registry(&fake), &blob, |_| {}).await.unwrap_err() {
            DownloadError::Registry(error) => {
                let is_gone = matches!(error, RegistryError::NotFound { .. });
                assert!(is_expected(&error) || is_gone, "{error:?}");
            }
            error => panic!("{error:?}"),
        }
        assert!(cache.open(&blob.digest, blob.size).unwrap().is_none());
    }
}

#[tokio::test]
async fn a_blob_that_was_cut_in_the_cache_is_fetched_again() {
    let fake = FakeRegistry::good().await;
    let blob = fake.blob(&content());
    let home = tempfile::tempdir().unwrap();
    let (cache, registry) = (cache(home.path()), registry(&fake));
    fetch(&cache, &registry, &blob, |_| {}).await.unwrap();
    std::fs::write(home.path().join("oci/blobs/sha256").join(blob.digest.hex()), "").unwrap();
    assert!(read(fetch(&cache, &registry, &blob, |_| {}).await.unwrap()) == content());
}

#[tokio::test]
async fn a_pull_that_was_given_up_or_killed_is_gone_on_with() {
    let fake = FakeRegistry::good().await;
    let blob = fake.blob(&content());
    let home = tempfile::tempdir().unwrap();
    let partial = home.path().join("oci/partial");
    for (left, asked_from) in [
        (content()[..1000].to_vec(), Some("bytes=1000-")),
        (vec![9; 1000], Some("bytes=1000-")),
        (vec![0; SIZE + 1], None),
    ] {
        std::fs::create_dir_all(&partial).unwrap();
        std::fs::write(partial.join(blob.digest.hex()), &left).unwrap();
        let (cache, registry) = (cache(home.path()), registry(&fake));
        let before = fake.asked("blobs").len();
        assert!(read(fetch(&cache, &registry, &blob, |_| {}).await.unwrap()) == content());
        let asked = fake.asked("blobs");
        assert_eq!(asked[before].headers.get("range").map(String::as_str), asked_from);
        cache.prune(Prune::Remove).unwrap();
    }
}

#[tokio::test]
async fn a_whole_partial_blob_needs_no_registry() {
    let fake = FakeRegistry::good().await;
    let home = tempfile::tempdir().unwrap();
    let blob = descriptor(&BlobDigest::of(&content()), SIZE);
    std::fs::create_dir_all(home.path().join("oci/partial")).unwrap();
    std::fs::write(home.path().join("oci/partial").join(blob.digest.hex()), content()).unwrap();
    assert!(read(fetch(&cache(home.path()), &registry(&fake), &blob, |_| {}).await.unwrap()) == content());
    assert!(fake.asked("").is_empty());
}

#[tokio::test]
async fn a_prune_in_the_middle_of_a_pull_harms_nobody() {
    let home = tempfile::tempdir().unwrap();
    let cache = cache(home.path());
    let all = content();
    let (whole, pruned) = (all.clone(), Arc::clone(&cache));
    let fake = FakeRegistry::with(move |_| {
        // The blob grows right now.
        pruned.prune(Prune::Remove).unwrap();
        Some(Reply::of(200, whole.clone()))
    })
    .await;
    let blob = descriptor(&BlobDigest::of(&all), all.len());
    let file = fetch(&cache, &registry(&fake), &blob, |_| {}).await.unwrap();
    let pruned = cache.prune(Prune::Remove).unwrap();
    assert_eq!(pruned.blobs, 1);
    assert!(read(file) == all, "who has it open keeps it");
    assert!(cache.open(&blob.digest, blob.size).unwrap().is_none());
}

#[tokio::test]
async fn an_empty_blob_is_a_blob() {
    let fake = FakeRegistry::good().await;
    let blob = fake.blob(b"");
    let home = tempfile::tempdir().unwrap();
    assert!(read(fetch(&cache(home.path()), &registry(&fake), &blob, |_| {}).await.unwrap()).is_empty());
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A registry whose blobs come with this header, and what it has in the place of a blob.
async fn encoding(name: &'static str, sent: Vec<u8>) -> FakeRegistry {
    FakeRegistry::with(move |asked| {
        let is_blob = asked.path.contains("/blobs/");
        is_blob.then(|| Reply::of(200, sent.clone()).with("Content-Encoding", name))
    })
    .await
}

#[tokio::test]
async fn a_blob_that_a_server_has_compressed_is_as_it_was() {
    let zstd = ruzstd::encoding::compress_to_vec(&*content(), ruzstd::encoding::CompressionLevel::Fastest);
    for (name, sent) in [("gzip", gzip(&content())), ("X-GZIP", gzip(&content())), ("zstd", zstd)] {
        let fake = encoding(name, sent).await;
        let home = tempfile::tempdir().unwrap();
        let blob = descriptor(&BlobDigest::of(&content()), SIZE);
        assert!(
            read(fetch(&cache(home.path()), &registry(&fake), &blob, |_| {}).await.unwrap()) == content()
        );
    }
}

#[tokio::test]
async fn a_blob_that_is_compressed_itself_stays_so_whatever_the_server_calls_that() {
    let packed = gzip(&content());
    let fake = encoding("gzip", packed.clone()).await;
    let home = tempfile::tempdir().unwrap();
    let blob = descriptor(&BlobDigest::of(&packed), packed.len());
    assert!(read(fetch(&cache(home.path()), &registry(&fake), &blob, |_| {}).await.unwrap()) == packed);
    assert!(fake.asked("/blobs/").len() <= 2);
}

#[tokio::test]
async fn a_blob_that_a_server_has_compressed_becomes_no_larger_than_it_is() {
    let fake = encoding("gzip", gzip(&vec![0; 64 << 20])).await;
    let home = tempfile::tempdir().unwrap();
    let blob = descriptor(&BlobDigest::of(b"x"), 1000);
    let fetched = fetch(&cache(home.path()), &registry(&fake), &blob, |_| {}).await;
    assert!(
        matches!(fetched, Err(DownloadError::Registry(RegistryError::Fetch(FetchError::TooLarge { .. })))),
        "{fetched:?}"
    );
    assert_eq!(names(home.path()), [""; 0]);
}
