use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use banger_ext4::Ext4Reader;
use banger_fetch::Patience;
use banger_model::{DiskFloor, Hint};
use banger_sys::files::is_staging;
use banger_sys::paths::Paths;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::sync::{Barrier, Notify};

use super::*;
use crate::image::Image;
use crate::limits::{OverLimit, PullLimits};
use crate::oci::documents::Descriptor;
use crate::oci::endpoint::PlainHttp;
use crate::oci::fake_registry::{FakeRegistry, Reply, Stop, impatience};
use crate::oci::flatten::{FlattenError, LayerError};
use crate::oci::layer::LayerReadError;
use crate::oci::local::ArchiveInput;
use crate::oci::platform::Platform;
use crate::oci::source::OciSource;
use crate::oci::test_layers::Tar;
use crate::oci::unpack::FETCHES_MAX;
use crate::pull_rules::PullRules;
use crate::test_files::{key, kill_when_it_prints};
use crate::{ImageService, PullError, Replace};

fn service(home: &Path) -> Arc<ImageService> {
    let agent = home.join("agent");
    std::fs::write(&agent, "agent").unwrap();
    let mut service = ImageService::new(&Paths::under(home).unwrap(), agent, key());
    service.make_impatient(impatience());
    Arc::new(service)
}

fn wanted(fake: &FakeRegistry, home: &Path, name: &str, tag: &str) -> OciPull {
    OciPull {
        source: format!("{}/team/app:{tag}", fake.host).parse().unwrap(),
        input: None,
        name: name.parse().unwrap(),
        kernel: "debian-12".parse().unwrap(),
        is_named_by_archive: false,
        plain_http: PlainHttp::OnLoopback,
        // Nobody's credentials belong to a test.
        search_path: None,
        docker_directory: Some(home.join("docker")),
        bytes_max: None,
    }
}

async fn pull(service: &ImageService, wanted: &OciPull) -> Result<Image, PullError> {
    service.pull_oci(wanted, Replace::Never, &Progress::silent()).await
}

