//! Kernels with many callers, and with callers that die: the whole way from the package to the published kernel, only the
//! package comes from a test.

use std::fs;
use std::path::Path;
use std::pin::pin;
use std::sync::Barrier as ThreadBarrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use banger_model::Distro;
use futures::future::{BoxFuture, join_all};
use tokio::sync::{Barrier, Semaphore};

use super::*;
use crate::kernel::refresh_initramfs;
use crate::kernel::test_trees::{TestRoot, deb};
use crate::kernel::{FetchPackage, KernelBuildError};
use crate::progress::Progress;
use crate::pull::Replace;
use crate::test_files::kill_when_it_prints;

/// A package that is there at once, or when a test says so.
struct Package {
    file: PathBuf,
    fetches: AtomicUsize,
    permits: Semaphore,
}

impl FetchPackage for Arc<Package> {
    fn fetch<'a>(
        &'a self,
        _entry: &'a KernelEntry,
        directory: PathBuf,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<(PathBuf, String), KernelBuildError>> {
        Box::pin(async move {
            self.fetches.fetch_add(1, Ordering::SeqCst);
            progress.stage("download kernel package", "");
            self.permits.acquire().await.unwrap().forget();
            let place = directory.join("kernel.deb");
            fs::copy(&self.file, &place).unwrap();
            Ok((place, "a test".to_owned()))
        })
    }
}

struct Kernels {
    home: tempfile::TempDir,
    package: Arc<Package>,
    service: Arc<ImageService>,
}

