//! Installing from files and from a server of this host: whole or not at all, once, and after any death.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::super::test_release::{FIRECRACKER, JAILER, write_archive};
use super::*;

const HOME: &str = "BANGER_SETUP_HOME";
const PLACE: &str = "BANGER_SETUP_PLACE";
const PATIENCE: Duration = Duration::from_secs(60);

fn names(paths: &Paths) -> Vec<String> {
    let entries = fs::read_dir(paths.firecracker()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What the program that is used says, and its jailer.
fn used(paths: &Paths) -> [String; 2] {
    PROGRAMS.map(|program| fs::read_to_string(paths.firecracker_current().join(program)).unwrap())
}

fn release(home: &Path, content: &str) -> (Release, PathBuf) {
    let file = home.join("release.tgz");
    (write_archive(&file, &[(FIRECRACKER, content), (JAILER, "j")]), file)
}

async fn install_from(paths: &Paths, release: &Release, origin: Origin) -> Result<PathBuf, InstallError> {
    let catalog = Catalog { releases: vec![release.clone()] };
    install(paths, &catalog, release, &origin).await
}

#[tokio::test]
async fn a_release_takes_the_place_of_the_older_one() {
    let home = tempfile::tempdir().unwrap();
    let paths = Paths::under(home.path()).unwrap();
    for content in ["first", "second"] {
        let (release, file) = release(home.path(), content);
        let program = install_from(&paths, &release, Origin::File(file)).await.unwrap();
        assert_eq!(program, paths.firecracker_current().join("firecracker"));
        assert_eq!(used(&paths), [content, "j"]);
    }
    assert_eq!(names(&paths), [".lock", "1.2.3", "current"]);
}

#[tokio::test]
async fn releases_stay_beside_each_other_and_the_last_one_is_used() {
    let home = tempfile::tempdir().unwrap();
    let paths = Paths::under(home.path()).unwrap();
    let (first, file) = release(home.path(), "old");
    install_from(&paths, &first, Origin::File(file)).await.unwrap();
    let file = home.path().join("newer.tgz");
    let members = [FIRECRACKER, JAILER].map(|name| (name.replace("1.2.3", "1.2.4"), "new"));
    let members = members.each_ref().map(|(name, content)| (name.as_str(), *content));
    let newer = Release { version: "1.2.4".into(), ..write_archive(&file, &members) };
    install_from(&paths, &newer, Origin::File(file)).await.unwrap();
    assert_eq!(names(&paths), [".lock", "1.2.3", "1.2.4", "current"]);
    assert_eq!(used(&paths), ["new", "new"]);
    // Going back needs no archive any more.
    install_from(&paths, &first, Origin::Catalog).await.unwrap();
    assert_eq!(used(&paths), ["old", "j"]);
}

#[tokio::test]
async fn another_file_or_half_of_it_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let paths = Paths::under(home.path()).unwrap();
    let (release, file) = release(home.path(), "good");
    install_from(&paths, &release, Origin::File(file.clone())).await.unwrap();
    let whole = fs::read(&file).unwrap();
    for bad in [&whole[..whole.len() / 2], b"", &[&whole[..], b"x"].concat()] {
        fs::write(&file, bad).unwrap();
        let refused = install_from(&paths, &release, Origin::File(file.clone())).await;
        let is_refused = matches!(refused, Err(InstallError::Archive(ArchiveError::WrongDigest { .. })));
        assert!(is_refused, "{refused:?}");
        assert_eq!((used(&paths), names(&paths).len()), (["good".to_owned(), "j".to_owned()], 3));
    }
}

#[tokio::test]
async fn what_was_damaged_is_installed_again() {
    let home = tempfile::tempdir().unwrap();
    let paths = Paths::under(home.path()).unwrap();
    let (release, file) = release(home.path(), "good");
    install_from(&paths, &release, Origin::File(file.clone())).await.unwrap();
    let place = paths.firecracker().join("1.2.3");
    let damages: [&dyn Fn(); 4] = [
        &|| fs::write(place.join("jailer"), "bad").unwrap(),
        &|| fs::remove_file(place.join("firecracker")).unwrap(),
        &|| fs::set_permissions(place.join("firecracker"), fs::Permissions::from_mode(0o644)).unwrap(),
        &|| fs::write(place.join(RECEIPT), "{}").unwrap(),
    ];
    assert!(is_intact(&place, &release));
    for damage in damages {
        damage();
        assert!(!is_intact(&place, &release));
        install_from(&paths, &release, Origin::File(file.clone())).await.unwrap();
        assert!(is_intact(&place, &release));
        assert_eq!(used(&paths), ["good", "j"]);
    }
}

/// Serves an archive to everybody, each time when it is told to; returns its address and how often it was asked.
async fn serve(archive: Vec<u8>, asked: Arc<Notify>, go: Arc<Notify>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/release.tgz", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            counted.fetch_add(1, Ordering::SeqCst);
            asked.notify_one();
            go.notified().await;
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", archive.len());
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&archive).await;
        }
    });
    (url, count)
}