fn gzip(content: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn layer(number: u32) -> Tar {
    Tar::new().file(&format!("layer-{number}"), &format!("{number}").repeat(200_000))
}

/// Adds an image of these layers to a registry, with a config of this process.
fn put(fake: &FakeRegistry, tag: &str, layers: Vec<Tar>, process: &Value) {
    let tars: Vec<_> = layers.into_iter().map(Tar::bytes).collect();
    let diff_ids: Vec<_> = tars.iter().map(|tar| BlobDigest::of(tar).to_string()).collect();
    let config = json!({
        "os": "linux", "architecture": Platform::of_guests().architecture(), "config": process,
        "rootfs": {"type": "layers", "diff_ids": diff_ids}
    });
    let point = |blob: Descriptor| json!({"digest": blob.digest.to_string(), "size": blob.size});
    let config = point(fake.blob(config.to_string().as_bytes()));
    let layers: Vec<_> = tars.iter().map(|tar| point(fake.blob(&gzip(tar)))).collect();
    fake.manifest(tag, &json!({"schemaVersion": 2, "config": config, "layers": layers}));
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn read(image: &Image, path: &str) -> Option<Vec<u8>> {
    Ext4Reader::open(&image.rootfs()).unwrap().read(path.as_bytes(), 1 << 20).unwrap()
}

/// Fails unless each blob was asked for once.
fn assert_once(fake: &FakeRegistry, blobs: usize) {
    let asked: Vec<_> = fake.asked("/blobs/").into_iter().map(|asked| asked.path).collect();
    let different: BTreeSet<_> = asked.iter().collect();
    assert_eq!((asked.len(), different.len()), (blobs, blobs), "{asked:?}");
}

#[tokio::test]
async fn an_image_becomes_a_root_with_what_its_config_says() {
    let fake = FakeRegistry::good().await;
    let lower = Tar::new().file("etc/os-release", "ID=alpine\n").file("gone", "x").file("root/.profile", "p");
    let upper = Tar::new().file(".wh.gone", "").file("app", "x");
    let process =
        json!({"Entrypoint": ["/app"], "Cmd": ["-v"], "Env": ["A=1"], "User": "7", "WorkingDir": "/srv"});
    put(&fake, "v1", vec![lower, upper], &process);
    let home = tempfile::tempdir().unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&told);
    let progress = Progress::new(move |stage| list.lock().unwrap().push(stage));
    let wanted = wanted(&fake, home.path(), "app", "v1");
    let image = service(home.path()).pull_oci(&wanted, Replace::Never, &progress).await.unwrap();
    assert_eq!(read(&image, "app").unwrap(), b"x");
    assert_eq!(read(&image, "gone"), None);
    let manifest = &image.manifest;
    assert_eq!((manifest.distro.as_str(), manifest.init.as_deref()), ("alpine", Some("none")));
    let process = manifest.process.as_ref().unwrap();
    assert_eq!(
        (process.command.as_slice(), process.user.as_str()),
        (&["/app".to_owned(), "-v".to_owned()][..], "7")
    );
    assert!(
        manifest.origin.starts_with(&format!("{}/team/app:v1 (sha256:", fake.host)),
        "{}",
        manifest.origin
    );
    let seed = Ext4Reader::open(&image.file("work-seed.ext4")).unwrap();
    assert_eq!(seed.read(b".profile", 10).unwrap().unwrap(), b"p");
    let told = told.lock().unwrap();
    let stages: Vec<_> = told.iter().map(|stage| stage.name).collect();
    assert_eq!((stages[0], *stages.last().unwrap()), ("resolve image", "create work-seed"));
    let fetched = told.iter().rfind(|stage| stage.name == "pull layers").unwrap();
    assert_eq!((fetched.parts.len(), fetched.done), (2, fetched.total));
}

#[tokio::test]
async fn sixteen_callers_of_one_missing_image_fetch_each_blob_once() {
    let fake = FakeRegistry::good().await;
    put(&fake, "v1", (0..3).map(layer).collect(), &json!({}));
    for are_names_different in [false, true] {
        let home = tempfile::tempdir().unwrap();
        let (service, start) = (service(home.path()), Arc::new(Barrier::new(16)));
        let before = fake.asked("/blobs/").len();
        let callers = (0..16).map(|number| {
            let name = if are_names_different { format!("app-{number}") } else { "app".to_owned() };
            let wanted = wanted(&fake, home.path(), &name, "v1");
            let (service, start) = (Arc::clone(&service), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                pull(&service, &wanted).await
            })
        });
        let mut made = BTreeSet::new();
        for outcome in join_all(callers).await {
            let image = outcome.unwrap().unwrap();
            assert!(read(&image, "layer-2").is_some());
            made.insert(image.manifest.id);
        }
        assert_eq!(made.len(), if are_names_different { 16 } else { 1 });
        assert_eq!(fake.asked("/blobs/").len() - before, 4, "three layers and a config");
    }
}

#[tokio::test]
async fn a_pull_that_shares_layers_fetches_only_the_new_ones() {
    let fake = FakeRegistry::good().await;
    put(&fake, "v1", vec![layer(0), layer(1)], &json!({}));
    put(&fake, "v2", vec![layer(0), layer(1), layer(2)], &json!({}));
    let home = tempfile::tempdir().unwrap();
    let service = service(home.path());
    pull(&service, &wanted(&fake, home.path(), "one", "v1")).await.unwrap();
    assert_once(&fake, 3);
    pull(&service, &wanted(&fake, home.path(), "two", "v2")).await.unwrap();
    assert_once(&fake, 5);
    service.prune_cache(crate::Prune::Remove).await.unwrap();
    pull(&service, &wanted(&fake, home.path(), "three", "v2")).await.unwrap();
    assert_eq!(fake.asked("/blobs/").len(), 9);
}

