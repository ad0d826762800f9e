use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use banger_model::{ArtifactKind, Hint};
use banger_sys::files::{StagedDirectory, is_staging};
use futures::future::{BoxFuture, join_all};
use tokio::sync::{Barrier, Semaphore};

use super::*;
use crate::artifact::digest::{FileRecord, sha256_hex};
use crate::artifact::{MANIFEST_FILE, manifest_bytes};
use crate::image::is_stale as is_seed_stale;
use crate::image::{ImageBuildError, ImageFacts, Recipe, finish_image, record_rootfs};
use crate::kernel::KernelBuildError;
use crate::progress::Progress;
use crate::pull::Build;
use crate::pull::Replace;
use crate::test_files::{key, kill_when_it_prints, other_key, write_rootfs};

/// Makes small kernels and images. Each build takes one permit, so a test decides when builds go on.
struct Fake {
    builds: AtomicUsize,
    permits: Semaphore,
    /// This many builds fail first.
    failures: AtomicUsize,
    /// Builds wait for each other here.
    together: Barrier,
}

impl Fake {
    fn new(permits: usize, failures: usize, together: usize) -> Arc<Self> {
        Arc::new(Self {
            builds: AtomicUsize::new(0),
            permits: Semaphore::new(permits),
            failures: AtomicUsize::new(failures),
            together: Barrier::new(together),
        })
    }

    async fn turn(&self) -> bool {
        self.builds.fetch_add(1, Ordering::SeqCst);
        self.together.wait().await;
        self.permits.acquire().await.unwrap().forget();
        self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err()
    }
}

impl KernelSource for Arc<Fake> {
    fn build<'a>(
        &'a self,
        entry: &'a KernelEntry,
        staged: StagedDirectory,
        _progress: &'a Progress,
    ) -> BoxFuture<'a, Result<StagedDirectory, KernelBuildError>> {
        Box::pin(async move {
            std::fs::write(staged.path().join("vmlinuz"), "kernel").unwrap();
            if !self.turn().await {
                return Err(KernelBuildError::UnknownDistro { distro: "fake".to_owned() });
            }
            let manifest = KernelManifest {
                format_version: 1,
                name: entry.name.clone(),
                distro: String::new(),
                arch: String::new(),
                version: String::new(),
                has_pvh_entry: true,
                files: BTreeMap::from([("vmlinuz".to_owned(), FileRecord::of_bytes(b"kernel"))]),
                source: String::new(),
                created_at: String::new(),
                agent_sha256: sha256_hex(b"agent"),
            };
            std::fs::write(staged.path().join(MANIFEST_FILE), manifest_bytes(&manifest).unwrap()).unwrap();
            Ok(staged)
        })
    }
}

impl ImageSource for Arc<Fake> {
    fn build<'a>(
        &'a self,
        _recipe: &'a Recipe,
        facts: ImageFacts,
        staged: StagedDirectory,
        _progress: &'a Progress,
    ) -> BoxFuture<'a, Result<StagedDirectory, ImageBuildError>> {
        Box::pin(async move {
            assert!(self.turn().await);
            Ok(with_rootfs(staged, facts))
        })
    }
}

/// Makes a small image, and never waits.
pub(super) struct Quick;

impl ImageSource for Quick {
    fn build<'a>(
        &'a self,
        _recipe: &'a Recipe,
        facts: ImageFacts,
        staged: StagedDirectory,
        _progress: &'a Progress,
    ) -> BoxFuture<'a, Result<StagedDirectory, ImageBuildError>> {
        Box::pin(async move { Ok(with_rootfs(staged, facts)) })
    }
}

/// Fills a staging directory with a small image.
fn with_rootfs(staged: StagedDirectory, facts: ImageFacts) -> StagedDirectory {
    write_rootfs(&staged.path().join("rootfs.ext4"));
    let rootfs = record_rootfs(&staged).unwrap();
    finish_image(staged, facts, rootfs, &key()).unwrap()
}

