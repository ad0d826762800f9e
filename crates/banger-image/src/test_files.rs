//! Builders of the files that tests work with.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use banger_ext4::{EntryKind, Ext4Writer, Journal, Metadata};
use banger_sys::files::StagedDirectory;

use crate::artifact::store::Store;
use crate::image::{
    AuthorizedKey, Image, ImageFacts, ImageManifest, finish_image, format_options, record_rootfs,
};

/// The key of tests.
pub(crate) fn key() -> AuthorizedKey {
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJZ58rm7xMF/gOs2zwmeIpWAaR3up4r4/1fpG6GFNYWP ada@example"
        .parse()
        .unwrap()
}

/// The key after it was rotated.
pub(crate) fn other_key() -> AuthorizedKey {
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEMuwPlZVPWKyjUsxXKVahXpfcagQp8DrkixgcpGx5us ada@new"
        .parse()
        .unwrap()
}

/// Runs an ignored test of this crate in a process of its own, and ends that by SIGKILL once it has printed the words.
pub(crate) fn kill_when_it_prints<'a>(
    words: &str,
    test: &str,
    variables: impl IntoIterator<Item = (&'a str, &'a OsStr)>,
) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .envs(variables)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let has_printed = lines.any(|line| line.unwrap().contains(words));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(has_printed, "the process ended before it printed `{words}`");
}

/// Writes the root of an image: a `/root` with a dot file, and something beside it.
pub(crate) fn write_rootfs(path: &Path) {
    let options = format_options("banger-root", 64 << 20, Journal::None);
    let mut rootfs = Ext4Writer::create(path, options).unwrap();
    let metadata = |mode| Metadata { mode, ..Metadata::default() };
    rootfs.add(b"root", &metadata(0o700), EntryKind::Directory).unwrap();
    for (path, mut content) in [("root/.bashrc", &b"alias x=y\n"[..]), ("etc/hostname", b"")] {
        let kind = EntryKind::File { size: content.len() as u64, content: &mut content };
        rootfs.add(path.as_bytes(), &metadata(0o644), kind).unwrap();
    }
    rootfs.finish_shrunk(0).unwrap();
}

/// Makes the image `test` in `images` below a directory. It lets [`key`] in.
pub(crate) fn managed_image(home: &Path) -> Image {
    let place = home.join("images/test");
    let staged = StagedDirectory::create(&place).unwrap();
    write_rootfs(&staged.path().join("rootfs.ext4"));
    let facts = ImageFacts {
        name: "test".parse().unwrap(),
        distro: "debian".to_owned(),
        arch: "amd64".to_owned(),
        kernel: "debian-12".parse().unwrap(),
        ready_ports: Vec::new(),
        init: None,
        process: None,
        packages: Vec::new(),
        origin: "a test".to_owned(),
    };
    let rootfs = record_rootfs(&staged).unwrap();
    finish_image(staged, facts, rootfs, &key()).unwrap().publish().unwrap();
    Store::<ImageManifest>::new(home.join("images")).get(&"test".parse().unwrap()).unwrap().unwrap()
}

/// Fails unless `e2fsck` is content with a file system.
#[track_caller]
pub(crate) fn assert_clean(disk: &Path) {
    let check = Command::new("/usr/sbin/e2fsck").arg("-fn").arg(disk).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}