#[tokio::test]
async fn layers_come_at_the_same_time_but_not_all_of_them() {
    let others = Arc::new(Barrier::new(FETCHES_MAX));
    let blobs: Vec<_> =
        (0..3 * u32::try_from(FETCHES_MAX).unwrap()).map(|number| gzip(&layer(number).bytes())).collect();
    let known: Vec<_> = blobs.into_iter().map(|blob| (BlobDigest::of(&blob).to_string(), blob)).collect();
    let fake = FakeRegistry::with(move |asked| {
        let (_, blob) = known.iter().find(|(digest, _)| asked.path.ends_with(digest))?;
        // Each waits until as many are asked for as may be.
        Some(Reply::of(200, blob.clone()).meets(&others))
    })
    .await;
    put(&fake, "v1", (0..12).map(layer).collect(), &json!({}));
    let home = tempfile::tempdir().unwrap();
    pull(&service(home.path()), &wanted(&fake, home.path(), "app", "v1")).await.unwrap();
    assert_eq!(fake.busy_max(), FETCHES_MAX);
}

#[tokio::test]
async fn a_hostile_layer_ends_the_pull_before_the_others_have_come() {
    let fake = FakeRegistry::good().await;
    let stalled = gzip(&layer(1).bytes());
    let (digest, size) = (BlobDigest::of(&stalled), stalled.len());
    let never = FakeRegistry::with(move |asked| {
        let is_it = asked.path.ends_with(&digest.to_string());
        is_it.then(|| Reply::of(200, vec![0; size]).stops(0, Stop::Stall))
    })
    .await;
    for registry in [&fake, &never] {
        put(registry, "v1", vec![Tar::new().file("../../etc/passwd", "x"), layer(1)], &json!({}));
        let home = tempfile::tempdir().unwrap();
        let error =
            pull(&service(home.path()), &wanted(registry, home.path(), "app", "v1")).await.unwrap_err();
        let PullError::Oci { source, .. } = &error else { panic!("{error:?}") };
        let OciPullError::Flatten(FlattenError::Layer { source, .. }) = &**source else {
            panic!("{error:?}")
        };
        assert!(source.to_string().contains("`../../etc/passwd`"), "{source}");
        assert_eq!(names(&home.path().join("state/images")), [""; 0]);
    }
}

