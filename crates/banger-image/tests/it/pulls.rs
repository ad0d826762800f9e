//! What was pushed by one program and is pulled by us.

use std::fs;
use std::path::Path;

use banger_ext4::{EntryBody, Ext4Reader};
use banger_image::{AuthorizedKey, Image, ImageService, OciPull, PlainHttp, Progress, PullError, Replace};
use banger_model::Hint;
use banger_sys::paths::Paths;

use crate::layout::Layout;
use crate::registry::{DockerRegistry, LOGIN, skopeo};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJZ58rm7xMF/gOs2zwmeIpWAaR3up4r4/1fpG6GFNYWP ada@example";

struct Place {
    home: tempfile::TempDir,
    service: ImageService,
}

impl Place {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let key: AuthorizedKey = KEY.parse().unwrap();
        let service = ImageService::new(&Paths::under(home.path()).unwrap(), home.path().join("agent"), key);
        Self { home, service }
    }

    async fn pull(&self, source: &str, name: &str) -> Result<Image, PullError> {
        let wanted = OciPull {
            source: source.parse().unwrap(),
            input: None,
            name: name.parse().unwrap(),
            kernel: "debian-12".parse().unwrap(),
            is_named_by_archive: false,
            plain_http: PlainHttp::OnLoopback,
            search_path: None,
            docker_directory: Some(self.home.path().join("docker")),
            bytes_max: None,
        };
        self.service.pull_oci(&wanted, Replace::Never, &Progress::silent()).await
    }

    fn blobs(&self) -> usize {
        fs::read_dir(self.home.path().join("cache/oci/blobs/sha256")).map_or(0, Iterator::count)
    }
}

/// Fails unless the image is `v2` of [`Layout`].
fn assert_second(image: &Image) {
    let root = Ext4Reader::open(&image.rootfs()).unwrap();
    let read = |path: &str| root.read(path.as_bytes(), 8 << 20).unwrap();
    assert_eq!(read("etc/new").as_deref(), Some(&b"new"[..]));
    assert_eq!(read("directory").as_deref(), Some(&b"a file now"[..]));
    assert_eq!(read("etc/gone"), None);
    assert!(read("usr/bin/tool").is_some_and(|content| content == vec![7; 3 << 20]));
    let entry = |path: &str| root.entry(path.as_bytes()).unwrap().unwrap();
    assert_eq!(entry("usr/bin/tool").metadata.mode & 0o7777, 0o4755);
    assert!(matches!(entry("etc/keep").body, EntryBody::Directory));
    assert!(matches!(entry("bin").body, EntryBody::Symlink(target) if &*target == b"usr/bin"));
    let process = image.manifest.process.as_ref().unwrap();
    assert_eq!(process.command, ["run", "it"]);
    assert!(process.environment.contains(&"A=b c".to_owned()), "{:?}", process.environment);
    assert_eq!((process.user.as_str(), process.working_directory.as_str()), ("7:8", "/srv"));
    assert_eq!(image.manifest.distro, "tiny");
}

#[tokio::test]
async fn an_image_comes_from_a_real_registry_whatever_compresses_its_layers() {
    let (layout, registry, place) = (Layout::made(), DockerRegistry::open(), Place::new());
    registry.push(&layout.path(), "v1", "team/app:v1", &[]);
    registry.push(&layout.path(), "v2", "team/app:v2", &[]);
    registry.push(
        &layout.path(),
        "v2",
        "team/app:zstd",
        &["--dest-compress", "--dest-compress-format", "zstd"],
    );
    registry.push(&layout.path(), "v2", "team/app:docker", &["--format", "v2s2"]);
    place.pull(&format!("{}/team/app:v1", registry.host), "one").await.unwrap();
    let before = place.blobs();
    assert_second(&place.pull(&format!("{}/team/app:v2", registry.host), "two").await.unwrap());
    assert_eq!(place.blobs() - before, 2, "the second layer and the config");
    for tag in ["zstd", "docker"] {
        assert_second(&place.pull(&format!("{}/team/app:{tag}", registry.host), tag).await.unwrap());
    }
    let error = place.pull(&format!("{}/team/none:v1", registry.host), "none").await.unwrap_err();
    let told = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(told, format!("the registry `{}` has no `team/none:v1`", registry.host));
}

#[tokio::test]
async fn a_closed_registry_lets_in_who_has_logged_in_with_docker() {
    let (layout, registry, place) = (Layout::made(), DockerRegistry::closed(), Place::new());
    registry.push(&layout.path(), "v2", "app:v2", &["--dest-creds", "ada:hunter2"]);
    let source = format!("{}/app:v2", registry.host);
    let error = place.pull(&source, "app").await.unwrap_err();
    assert_eq!(error.hint(), Some(Hint::LogIn { registry: registry.host.clone() }));
    let docker = place.home.path().join("docker");
    fs::create_dir(&docker).unwrap();
    let login = |auth: &str| {
        let text = format!(r#"{{"auths": {{"{}": {{"auth": "{auth}"}}}}}}"#, registry.host);
        fs::write(docker.join("config.json"), text).unwrap();
    };
    // `ada:wrong`
    login("YWRhOndyb25n");
    assert!(place.pull(&source, "app").await.is_err());
    login(LOGIN);
    assert_second(&place.pull(&source, "app").await.unwrap());
}

#[tokio::test]
async fn an_image_comes_from_a_layout_and_from_an_archive() {
    let (layout, place) = (Layout::made(), Place::new());
    assert_second(&place.pull(&format!("oci:{}:v2", layout.path().display()), "layout").await.unwrap());
    let file = place.home.path().join("app.tar");
    archive(&layout.path(), &file);
    for (source, name) in [("docker-archive:FILE", "first"), ("docker-archive:FILE:team/app:v2", "second")] {
        let source = source.replace("FILE", &file.display().to_string());
        assert_second(&place.pull(&source, name).await.unwrap());
    }
    assert_eq!(place.blobs(), 0, "what is on this host needs no cache");
}

fn archive(layout: &Path, file: &Path) {
    let from = format!("oci:{}:v2", layout.display());
    skopeo(&["copy", "--quiet", &from, &format!("docker-archive:{}:team/app:v2", file.display())]);
}