fn service(home: &Path, fake: &Arc<Fake>) -> Arc<ImageService> {
    let agent = home.join("agent");
    std::fs::write(&agent, "agent").unwrap();
    let mut service = ImageService::new(&Paths::under(home).unwrap(), agent, key());
    service.kernel_source = Box::new(Arc::clone(fake));
    service.image_source = Box::new(Arc::clone(fake));
    let debian = service.kernel_catalog[0].clone();
    service.kernel_catalog.push(KernelEntry { name: "other".parse().unwrap(), ..debian });
    Arc::new(service)
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn debian() -> KernelName {
    "debian-12".parse().unwrap()
}

#[tokio::test]
async fn sixteen_callers_make_one_kernel_and_one_image() {
    let home = tempfile::tempdir().unwrap();
    let fake = Fake::new(2, 0, 1);
    let service = service(home.path(), &fake);
    let start = Arc::new(Barrier::new(16));
    let callers = (0..16).map(|_| {
        let (service, start) = (Arc::clone(&service), Arc::clone(&start));
        tokio::spawn(async move {
            start.wait().await;
            let silent = Progress::silent();
            let image = service.ensure_image(&"debian-bookworm".parse().unwrap(), &silent).await.unwrap();
            service.ensure_kernel(&image.manifest.kernel, &silent).await.unwrap()
        })
    });
    for caller in join_all(callers).await {
        assert_eq!(caller.unwrap().manifest.name, debian());
    }
    assert_eq!(fake.builds.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn different_kernels_are_pulled_at_the_same_time() {
    let home = tempfile::tempdir().unwrap();
    // Each build waits until the other one has begun.
    let fake = Fake::new(2, 0, 2);
    let service = service(home.path(), &fake);
    let (debian, other, silent) = (debian(), "other".parse().unwrap(), Progress::silent());
    let (first, second) =
        tokio::join!(service.ensure_kernel(&debian, &silent), service.ensure_kernel(&other, &silent));
    first.unwrap();
    second.unwrap();
}

#[tokio::test]
async fn an_explicit_pull_of_what_is_there_succeeds_with_a_note_and_makes_it_again_only_when_forced() {
    let home = tempfile::tempdir().unwrap();
    let fake = Fake::new(2, 0, 1);
    let service = service(home.path(), &fake);
    let (silent, notes) = (Progress::silent(), Arc::new(Mutex::new(Vec::new())));
    let first = service.pull_kernel(&debian(), Replace::Never, &silent).await.unwrap();
    let heard = Arc::clone(&notes);
    let listening = Progress::silent().with_notes(move |note| heard.lock().unwrap().push(note));
    let second = service.pull_kernel(&debian(), Replace::Never, &listening).await.unwrap();
    assert_eq!(second.manifest.created_at, first.manifest.created_at);
    assert_eq!(*notes.lock().unwrap(), ["the kernel `debian-12` is already here; `--force` pulls it again"]);
    service.pull_kernel(&debian(), Replace::Always, &silent).await.unwrap();
    assert_eq!(fake.builds.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_explicit_pull_that_lost_the_race_makes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let fake = Fake::new(2, 0, 1);
    let service = service(home.path(), &fake);
    let silent = Progress::silent();
    let debian = debian();
    let (auto, explicit) = tokio::join!(
        service.ensure_kernel(&debian, &silent),
        service.pull_kernel(&debian, Replace::Never, &silent)
    );
    auto.unwrap();
    explicit.unwrap();
    assert_eq!(fake.builds.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_pull_that_nobody_waits_for_leaves_nothing_and_lets_go_of_the_lock() {
    let home = tempfile::tempdir().unwrap();
    let fake = Fake::new(0, 0, 1);
    let service = service(home.path(), &fake);
    let silent = Progress::silent();
    let debian = debian();
    let given_up = service.ensure_kernel(&debian, &silent);
    assert!(tokio::time::timeout(Duration::from_millis(50), given_up).await.is_err());
    assert_eq!(fake.builds.load(Ordering::SeqCst), 1);
    assert!(names(&home.path().join("state/kernels")).is_empty());
    fake.permits.add_permits(1);
    service.ensure_kernel(&debian, &silent).await.unwrap();
}

#[tokio::test]
async fn after_a_pull_that_failed_the_next_waiting_one_succeeds() {
    let home = tempfile::tempdir().unwrap();
    let fake = Fake::new(2, 1, 1);
    let service = service(home.path(), &fake);
    let silent = Progress::silent();
    let debian = debian();
    let (first, second) =
        tokio::join!(service.ensure_kernel(&debian, &silent), service.ensure_kernel(&debian, &silent));
    assert!(matches!(first, Err(PullError::Kernel { .. })));
    second.unwrap();
    assert_eq!(names(&home.path().join("state/kernels")), ["debian-12"]);
}

#[tokio::test]
async fn a_damaged_kernel_is_an_error_until_a_forced_pull() {
    let home = tempfile::tempdir().unwrap();
    let fake = Fake::new(2, 0, 1);
    let service = service(home.path(), &fake);
    let silent = Progress::silent();
    let kernel = service.ensure_kernel(&debian(), &silent).await.unwrap();
    std::fs::write(kernel.vmlinuz().unwrap(), "").unwrap();
    let error = service.ensure_kernel(&debian(), &silent).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot use the local kernel `debian-12`");
    assert_eq!(
        error.hint(),
        Some(Hint::PullAgain { kind: ArtifactKind::Kernel, name: "debian-12".to_owned() })
    );
    service.pull_kernel(&debian(), Replace::Always, &silent).await.unwrap();
    service.ensure_kernel(&debian(), &silent).await.unwrap();
}

/// The service of a daemon whose user has another key by now.
fn service_with(home: &Path, fake: &Arc<Fake>, key: AuthorizedKey) -> Arc<ImageService> {
    let mut service = Arc::into_inner(service(home, fake)).unwrap();
    service.key = Arc::new(key);
    Arc::new(service)
}

#[tokio::test]
async fn the_first_create_after_a_new_key_repairs_the_work_seed() {
    let home = tempfile::tempdir().unwrap();
    let fake = Fake::new(1, 0, 1);
    let name = "debian-bookworm".parse().unwrap();
    let silent = Progress::silent();
    let image = service(home.path(), &fake).ensure_image(&name, &silent).await.unwrap();
    assert!(!is_seed_stale(&image, &key()));
    let service = service_with(home.path(), &fake, other_key());
    let callers = (0..16).map(|_| {
        let (service, name) = (Arc::clone(&service), name.clone());
        tokio::spawn(async move { service.ensure_image(&name, &Progress::silent()).await.unwrap() })
    });
    for caller in join_all(callers).await {
        caller.unwrap();
    }
    let image = service.ensure_image(&name, &silent).await.unwrap();
    assert!(!is_seed_stale(&image, &other_key()));
    assert_eq!(fake.builds.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn nobody_waits_for_a_pull_only_to_repair_a_work_seed() {
    let home = tempfile::tempdir().unwrap();
    let fake = Fake::new(1, 0, 1);
    let name = "debian-bookworm".parse().unwrap();
    let silent = Progress::silent();
    service(home.path(), &fake).ensure_image(&name, &silent).await.unwrap();
    let service = service_with(home.path(), &fake, other_key());
    let mut pull = Box::pin(service.pull_image(&name, Replace::Always, &silent));
    // It has the image's lock and waits for a permit.
    assert!(futures::poll!(&mut pull).is_pending());
    let older = tokio::time::timeout(Duration::from_secs(10), service.ensure_image(&name, &silent));
    assert!(is_seed_stale(&older.await.unwrap().unwrap(), &other_key()));
    fake.permits.add_permits(1);
    pull.await.unwrap();
}

#[tokio::test]
async fn an_unknown_name_is_not_in_the_catalog() {
    let home = tempfile::tempdir().unwrap();
    let service = service(home.path(), &Fake::new(0, 0, 1));
    let error = service.ensure_image(&"nope".parse().unwrap(), &Progress::silent()).await.unwrap_err();
    assert_eq!(error.to_string(), "the image `nope` is neither local nor in the catalog");
    assert!(names(&home.path().join("state/images")).is_empty());
}

#[tokio::test]
async fn too_little_room_is_told_in_numbers_before_anything_is_made() {
    let home = tempfile::tempdir().unwrap();
    let pulls: Pulls<KernelManifest> = Pulls::new(Store::new(home.path().join("kernels")), u64::MAX);
    let build: Build<'_> = Box::new(|_| unreachable!("there is no room"));
    let error = pulls.ensure(&debian(), build).await.unwrap_err();
    assert!(matches!(error, PullError::TooLittleSpace { ref source, .. } if source.needed_bytes == u64::MAX));
}

/// Names the home of the process that [`kill_in_the_middle_of_a_pull`] starts.
const KILLED_HOME: &str = "BANGER_TEST_KILLED_HOME";

const HALF_WAY: &str = "half-way through the pull";

/// Ends a process by SIGKILL whose pull of the kernel has written a part of it.
fn kill_in_the_middle_of_a_pull(home: &Path) {
    kill_when_it_prints(HALF_WAY, "service::tests::pull_until_killed", [(KILLED_HOME, home.as_os_str())]);
}

#[tokio::test]
#[ignore = "is the process that other tests start and kill"]
async fn pull_until_killed() {
    let Some(home) = std::env::var_os(KILLED_HOME) else { return };
    // The build waits for this test, and then for a permit that never comes.
    let fake = Fake::new(0, 0, 2);
    let service = service(Path::new(&home), &fake);
    let (debian, silent) = (debian(), Progress::silent());
    let half_way = async {
        fake.together.wait().await;
        println!("{HALF_WAY}");
    };
    let _ = tokio::join!(service.pull_kernel(&debian, Replace::Always, &silent), half_way);
}

#[tokio::test]
async fn after_a_pull_that_was_killed_the_next_succeeds_and_the_next_start_removes_what_is_left() {
    let home = tempfile::tempdir().unwrap();
    kill_in_the_middle_of_a_pull(home.path());
    let kernels = home.path().join("state/kernels");
    let left = names(&kernels);
    assert!(left.len() == 1 && left.iter().all(|name| is_staging(name)), "{left:?}");
    assert!(kernels.join(&left[0]).join("vmlinuz").exists(), "it was killed in the middle");

    let service = service(home.path(), &Fake::new(1, 0, 1));
    assert!(service.kernels().list().unwrap().found.is_empty());
    let kernel = service.ensure_kernel(&debian(), &Progress::silent()).await.unwrap();
    service.sweep().unwrap();
    assert_eq!(names(&kernels), ["debian-12"]);
    service.kernels().verify_content(&kernel).unwrap();
}

#[tokio::test]
async fn a_forced_pull_that_was_killed_leaves_the_older_kernel_whole() {
    let home = tempfile::tempdir().unwrap();
    let service = service(home.path(), &Fake::new(1, 0, 1));
    service.ensure_kernel(&debian(), &Progress::silent()).await.unwrap();
    kill_in_the_middle_of_a_pull(home.path());
    service.sweep().unwrap();
    assert_eq!(names(&home.path().join("state/kernels")), ["debian-12"]);
    let kernel = service.ensure_kernel(&debian(), &Progress::silent()).await.unwrap();
    service.kernels().verify_content(&kernel).unwrap();
}
