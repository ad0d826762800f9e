use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use banger_ext4::{EntryKind, Ext4Writer, Journal, Metadata};
use banger_model::{ArtifactKind, Hint, VmName};
use banger_sys::paths::Paths;

use super::*;
use crate::bundle::pack_bundle;
use crate::image::disk::make_work_disk;
use crate::image::{format_options, is_stale};
use crate::progress::Progress;
use crate::pull::{PullError, Replace};
use crate::service::ImageService;
use crate::test_files::{assert_clean, key, other_key};

/// Writes an ext4 file system with these files; a path that ends with `/` is a directory.
fn file_system(path: &Path, entries: &[(&str, &str)]) {
    let options = format_options("test", 16 << 20, Journal::None);
    let mut writer = Ext4Writer::create(path, options).unwrap();
    let metadata = |mode| Metadata { mode, ..Metadata::default() };
    for (path, content) in entries {
        if let Some(path) = path.strip_suffix('/') {
            writer.add(path.as_bytes(), &metadata(0o755), EntryKind::Directory).unwrap();
        } else {
            let kind = EntryKind::File { size: content.len() as u64, content: &mut content.as_bytes() };
            writer.add(path.as_bytes(), &metadata(0o644), kind).unwrap();
        }
    }
    writer.finish_shrunk(0).unwrap();
}

struct Host {
    home: tempfile::TempDir,
    service: ImageService,
}

impl Host {
    fn new() -> Self {
        Self::with(tempfile::tempdir().unwrap(), key())
    }

    fn with(home: tempfile::TempDir, key: AuthorizedKey) -> Self {
        let paths = Paths::under(home.path()).unwrap();
        let service = ImageService::new(&paths, home.path().join("agent"), key);
        Self { home, service }
    }

    /// The same directories after the user's key was rotated.
    fn with_other_key(self) -> Self {
        Self::with(self.home, other_key())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn rootfs(&self) -> PathBuf {
        let path = self.path("root.img");
        let system = [("dev/", ""), ("proc/", ""), ("sys/", ""), ("root/.profile", "of the root")];
        file_system(&path, &[&system[..], &[("usr/lib/os-release", "ID=void\n")]].concat());
        path
    }

    fn work_seed(&self) -> PathBuf {
        let path = self.path("home.img");
        file_system(&path, &[("notes.txt", "of the seed")]);
        path
    }

    fn request(&self) -> RegisterRequest {
        let (name, kernel) = ("mine".parse().unwrap(), "debian-12".parse().unwrap());
        RegisterRequest { name, rootfs: self.rootfs(), work_seed: None, kernel }
    }

    async fn register(&self, request: RegisterRequest) -> Image {
        let registration = ImageRegistration::inspect(request).unwrap();
        self.service.register_image(registration, Replace::Never).await.unwrap()
    }

    async fn promote(&self) -> Result<Image, PullError> {
        self.service.promote_image(&"mine".parse().unwrap(), &Progress::silent()).await
    }

    async fn ensure(&self) -> Image {
        self.service.ensure_image(&"mine".parse().unwrap(), &Progress::silent()).await.unwrap()
    }

    /// Makes a work disk of the image and returns some of its files.
    fn work_disk(&self, image: &Image, key: &AuthorizedKey) -> BTreeMap<&'static str, String> {
        let path = self.path("work.ext4");
        let _ = fs::remove_file(&path);
        make_work_disk(&path, "256M".parse().unwrap(), image, key).unwrap();
        assert_clean(&path);
        let disk = Ext4Reader::open(&path).unwrap();
        let text = |name: &'static str| {
            let content = disk.read(name.as_bytes(), 1 << 20).unwrap()?;
            Some((name, String::from_utf8(content).unwrap()))
        };
        [".profile", "notes.txt", ".ssh/authorized_keys"].into_iter().filter_map(text).collect()
    }
}

fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn keys(key: &AuthorizedKey) -> (&'static str, String) {
    (".ssh/authorized_keys", format!("{}\n", key.line()))
}

#[tokio::test]
async fn a_registered_image_is_where_it_is_and_lets_the_key_in() {
    let host = Host::new();
    let image = host.register(host.request()).await;
    assert_eq!((image.rootfs(), image.manifest.distro.as_str()), (host.path("root.img"), "void"));
    assert_eq!(fs::read_dir(&image.directory).unwrap().count(), 1, "only the manifest is ours");
    let expected = BTreeMap::from([(".profile", "of the root".to_owned()), keys(&key())]);
    assert_eq!(host.work_disk(&image, &key()), expected);
}

#[tokio::test]
async fn a_work_seed_of_its_own_is_what_homes_start_with() {
    let host = Host::new();
    let request = RegisterRequest { work_seed: Some(host.work_seed()), ..host.request() };
    let image = host.register(request).await;
    let expected = BTreeMap::from([("notes.txt", "of the seed".to_owned()), keys(&key())]);
    assert_eq!(host.work_disk(&image, &key()), expected);

    let promoted = host.promote().await.unwrap();
    assert_eq!(host.work_disk(&promoted, &key()), expected);
    let packed = pack_bundle(promoted.clone(), host.path("mine.tar.zst"), &Progress::silent()).await;
    assert_eq!(
        packed.unwrap_err().to_string(),
        "the image has its own work-seed, which a bundle cannot contain"
    );
    assert!(!host.path("mine.tar.zst").exists());
    // A key that is rotated later does not bring the root's files back.
    let host = host.with_other_key();
    let refreshed = host.ensure().await;
    assert!(is_stale(&promoted, &other_key()) && !is_stale(&refreshed, &other_key()));
    let expected = BTreeMap::from([("notes.txt", "of the seed".to_owned()), keys(&other_key())]);
    assert_eq!(host.work_disk(&refreshed, &other_key()), expected);
}

#[tokio::test]
async fn a_promoted_image_is_the_same_one_with_files_of_its_own() {
    let host = Host::new();
    let registered = host.register(host.request()).await;
    let rootfs = fs::read(host.path("root.img")).unwrap();
    let promoted = host.promote().await.unwrap();
    assert_eq!(promoted.manifest.id, registered.manifest.id);
    assert_eq!(fs::read(promoted.rootfs()).unwrap(), rootfs);
    assert!(!is_stale(&promoted, &key()));
    assert_clean(&promoted.file(WORK_SEED));
    host.service.images().verify_content(&promoted).unwrap();
    // The files of the host are no longer needed.
    fs::remove_file(host.path("root.img")).unwrap();
    let expected = BTreeMap::from([(".profile", "of the root".to_owned()), keys(&key())]);
    assert_eq!(host.work_disk(&host.ensure().await, &key()), expected);
    assert_eq!(
        told(&host.promote().await.unwrap_err()),
        "cannot promote the image `mine`: the image `mine` already has its own files; there is nothing to promote"
    );
}

#[tokio::test]
async fn a_promotion_of_what_is_not_here_or_has_changed_leaves_everything_as_it_is() {
    let host = Host::new();
    assert_eq!(told(&host.promote().await.unwrap_err()), "there is no local image `mine`");
    let image = host.register(host.request()).await;
    fs::File::options().write(true).open(image.rootfs()).unwrap().set_len(32 << 20).unwrap();
    let error = told(&host.promote().await.unwrap_err());
    assert!(error.contains("has changed since it was registered"), "{error}");
    assert_eq!(fs::read_dir(host.service.images().directory()).unwrap().count(), 1);
}

