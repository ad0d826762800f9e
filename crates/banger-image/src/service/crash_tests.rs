//! The process dies by SIGKILL at every place where it changes the host. Its successor sweeps, finds whole images only,
//! and the same act succeeds.
//!
//! A child process brings an image into place and dies at the n-th place that an act passes. Whether an act has another
//! place is learned by dying there: a new side effect is covered from the day on which it is written.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use banger_ext4::Ext4Reader;
use banger_sys::failpoint;

use super::tests::Quick;
use super::*;
use crate::bundle::BundlePull;
use crate::bundle::pack_bundle;
use crate::image::is_stale as is_seed_stale;
use crate::progress::Progress;
use crate::pull::Replace;
use crate::test_files::{assert_clean, key, managed_image, other_key};

const HOME: &str = "BANGER_CRASH_HOME";
const ACT: &str = "BANGER_CRASH_ACT";
const PLACE: &str = "BANGER_CRASH_PLACE";
/// More places than any act has.
const PLACES_MAX: usize = 100;

fn debian() -> ImageName {
    "debian-bookworm".parse().unwrap()
}

/// The service of a daemon in this home.
fn service(home: &Path, key: AuthorizedKey) -> ImageService {
    let agent = home.join("agent");
    std::fs::write(&agent, "agent").unwrap();
    let mut service = ImageService::new(&Paths::under(home).unwrap(), agent, key);
    service.image_source = Box::new(Quick);
    service
}

fn bundle(home: &Path) -> BundlePull {
    let location = home.join("dev.tar.zst").to_str().unwrap().parse().unwrap();
    BundlePull {
        location,
        name: "dev".parse().unwrap(),
        kernel: None,
        sha256: None,
        key: None,
        bytes_max: None,
    }
}

/// What is there before the act.
async fn prepare(home: &Path, act: &str) {
    let silent = Progress::silent();
    match act {
        "pull" => {}
        "forced pull" | "refresh" => {
            drop(service(home, key()).ensure_image(&debian(), &silent).await.unwrap());
        }
        "pull bundle" => {
            let image = managed_image(&home.join("elsewhere"));
            pack_bundle(image, home.join("dev.tar.zst"), &silent).await.unwrap();
        }
        "pack bundle" => drop(service(home, key()).ensure_image(&debian(), &silent).await.unwrap()),
        other => panic!("{other}"),
    }
}

/// Does it, to its end. A second time it must succeed, whatever a first one has left.
async fn perform(home: &Path, act: &str) {
    let silent = Progress::silent();
    match act {
        "pull" => drop(service(home, key()).ensure_image(&debian(), &silent).await.unwrap()),
        "forced pull" => {
            drop(service(home, key()).pull_image(&debian(), Replace::Always, &silent).await.unwrap());
        }
        "refresh" => drop(service(home, other_key()).ensure_image(&debian(), &silent).await.unwrap()),
        "pull bundle" => {
            drop(service(home, key()).pull_bundle(&bundle(home), Replace::Always, &silent).await.unwrap());
        }
        "pack bundle" => {
            let output = home.join("out.tar.zst");
            let _ = std::fs::remove_file(&output);
            let image = service(home, key()).ensure_image(&debian(), &silent).await.unwrap();
            pack_bundle(image, output, &silent).await.unwrap();
        }
        other => panic!("{other}"),
    }
}

/// Whatever is there is whole: the manifest, the root, the work-seed, and nothing beside.
fn look_at(home: &Path, place: &str) {
    let service = service(home, key());
    let listing = service.images().list().unwrap();
    assert!(listing.damaged.is_empty(), "{place}: {:?}", listing.damaged);
    for image in listing.found {
        service.images().verify_content(&image).unwrap_or_else(|error| panic!("{place}: {error}"));
        let seed = image.file("work-seed.ext4");
        assert_clean(&seed);
        // The record never tells of a key that the seed does not have.
        if !is_seed_stale(&image, &other_key()) {
            let list =
                Ext4Reader::open(&seed).unwrap().read(b".ssh/authorized_keys", 1 << 20).unwrap().unwrap();
            assert_eq!(String::from_utf8(list).unwrap(), format!("{}\n", other_key().line()), "{place}");
        }
    }
}

fn nothing_is_left(home: &Path, place: &str) {
    for image in std::fs::read_dir(home.join("state/images")).into_iter().flatten() {
        let image = image.unwrap();
        assert!(
            ["debian-bookworm", "dev"].contains(&image.file_name().to_str().unwrap()),
            "{place}: {image:?}"
        );
        let mut files: Vec<_> =
            std::fs::read_dir(image.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        files.sort();
        assert_eq!(files, ["manifest.json", "rootfs.ext4", "work-seed.ext4"], "{place}");
    }
}

/// Dies at every place of an act in turn.
async fn die_everywhere_in(act: &str) {
    for place in 1..=PLACES_MAX {
        let home = tempfile::tempdir().unwrap();
        prepare(home.path(), act).await;
        let ended = die(home.path(), act, place);
        if ended.success() {
            assert!(place > 2, "{act} passes {} places only", place - 1);
            return;
        }
        let place = format!("{act}, place {place}");
        assert_eq!(ended.signal(), Some(9), "{place}: {ended:?}");
        look_at(home.path(), &place);
        service(home.path(), key()).sweep().unwrap();
        nothing_is_left(home.path(), &place);
        perform(home.path(), act).await;
        look_at(home.path(), &place);
        nothing_is_left(home.path(), &place);
        if act == "refresh" {
            let image = service(home.path(), key()).images().get(&debian()).unwrap().unwrap();
            assert!(!is_seed_stale(&image, &other_key()), "{place}");
        }
    }
    panic!("{act} has no end");
}

fn die(home: &Path, act: &str, place: usize) -> ExitStatus {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "service::crash_tests::a_process_that_dies", "--ignored"])
        .env(HOME, home)
        .env(ACT, act)
        .env(PLACE, place.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.wait().unwrap()
}

#[tokio::test]
#[ignore = "is the process that other tests start and that dies"]
async fn a_process_that_dies() {
    let Some(home) = std::env::var_os(HOME) else { return };
    let act = std::env::var(ACT).unwrap();
    let place: usize = std::env::var(PLACE).unwrap().parse().unwrap();
    let passed = AtomicUsize::new(0);
    failpoint::watch(move |_name| {
        if passed.fetch_add(1, Ordering::SeqCst) + 1 == place {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
            // The signal comes when it comes; not one step further until then.
            std::thread::sleep(Duration::from_secs(10));
        }
    });
    perform(Path::new(&home), &act).await;
}

macro_rules! a_death_anywhere_in {
    ($($test:ident: $act:literal),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $test() {
                die_everywhere_in($act).await;
            }
        )*
    };
}

a_death_anywhere_in! {
    a_death_anywhere_in_a_pull_leaves_a_whole_image_or_none: "pull",
    a_death_anywhere_in_a_forced_pull_leaves_the_older_image_or_the_new_one: "forced pull",
    a_death_anywhere_in_a_refresh_leaves_a_whole_work_seed: "refresh",
    a_death_anywhere_in_the_pull_of_a_bundle_leaves_a_whole_image_or_none: "pull bundle",
    a_death_anywhere_in_the_making_of_a_bundle_harms_no_image: "pack bundle",
}