#[tokio::test]
async fn two_at_once_fetch_once() {
    let home = tempfile::tempdir().unwrap();
    let paths = Paths::under(home.path()).unwrap();
    let (release, file) = release(home.path(), "good");
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (url, count) = serve(fs::read(&file).unwrap(), Arc::clone(&asked), Arc::clone(&go)).await;
    let release = Release { url, ..release };
    let start = || {
        let (paths, release) = (paths.clone(), release.clone());
        tokio::spawn(async move { install_from(&paths, &release, Origin::Catalog).await })
    };
    let first = start();
    asked.notified().await;
    let second = start();
    // It has tried the lock and waits.
    tokio::task::yield_now().await;
    go.notify_one();
    let both = tokio::time::timeout(PATIENCE, async { tokio::join!(first, second) }).await.unwrap();
    assert_eq!(both.0.unwrap().unwrap(), both.1.unwrap().unwrap());
    assert_eq!((count.load(Ordering::SeqCst), used(&paths)), (1, ["good".to_owned(), "j".to_owned()]));
}

#[tokio::test]
async fn a_download_that_is_given_up_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let paths = Paths::under(home.path()).unwrap();
    let (release, file) = release(home.path(), "good");
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (url, _count) = serve(fs::read(&file).unwrap(), Arc::clone(&asked), go).await;
    let release = Release { url, ..release };
    tokio::select! {
        ended = install_from(&paths, &release, Origin::Catalog) => panic!("{ended:?}"),
        () = asked.notified() => {}
    }
    assert_eq!(names(&paths), [".lock"]);
}

#[tokio::test]
async fn a_death_anywhere_leaves_the_older_release_and_the_next_attempt_works() {
    for place in 1..100 {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::under(home.path()).unwrap();
        let (older, file) = release(home.path(), "older");
        install_from(&paths, &older, Origin::File(file)).await.unwrap();
        let (newer, file) = release(home.path(), "newer");
        let ended = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "setup::install::tests::an_attempt_that_dies", "--ignored"])
            .env(HOME, home.path())
            .env(PLACE, place.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        let [program, _] = used(&paths);
        assert!(["older", "newer"].contains(&program.as_str()), "place {place}: {program}");
        if ended.success() {
            assert!(place > 5, "it passes {} places only", place - 1);
            assert_eq!(program, "newer");
            return;
        }
        assert_eq!(ended.signal(), Some(9), "place {place}: {ended:?}");
        install_from(&paths, &newer, Origin::File(file)).await.unwrap();
        assert_eq!(used(&paths), ["newer", "j"], "place {place}");
        assert_eq!(names(&paths), [".lock", "1.2.3", "current"], "place {place}");
    }
    panic!("it has no end");
}

#[tokio::test]
#[ignore = "is the process that another test starts and that dies"]
async fn an_attempt_that_dies() {
    let Some(home) = std::env::var_os(HOME).map(PathBuf::from) else { return };
    let place: usize = std::env::var(PLACE).unwrap().parse().unwrap();
    let passed = AtomicUsize::new(0);
    let (release, file) = release(&home, "newer");
    failpoint::watch(move |_name| {
        if passed.fetch_add(1, Ordering::SeqCst) + 1 == place {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
            std::thread::sleep(PATIENCE);
        }
    });
    let paths = Paths::under(&home).unwrap();
    install_from(&paths, &release, Origin::File(file)).await.unwrap();
    std::process::exit(0);
}