#[test]
fn what_cannot_be_an_image_is_refused_by_looking() {
    let host = Host::new();
    let seed = host.work_seed();
    let plain = host.path("plain");
    fs::write(&plain, "no file system").unwrap();
    let refused = |rootfs: &Path, work_seed: Option<&Path>| {
        let request = RegisterRequest {
            rootfs: rootfs.to_owned(),
            work_seed: work_seed.map(Path::to_owned),
            ..host.request()
        };
        told(&ImageRegistration::inspect(request).unwrap_err())
            .replace(host.home.path().to_str().unwrap(), "~")
    };
    let root = host.rootfs();
    assert_eq!(refused(Path::new("root.img"), None), "`root.img` is not an absolute path");
    assert_eq!(
        refused(&host.path("none"), None),
        "cannot use `~/none`: No such file or directory (os error 2)"
    );
    assert_eq!(refused(host.home.path(), None), "cannot use `~`: it is not a regular file");
    assert_eq!(refused(&plain, None), "cannot use `~/plain`: `~/plain` is not an ext4 file system");
    assert_eq!(refused(&root, Some(&plain)), "cannot use `~/plain`: `~/plain` is not an ext4 file system");
    assert_eq!(refused(&seed, None), "`~/home.img` is not a root file system: it has no `dev`");
}

#[tokio::test]
async fn a_name_that_is_taken_or_the_catalogs_is_refused() {
    let host = Host::new();
    host.register(host.request()).await;
    let register = async |name: &str, replace| {
        let request = RegisterRequest { name: name.parse().unwrap(), ..host.request() };
        host.service.register_image(ImageRegistration::inspect(request).unwrap(), replace).await
    };
    let taken = register("mine", Replace::Never).await.unwrap_err();
    assert!(matches!(taken, PullError::NameTaken { .. }), "{taken:?}");
    register("mine", Replace::Always).await.unwrap();
    let of_catalog = register("debian-bookworm", Replace::Always).await.unwrap_err();
    assert_eq!(of_catalog.hint(), Some(Hint::ChooseOtherName));
}

/// A service whose image `mine` is used by these VMs.
fn used_by(host: &mut Host, vms: &'static [&'static str]) {
    let of_images = Arc::new(move |image: &ImageName| {
        assert_eq!(image.as_str(), "mine");
        Ok(vms.iter().map(|vm| vm.parse::<VmName>().unwrap()).collect())
    });
    host.service.keep_for(Arc::new(|_: &KernelName| Ok(Vec::new())), of_images);
}

#[tokio::test]
async fn an_image_that_vms_use_is_neither_removed_nor_replaced_but_promoted() {
    let mut host = Host::new();
    let request = host.request();
    let image = host.register(request.clone()).await;
    used_by(&mut host, &["dev", "test"]);
    let refusal = "the image `mine` is used by VMs `dev`, `test`";
    let error = host.service.image_removal(&image.manifest.name).await.unwrap_err();
    assert_eq!(error.to_string(), refusal);
    assert_eq!(error.hint(), Some(Hint::ShowUsers { kind: ArtifactKind::Image, name: "mine".to_owned() }));
    let registration = ImageRegistration::inspect(request).unwrap();
    let error = host.service.register_image(registration, Replace::Always).await.unwrap_err();
    assert_eq!(error.to_string(), refusal);
    host.promote().await.unwrap();

    used_by(&mut host, &[]);
    host.service.image_removal(&image.manifest.name).await.unwrap().remove().await.unwrap();
    assert!(!image.directory.exists());
    assert!(host.path("root.img").exists(), "a promoted image's first files are not ours");
}

#[tokio::test]
async fn a_removal_waits_for_who_starts_a_machine() {
    let host = Host::new();
    let image = host.register(host.request()).await;
    let name = &image.manifest.name;
    let (_, hold) = host.service.hold_image(name, &Progress::silent()).await.unwrap();
    let mut removal = std::pin::pin!(host.service.image_removal(name));
    assert!(futures::poll!(&mut removal).is_pending());
    assert!(image.directory.exists());
    drop(hold);
    let removal = tokio::time::timeout(Duration::from_secs(10), removal).await.unwrap().unwrap();
    removal.remove().await.unwrap();
    assert!(!image.directory.exists());
}