#[tokio::test]
async fn a_pull_that_is_given_up_leaves_nothing_but_cache() {
    let stalls = Arc::new(Notify::new());
    let stalled = Arc::clone(&stalls);
    let big = gzip(&layer(1).bytes());
    let (digest, body) = (BlobDigest::of(&big).to_string(), big.clone());
    let fake = FakeRegistry::with(move |asked| {
        let is_first = asked.path.ends_with(&digest) && !asked.headers.contains_key("range");
        is_first.then(|| {
            stalled.notify_one();
            Reply::of(200, body.clone()).stops(100, Stop::Stall)
        })
    })
    .await;
    put(&fake, "v1", vec![layer(0), layer(1)], &json!({}));
    let home = tempfile::tempdir().unwrap();
    let mut service =
        ImageService::new(&Paths::under(home.path()).unwrap(), home.path().join("agent"), key());
    service.make_impatient(Patience { idle: Duration::from_secs(2), ..impatience() });
    let wanted = wanted(&fake, home.path(), "app", "v1");
    tokio::select! {
        ended = pull(&service, &wanted) => panic!("{ended:?}"),
        () = stalls.notified() => {}
    }
    // The thread that unpacks notices it, and its directory goes with it.
    let is_empty = || names(&home.path().join("state/images")).is_empty();
    for _ in 0..1000 {
        if is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(is_empty());
    let image = pull(&service, &wanted).await.unwrap();
    assert!(read(&image, "layer-1").is_some());
}

#[tokio::test]
async fn a_damaged_layer_of_the_cache_is_fetched_again() {
    let fake = FakeRegistry::good().await;
    put(&fake, "v1", vec![layer(0), layer(1)], &json!({}));
    let home = tempfile::tempdir().unwrap();
    let service = service(home.path());
    pull(&service, &wanted(&fake, home.path(), "one", "v1")).await.unwrap();
    let blobs = home.path().join("cache/oci/blobs/sha256");
    let damaged = BlobDigest::of(&gzip(&layer(1).bytes()));
    let path = blobs.join(damaged.hex());
    let size = std::fs::read(&path).unwrap().len();
    std::fs::write(&path, vec![0; size]).unwrap();
    let image = pull(&service, &wanted(&fake, home.path(), "two", "v1")).await.unwrap();
    assert!(read(&image, "layer-1").is_some());
    assert_eq!(fake.asked(damaged.hex()).len(), 2);
    assert_eq!(fake.asked("/blobs/").len(), 4);
}

#[tokio::test]
async fn an_image_whose_layers_are_not_what_its_config_says_is_refused() {
    let fake = FakeRegistry::good().await;
    let tar = layer(0).bytes();
    let config = json!({"os": "linux", "architecture": Platform::of_guests().architecture(),
        "rootfs": {"diff_ids": [BlobDigest::of(b"other").to_string()]}});
    let point = |blob: Descriptor| json!({"digest": blob.digest.to_string(), "size": blob.size});
    let config = point(fake.blob(config.to_string().as_bytes()));
    fake.manifest("v1", &json!({"config": config, "layers": [point(fake.blob(&gzip(&tar)))]}));
    let home = tempfile::tempdir().unwrap();
    let error = pull(&service(home.path()), &wanted(&fake, home.path(), "app", "v1")).await.unwrap_err();
    let PullError::Oci { source, .. } = error else { panic!("{error:?}") };
    assert!(matches!(*source, OciPullError::Flatten(_)), "{source:?}");
    assert_once(&fake, 2);
}

#[tokio::test]
async fn the_build_for_the_guests_is_taken_from_a_list() {
    let fake = FakeRegistry::good().await;
    put(&fake, "amd", vec![layer(0)], &json!({"Cmd": ["right"]}));
    put(&fake, "arm", vec![layer(1)], &json!({"Cmd": ["wrong"]}));
    let build = |tag: &str, architecture: &str| {
        let text = fake.content(&format!("manifests/{tag}"));
        json!({"digest": BlobDigest::of(&text).to_string(), "size": text.len(),
            "platform": {"os": "linux", "architecture": architecture}})
    };
    let guests = Platform::of_guests();
    let list = json!({"manifests": [build("arm", "riscv64"), build("amd", guests.architecture())]});
    fake.manifest("list", &list);
    let home = tempfile::tempdir().unwrap();
    let image = pull(&service(home.path()), &wanted(&fake, home.path(), "app", "list")).await.unwrap();
    assert_eq!(image.manifest.process.unwrap().command, ["right"]);
    let mut shorter = build("amd", guests.architecture());
    shorter["size"] = json!(1);
    fake.manifest("shorter", &json!({"manifests": [shorter]}));
    let error = pull(&service(home.path()), &wanted(&fake, home.path(), "one", "shorter")).await.unwrap_err();
    let told = std::error::Error::source(&error).and_then(std::error::Error::source).unwrap().to_string();
    assert!(told.ends_with("but the image index says 1"), "{told}");
    fake.manifest("list", &json!({"manifests": [build("arm", "riscv64")]}));
    let error = pull(&service(home.path()), &wanted(&fake, home.path(), "two", "list")).await.unwrap_err();
    let told = std::error::Error::source(&error).and_then(std::error::Error::source).unwrap().to_string();
    assert!(told.ends_with("available: linux/riscv64"), "{told}");
}

#[tokio::test]
async fn a_name_of_the_catalog_is_refused_before_anything_is_asked() {
    let fake = FakeRegistry::good().await;
    let home = tempfile::tempdir().unwrap();
    let wanted = wanted(&fake, home.path(), "debian-bookworm", "v1");
    let error = pull(&service(home.path()), &wanted).await.unwrap_err();
    assert!(matches!(error, PullError::NameOfCatalog { .. }));
    assert_eq!(error.hint(), Some(Hint::ChooseOtherName));
    assert!(fake.asked("").is_empty());
}

/// Names the home and the registry of the process that the test below starts.
const KILLED: &str = "BANGER_TEST_KILLED_PULL";
const HALF_WAY: &str = "half-way through the pull";

#[tokio::test]
#[ignore = "is the process that another test starts and kills"]
async fn pull_until_killed() {
    let Ok(given) = std::env::var(KILLED) else { return };
    let (home, host) = given.split_once('|').unwrap();
    let home = Path::new(home);
    let wanted = |name: &str, tag: &str| OciPull {
        source: format!("{host}/team/app:{tag}").parse().unwrap(),
        input: None,
        name: name.parse().unwrap(),
        kernel: "debian-12".parse().unwrap(),
        is_named_by_archive: false,
        plain_http: PlainHttp::OnLoopback,
        search_path: None,
        docker_directory: Some(home.join("docker")),
        bytes_max: None,
    };
    let mut service = ImageService::new(&Paths::under(home).unwrap(), home.join("agent"), key());
    service.make_impatient(Patience { idle: Duration::from_secs(60), ..impatience() });
    pull(&service, &wanted("base", "base")).await.unwrap();
    let progress = Progress::new(|stage| {
        // The first layer is here, and the second never will be.
        if stage.parts.first().is_some_and(|part| part.done == part.total) {
            println!("{HALF_WAY}");
        }
    });
    let _ = service.pull_oci(&wanted("app", "v1"), Replace::Never, &progress).await;
}

#[tokio::test]
async fn after_a_pull_that_was_killed_the_next_goes_on_and_no_directory_is_left() {
    let big = gzip(&layer(1).bytes());
    let (digest, body) = (BlobDigest::of(&big).to_string(), big.clone());
    let fake = FakeRegistry::with(move |asked| {
        let is_first = asked.path.ends_with(&digest) && !asked.headers.contains_key("range");
        is_first.then(|| Reply::of(200, body.clone()).stops(300, Stop::Stall))
    })
    .await;
    put(&fake, "base", vec![layer(0)], &json!({}));
    put(&fake, "v1", vec![layer(0), layer(1)], &json!({}));
    let home = tempfile::tempdir().unwrap();
    let given = format!("{}|{}", home.path().display(), fake.host);
    let killed = tokio::task::spawn_blocking(move || {
        let variables = [(KILLED, given.as_ref())];
        kill_when_it_prints(HALF_WAY, "oci::pull::tests::pull_until_killed", variables);
    });
    killed.await.unwrap();
    let images = home.path().join("state/images");
    assert!(names(&images).iter().any(|name| is_staging(name)), "it was killed in the middle");
    let service = service(home.path());
    service.sweep().unwrap();
    assert_eq!(names(&images), ["base"]);
    let image = pull(&service, &wanted(&fake, home.path(), "app", "v1")).await.unwrap();
    service.images().verify_content(&image).unwrap();
    assert_eq!(names(&images).len(), 2);
    assert_eq!(names(&home.path().join("cache/oci/partial")), [""; 0]);
    let first = BlobDigest::of(&gzip(&layer(0).bytes()));
    assert_eq!(fake.asked(first.hex()).len(), 1, "what was whole is not fetched again");
}

/// A service whose pulls keep to these limits, with nothing kept free.
fn limited(home: &Path, limits: PullLimits) -> ImageService {
    let mut service = Arc::into_inner(service(home)).unwrap();
    service.set_rules(PullRules { limits, floor: DiskFloor::Bytes(0), ..PullRules::default() });
    service
}

async fn refused(service: &ImageService, wanted: &OciPull, home: &Path) -> OverLimit {
    let Err(PullError::Oci { source, .. }) = pull(service, wanted).await else {
        panic!("it was not refused")
    };
    assert!(names(&home.join("state/images")).is_empty(), "nothing is left");
    match *source {
        OciPullError::Limit(over)
        | OciPullError::Flatten(
            FlattenError::Limit(over)
            | FlattenError::Layer {
                source: LayerError::Limit(over) | LayerError::Read(LayerReadError::Limit(over)),
                ..
            },
        ) => over,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_last_entry_that_is_allowed_is_allowed() {
    let (fake, home) = (FakeRegistry::good().await, tempfile::tempdir().unwrap());
    let files = |count: u32| (0..count).fold(Tar::new(), |tar, number| tar.file(&format!("d/{number}"), "x"));
    put(&fake, "nine", vec![files(4), files(8)], &json!({}));
    put(&fake, "ten", vec![files(9)], &json!({}));
    let service = limited(home.path(), PullLimits { entries_max: 9, ..PullLimits::default() });
    assert_eq!(
        refused(&service, &wanted(&fake, home.path(), "ten", "ten"), home.path()).await,
        OverLimit::Entries { entries_max: 9 }
    );
    pull(&service, &wanted(&fake, home.path(), "nine", "nine")).await.unwrap();
}

#[tokio::test]
async fn an_image_that_unpacks_to_too_much_is_refused_unless_its_user_says_so() {
    let (fake, home) = (FakeRegistry::good().await, tempfile::tempdir().unwrap());
    put(&fake, "v1", vec![layer(1), layer(2)], &json!({}));
    let bytes_max = 2 * layer(1).bytes().len() as u64 - 1;
    let service = limited(home.path(), PullLimits { unpacked_bytes_max: bytes_max, ..PullLimits::default() });
    let mut wanted = wanted(&fake, home.path(), "a", "v1");
    assert_eq!(refused(&service, &wanted, home.path()).await, OverLimit::Bytes { bytes_max });
    wanted.bytes_max = Some(bytes_max + 1);
    pull(&service, &wanted).await.unwrap();
}

#[tokio::test]
async fn an_image_that_is_packed_as_no_image_is_is_refused() {
    let (fake, home) = (FakeRegistry::good().await, tempfile::tempdir().unwrap());
    put(&fake, "v1", vec![Tar::new().file("zeros", &"\0".repeat(4 << 20))], &json!({}));
    let limits = PullLimits { ratio_free_bytes: 1 << 20, ratio_max: 10, ..PullLimits::default() };
    let service = limited(home.path(), limits);
    let over = refused(&service, &wanted(&fake, home.path(), "a", "v1"), home.path()).await;
    assert!(matches!(over, OverLimit::Ratio { .. }), "{over:?}");
}

#[tokio::test]
async fn one_layer_that_is_named_many_times_is_unpacked_once() {
    let (fake, home) = (FakeRegistry::good().await, tempfile::tempdir().unwrap());
    put(&fake, "v1", (0..40).map(|_| layer(1)).collect(), &json!({}));
    let bytes_max = layer(1).bytes().len() as u64;
    let service = limited(home.path(), PullLimits { unpacked_bytes_max: bytes_max, ..PullLimits::default() });
    pull(&service, &wanted(&fake, home.path(), "a", "v1")).await.unwrap();
    assert_eq!(fake.asked("blobs").len(), 2, "the config and the layer");
}

#[tokio::test]
async fn a_pull_keeps_the_floor_and_sizes_without_sense_do_not_overflow() {
    let (fake, home) = (FakeRegistry::good().await, tempfile::tempdir().unwrap());
    put(&fake, "v1", vec![layer(1)], &json!({}));
    let mut full = Arc::into_inner(service(home.path())).unwrap();
    full.set_rules(PullRules { floor: DiskFloor::Bytes(u64::MAX / 2), ..PullRules::default() });
    let error = pull(&full, &wanted(&fake, home.path(), "a", "v1")).await.unwrap_err();
    assert!(matches!(error, PullError::TooLittleSpace { .. }), "{error:?}");
    assert!(error.hint().is_some());
    let mut manifest: Value = serde_json::from_slice(&fake.content("manifests/v1")).unwrap();
    let entry = manifest["layers"][0].clone();
    let mut other = entry.clone();
    other["digest"] = json!(BlobDigest::of(b"other").to_string());
    manifest["layers"] = json!([entry, other]);
    for layer in manifest["layers"].as_array_mut().unwrap() {
        layer["size"] = json!(u64::MAX);
    }
    let builds = json!({
        "os": "linux", "architecture": Platform::of_guests().architecture(),
        "rootfs": {"type": "layers", "diff_ids": [BlobDigest::of(b"a").to_string(), BlobDigest::of(b"b").to_string()]}
    });
    let config = fake.blob(builds.to_string().as_bytes());
    manifest["config"] = json!({"digest": config.digest.to_string(), "size": config.size});
    fake.manifest("v2", &manifest);
    let service = limited(home.path(), PullLimits::default());
    let over = refused(&service, &wanted(&fake, home.path(), "b", "v2"), home.path()).await;
    assert!(matches!(over, OverLimit::Bytes { .. }), "{over:?}");
}

#[path = "by_source_tests.rs"]
mod by_source;

#[tokio::test]
async fn an_archive_on_standard_input_gives_the_image_its_name() {
    let home = tempfile::tempdir().unwrap();
    let service = service(home.path());
    let file = home.path().join("input");
    let tar = crate::oci::test_layers::saved(&json!(["team/app:v1"]));
    std::fs::write(&file, gzip(&tar)).unwrap();
    let source: OciSource = "docker-archive:-".parse().unwrap();
    let named = service.name_archive(&source, Some(file.clone()), None, &Progress::silent()).await;
    let (input, name) = named.unwrap();
    assert_eq!(name.as_str(), "app-v1");
    // Opened once: what becomes of the file does not matter any more.
    std::fs::remove_file(&file).unwrap();
    let wanted = OciPull { input, ..OciPull::of(source.clone(), name, "debian-12".parse().unwrap()) };
    let image = pull(&service, &wanted).await.unwrap();
    assert!(image.manifest.origin.starts_with("docker-archive:- (sha256:"), "{}", image.manifest.origin);
    assert!(read(&image, "a").is_some());
    std::fs::write(&file, crate::oci::test_layers::saved(&Value::Null)).unwrap();
    let silent = Progress::silent();
    let unnamed = service.name_archive(&source, Some(file.clone()), None, &silent).await.unwrap_err();
    assert_eq!(unnamed.to_string(), "the archive on standard input does not name its image");
    assert_eq!(unnamed.hint(), Some(Hint::NameImage { source: "docker-archive:-".to_owned() }));
    let wanted = OciPull { name: "mine".parse().unwrap(), input: Some(ArchiveInput::at(file)), ..wanted };
    assert!(pull(&service, &wanted).await.is_ok(), "a name that is given needs no other one");
}

#[tokio::test]
async fn an_archive_in_a_file_names_its_image_as_one_on_standard_input_does() {
    let home = tempfile::tempdir().unwrap();
    let service = service(home.path());
    let silent = Progress::silent();
    let file = home.path().join("saved.tar");
    let source: OciSource = format!("docker-archive:{}", file.display()).parse().unwrap();
    for (tags, expected) in [(json!(["team/app:v1"]), "app-v1"), (Value::Null, "saved")] {
        std::fs::write(&file, crate::oci::test_layers::saved(&tags)).unwrap();
        let (_, name) = service.name_archive(&source, None, None, &silent).await.unwrap();
        assert_eq!(name.as_str(), expected);
    }
    std::fs::write(&file, crate::oci::test_layers::saved(&json!(["team/app:v1"]))).unwrap();
    let name = source.default_name().unwrap();
    let wanted =
        OciPull { is_named_by_archive: true, ..OciPull::of(source, name, "debian-12".parse().unwrap()) };
    for when in [banger_model::PullPolicy::Missing, banger_model::PullPolicy::Never] {
        let (image, _hold) = service.hold_oci(&wanted, when, &silent).await.unwrap();
        assert_eq!(image.manifest.name.as_str(), "app-v1");
    }
    let other: OciSource = "docker.io/team/app:v1".parse().unwrap();
    let wanted = OciPull::of(other, "app-v1".parse().unwrap(), wanted.kernel.clone());
    let refused = service.hold_oci(&wanted, banger_model::PullPolicy::Missing, &silent).await.unwrap_err();
    assert_eq!(refused.hint(), Some(Hint::RunLocalImage { name: "app-v1".to_owned() }));
}

#[tokio::test]
async fn a_layer_that_comes_again_above_another_one_counts_again_and_takes_its_room_once() {
    let fake = FakeRegistry::good().await;
    let large = "x".repeat(2 << 20);
    let one = || Tar::new().file("both", "one").file("large", &large).file("only-one", "");
    let other = || Tar::new().file("both", "other").file(".wh.only-one", "").file("only-other", "");
    put(&fake, "v1", vec![one(), other(), one(), other(), one()], &json!({}));
    let home = tempfile::tempdir().unwrap();
    let image = pull(&service(home.path()), &wanted(&fake, home.path(), "app", "v1")).await.unwrap();
    assert_eq!(read(&image, "both").unwrap(), b"one");
    assert!(read(&image, "only-one").is_some() && read(&image, "only-other").is_some());
    assert_once(&fake, 3);
    let allocated = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(image.rootfs()).unwrap()) * 512;
    assert!(allocated < 4 << 20, "{allocated} bytes for one file of 2 MiB");
}