impl Kernels {
    /// Kernels whose packages come as often as there are permits.
    fn with_permits(permits: usize) -> Self {
        let home = tempfile::tempdir().unwrap();
        let file = deb(home.path(), "linux-image-test", "amd64", &TestRoot::new(Distro::Debian));
        let (package, service) = service_at(home.path(), file, permits);
        Self { home, package, service }
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.home.path().join("state/kernels")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn fetches(&self) -> usize {
        self.package.fetches.load(Ordering::SeqCst)
    }
}

fn service_at(home: &Path, file: PathBuf, permits: usize) -> (Arc<Package>, Arc<ImageService>) {
    let agent = home.join("agent");
    fs::write(&agent, "agent").unwrap();
    let package = Arc::new(Package { file, fetches: AtomicUsize::new(0), permits: Semaphore::new(permits) });
    let key = crate::test_files::key();
    let mut service = ImageService::new(&Paths::under(home).unwrap(), agent, key);
    let (packages, agent) = (Box::new(Arc::clone(&package)), Arc::clone(&service.agent));
    service.kernel_source = Box::new(DebianKernels { packages, agent });
    let debian = service.kernel_catalog[0].clone();
    service.kernel_catalog.push(KernelEntry { name: "other".parse().unwrap(), ..debian });
    (package, Arc::new(service))
}

fn debian() -> KernelName {
    "debian-12".parse().unwrap()
}

/// Lets a future go as far as it comes without waiting.
fn is_pending<F: Future + Unpin>(mut future: F) -> bool {
    matches!(pin!(&mut future).poll(&mut Context::from_waker(Waker::noop())), Poll::Pending)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_callers_and_one_missing_kernel_make_one_fetch() {
    let kernels = Kernels::with_permits(1);
    let start = Arc::new(Barrier::new(16));
    let callers = (0..16).map(|_| {
        let (service, start) = (Arc::clone(&kernels.service), Arc::clone(&start));
        tokio::spawn(async move {
            start.wait().await;
            let (kernel, _hold) = service.hold_kernel(&debian(), &Progress::silent()).await.unwrap();
            service.kernels().verify_content(&kernel).unwrap();
        })
    });
    for caller in join_all(callers).await {
        caller.unwrap();
    }
    assert_eq!((kernels.fetches(), kernels.names()), (1, vec!["debian-12".to_owned()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_removal_that_races_a_pull_comes_before_it_or_after_it() {
    // B5: what was removed while it was pulled had files and no manifest.
    let kernels = Kernels::with_permits(1000);
    for _ in 0..8 {
        let start = Arc::new(Barrier::new(6));
        let callers = (0..6).map(|number| {
            let (service, start) = (Arc::clone(&kernels.service), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                if number % 2 == 0 {
                    let silent = Progress::silent();
                    let (kernel, _hold) = service.hold_kernel(&debian(), &silent).await.unwrap();
                    service.kernels().verify_content(&kernel).unwrap();
                } else {
                    match service.kernel_removal(&debian()).await {
                        Ok(removal) => removal.remove().await.unwrap(),
                        Err(error) => assert!(matches!(error, PullError::NotHere { .. }), "{error}"),
                    }
                }
            })
        });
        for caller in join_all(callers).await {
            caller.unwrap();
        }
        match kernels.service.kernels().get(&debian()).unwrap() {
            Some(kernel) => kernels.service.kernels().verify_content(&kernel).unwrap(),
            None => assert_eq!(kernels.names(), [""; 0]),
        }
    }
}

#[tokio::test]
async fn who_waits_for_a_pull_leaves_when_its_caller_goes() {
    // B6: a waiter stayed for ever when its call was cancelled.
    let kernels = Kernels::with_permits(0);
    let (service, silent, name) = (&kernels.service, Progress::silent(), debian());
    let mut first = Box::pin(service.ensure_kernel(&name, &silent));
    assert!(is_pending(&mut first));
    let mut ensure = Box::pin(service.ensure_kernel(&name, &silent));
    let mut pull = Box::pin(service.pull_kernel(&name, Replace::Always, &silent));
    let mut removal = Box::pin(service.kernel_removal(&name));
    assert!(is_pending(&mut ensure) && is_pending(&mut pull) && is_pending(&mut removal));
    drop((ensure, pull, removal));
    kernels.package.permits.add_permits(1);
    first.await.unwrap();
    assert_eq!(kernels.fetches(), 1);
    service.kernel_removal(&name).await.unwrap().remove().await.unwrap();
    assert_eq!(kernels.names(), [""; 0]);
}

#[tokio::test]
async fn other_kernels_do_not_wait_for_one_that_is_pulled_or_held() {
    let kernels = Kernels::with_permits(0);
    let (service, silent, name) = (&kernels.service, Progress::silent(), debian());
    let mut first = Box::pin(service.ensure_kernel(&name, &silent));
    assert!(is_pending(&mut first));
    drop(first);
    kernels.package.permits.add_permits(2);
    let (_kernel, _hold) = service.hold_kernel(&name, &silent).await.unwrap();
    let other = "other".parse().unwrap();
    service.ensure_kernel(&other, &silent).await.unwrap();
    service.kernel_removal(&other).await.unwrap().remove().await.unwrap();
}

#[tokio::test]
async fn a_kernel_that_a_machine_is_started_from_stays_in_its_place_until_that_has_its_files() {
    let kernels = Kernels::with_permits(3);
    let (service, silent, name) = (&kernels.service, Progress::silent(), debian());
    let (kernel, hold) = service.hold_kernel(&name, &silent).await.unwrap();
    let created_at = kernel.manifest.created_at.clone();
    // A forced pull does its work, and waits with the last step.
    let (told, stages) = std::sync::mpsc::channel();
    let progress = Progress::new(move |stage| told.send(stage.name).unwrap());
    let pulls = Arc::clone(service);
    let mut pull =
        tokio::spawn(async move { pulls.pull_kernel(&debian(), Replace::Always, &progress).await });
    tokio::task::spawn_blocking(move || stages.iter().find(|stage| *stage == "publish kernel").unwrap())
        .await
        .unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut pull).await.is_err(), "it waits");
    let mut removal = Box::pin(service.kernel_removal(&name));
    assert!(is_pending(&mut removal));
    let here = service.kernels().get(&name).unwrap().unwrap();
    assert_eq!(here.manifest.created_at, created_at);
    service.kernels().verify_content(&kernel).unwrap();
    drop(hold);
    let replaced = pull.await.unwrap().unwrap();
    assert_ne!(replaced.manifest.created_at, created_at);
    removal.await.unwrap().remove().await.unwrap();
    assert_eq!(kernels.names(), [""; 0]);
}

#[tokio::test]
async fn files_of_a_removed_kernel_stay_readable_for_who_has_them_open() {
    let kernels = Kernels::with_permits(1);
    let kernel = kernels.service.ensure_kernel(&debian(), &Progress::silent()).await.unwrap();
    let drive = fs::File::open(kernel.modules_drive().unwrap()).unwrap();
    kernels.service.kernel_removal(&debian()).await.unwrap().remove().await.unwrap();
    assert_eq!(kernels.names(), [""; 0]);
    let record = crate::artifact::digest::FileRecord::of_content(drive).unwrap();
    assert_eq!(record, kernel.manifest.files["modules.ext4"]);
}

#[test]
fn readers_see_only_whole_manifests_during_a_thousand_rewrites() {
    // S3: a reader saw a manifest that was being written. In memory, where a disk's sync does not take turns with us.
    let home = tempfile::tempdir_in("/dev/shm").unwrap();
    let service = service_at(home.path(), PathBuf::new(), 0).1;
    let place = service.kernels().place(&debian());
    fs::create_dir_all(&place).unwrap();
    let record = |text: &str| crate::artifact::digest::FileRecord::of_bytes(text.as_bytes());
    for (file, content) in [("vmlinux", "kernel"), ("modules.cpio", "modules"), ("initramfs", "none yet")] {
        fs::write(place.join(file), content).unwrap();
    }
    let manifest = serde_json::json!({
        "format_version": 2, "name": "debian-12", "distro": "", "arch": "", "version": "",
        "files": { "vmlinux": record("kernel"), "modules.cpio": record("modules"), "initramfs": record("none yet") },
        "source": "", "created_at": "", "agent_sha256": "",
    });
    fs::write(place.join("manifest.json"), manifest.to_string()).unwrap();
    let (start, is_done, reads) = (ThreadBarrier::new(5), AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                start.wait();
                while !is_done.load(Ordering::Relaxed) {
                    let kernel = service.kernels().get(&debian()).unwrap().expect("it is always there");
                    assert_eq!(kernel.manifest.files.len(), 3);
                    assert!(service.kernels().list().unwrap().damaged.is_empty());
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        start.wait();
        for number in 0..1000 {
            fs::write(home.path().join("agent"), format!("agent {number}")).unwrap();
            let kernel = service.kernels().get(&debian()).unwrap().unwrap();
            refresh_initramfs(kernel, &service.agent).unwrap();
        }
        is_done.store(true, Ordering::Relaxed);
    });
    assert!(reads.into_inner() > 1000);
    let kernel = service.kernels().get(&debian()).unwrap().unwrap();
    service.kernels().verify_content(&kernel).unwrap();
}

/// Names the home of the process that [`kill_at`] starts, its package, and the stage at which it stops.
const KILLED: [&str; 3] =
    ["BANGER_TEST_KILLED_KERNEL_HOME", "BANGER_TEST_KILLED_PACKAGE", "BANGER_TEST_KILLED_AT"];

const REACHED: &str = "reached the stage";

/// Every stage of a pull; each begins with nothing of its own done.
const STAGES: [&str; 8] = [
    "download kernel package",
    "unpack kernel package",
    "read kernel",
    "index modules",
    "build initramfs",
    "write modules drive",
    "write manifest",
    "publish kernel",
];

/// Ends a process by SIGKILL whose pull of the kernel has come to this stage.
fn kill_at(kernels: &Kernels, stage: &str) {
    let values = [kernels.home.path().as_os_str(), kernels.package.file.as_os_str(), stage.as_ref()];
    kill_when_it_prints(
        &format!("{REACHED} {stage}"),
        "service::kernel_tests::pull_until_killed",
        KILLED.into_iter().zip(values),
    );
}

#[tokio::test]
#[ignore = "is the process that another test starts and kills"]
async fn pull_until_killed() {
    let [Some(home), Some(package), Some(stage)] = KILLED.map(std::env::var_os) else { return };
    let (_package, service) = service_at(Path::new(&home), package.into(), 1);
    let progress = Progress::new(move |now| {
        if stage.to_str() == Some(now.name) {
            println!("{REACHED} {}", now.name);
            loop {
                std::thread::park();
            }
        }
    });
    let _ = service.pull_kernel(&debian(), Replace::Always, &progress).await;
}

#[tokio::test]
async fn a_death_at_any_stage_of_a_pull_leaves_the_older_kernel_and_the_next_pull_succeeds() {
    let kernels = Kernels::with_permits(STAGES.len());
    let silent = Progress::silent();
    for (number, stage) in STAGES.into_iter().enumerate() {
        kill_at(&kernels, stage);
        let before = kernels.service.kernels().get(&debian()).unwrap();
        assert_eq!(before.is_some(), number > 0, "{stage}");
        if let Some(older) = before {
            kernels.service.kernels().verify_content(&older).unwrap();
        }
        // What the next daemon does at its start, before its first pull.
        assert!(kernels.names().len() > usize::from(number > 0), "{stage}: it was killed in the middle");
        kernels.service.sweep().unwrap();
        let kernel = kernels.service.pull_kernel(&debian(), Replace::Always, &silent).await.unwrap();
        kernels.service.kernels().verify_content(&kernel).unwrap();
        assert_eq!(kernels.names(), ["debian-12"], "{stage}");
    }
}

#[tokio::test]
async fn the_stages_of_a_pull_are_those_at_which_it_was_killed() {
    let kernels = Kernels::with_permits(1);
    let (told, stages) = std::sync::mpsc::channel();
    let progress = Progress::new(move |stage| told.send(stage.name).unwrap());
    kernels.service.ensure_kernel(&debian(), &progress).await.unwrap();
    drop(progress);
    assert_eq!(stages.iter().collect::<Vec<_>>(), STAGES);
}
