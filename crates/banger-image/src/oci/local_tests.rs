use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::mpsc::sync_channel;

use serde_json::{Value, json};

use super::*;
use crate::formats::compression::tests::pack;
use crate::limits::Allowance;
use crate::oci::digest::BlobDigest;
use crate::oci::layer::{Chunks, Layer};
use crate::oci::test_layers::{Tar, saved};
use crate::progress::Progress;

fn amd64() -> Platform {
    serde_json::from_value(json!({"os": "linux", "architecture": "amd64"})).unwrap()
}

type Open = fn(&Place, &Scratch<'_>, &Cancelled) -> Result<Local, LocalImageError>;

fn opened(path: &Path, name: Option<&str>, open: Open) -> Result<LocalImage, LocalImageError> {
    let directory = tempfile::tempdir().unwrap();
    let scratch = Scratch {
        directory: directory.path(),
        allowance: &|_| Allowance::endless(),
        progress: &Progress::silent(),
    };
    let place = Place { path: path.to_owned(), file: path.to_owned() };
    let image = open(&place, &scratch, &Cancelled::default()).and_then(|local| local.image(name, &amd64()));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "what was unpacked has no name");
    image
}

fn config(layers: &[&[u8]], architecture: &str) -> Vec<u8> {
    let diff_ids: Vec<_> = layers.iter().map(|layer| BlobDigest::of(layer).to_string()).collect();
    json!({"os": "linux", "architecture": architecture, "config": {"Cmd": ["sh"]}, "rootfs": {"diff_ids": diff_ids}})
        .to_string()
        .into_bytes()
}

/// A layout that grows.
struct Written(tempfile::TempDir);

impl Written {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("blobs/sha256")).unwrap();
        Self(home)
    }

    fn blob(&self, content: &[u8]) -> Value {
        let digest = BlobDigest::of(content);
        fs::write(self.0.path().join("blobs/sha256").join(digest.hex()), content).unwrap();
        json!({"digest": digest.to_string(), "size": content.len()})
    }

    fn image(&self, layers: &[&[u8]], architecture: &str) -> Value {
        let config = self.blob(&config(layers, architecture));
        let layers: Vec<_> = layers.iter().map(|layer| self.blob(layer)).collect();
        self.blob(json!({"schemaVersion": 2, "config": config, "layers": layers}).to_string().as_bytes())
    }

    fn index(&self, manifests: &[Value]) {
        let index = json!({"schemaVersion": 2, "manifests": manifests});
        fs::write(self.0.path().join("index.json"), index.to_string()).unwrap();
    }

    fn open(&self, tag: Option<&str>) -> Result<LocalImage, LocalImageError> {
        opened(self.0.path(), tag, open_layout)
    }
}

fn tagged(mut descriptor: Value, tag: &str) -> Value {
    descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
    descriptor
}

fn unpacked(image: LocalImage) -> Vec<Vec<u8>> {
    let unpack = |layer: Layer| {
        let (sender, receiver) = sync_channel(64);
        layer.unpack(&sender, &Allowance::endless(), &Cancelled::default()).unwrap();
        drop(sender);
        let mut read = Vec::new();
        Chunks::new(receiver).read_to_end(&mut read).unwrap();
        read
    };
    image.layers.into_iter().map(unpack).collect()
}

#[test]
fn a_layout_gives_the_image_with_a_tag_or_its_only_one() {
    let layout = Written::new();
    let (one, two) = (Tar::new().file("a", "1").bytes(), Tar::new().file("b", "2").bytes());
    let first = layout.image(&[&one], "amd64");
    layout.index(std::slice::from_ref(&first));
    assert_eq!(unpacked(layout.open(None).unwrap()), std::slice::from_ref(&one));
    let second = layout.image(&[&one, &two], "amd64");
    layout.index(&[tagged(first, "v1"), tagged(second, "v2")]);
    assert_eq!(unpacked(layout.open(Some("v2")).unwrap()), [one, two]);
    let error = layout.open(None).unwrap_err().to_string();
    assert!(error.ends_with("has several images: v1, v2"), "{error}");
    let error = layout.open(Some("v3")).unwrap_err().to_string();
    assert!(error.ends_with("has no image `v3`; it has v1, v2"), "{error}");
}

#[test]
fn a_list_in_a_layout_leads_to_the_build_for_the_guests() {
    let layout = Written::new();
    let tar = Tar::new().file("a", "1").bytes();
    let (mut arm, mut amd) = (layout.image(&[&tar], "arm64"), layout.image(&[&tar], "amd64"));
    arm["platform"] = json!({"os": "linux", "architecture": "arm64"});
    amd["platform"] = json!({"os": "linux", "architecture": "amd64"});
    let list = layout.blob(json!({"manifests": [arm, amd]}).to_string().as_bytes());
    layout.index(&[tagged(list, "v1")]);
    let image = layout.open(Some("v1")).unwrap();
    assert_eq!(image.digest.to_string(), amd["digest"].as_str().unwrap());
    assert_eq!(image.config.process.cmd, ["sh"]);
}

#[test]
fn a_damaged_layout_is_refused() {
    let layout = Written::new();
    assert!(matches!(layout.open(None), Err(LocalImageError::NoLayout { .. })));
    let tar = Tar::new().file("a", "1").bytes();
    let image = layout.image(&[&tar], "amd64");
    layout.index(std::slice::from_ref(&image));
    let digest: BlobDigest = image["digest"].as_str().unwrap().parse().unwrap();
    let path = layout.0.path().join("blobs/sha256").join(digest.hex());
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("schemaVersion", "schemaVersiom")).unwrap();
    assert!(matches!(layout.open(None), Err(LocalImageError::WrongDigest { .. })));
    fs::remove_file(&path).unwrap();
    assert!(matches!(layout.open(None), Err(LocalImageError::Read { .. })));
    let endless = layout.blob(b"{}");
    layout.index(&[endless]);
    assert!(matches!(layout.open(None), Err(LocalImageError::Document { .. })));
}

#[test]
fn a_descriptor_with_another_size_than_its_blob_is_refused() {
    let tar = Tar::new().file("a", "1").bytes();
    for (part, size) in [("manifest", 1_u64), ("config", 1 << 20), ("layer", 1), ("layer", 1 << 20)] {
        let layout = Written::new();
        let mut config = layout.blob(&config(&[&tar], "amd64"));
        let mut layer = layout.blob(&tar);
        match part {
            "config" => config["size"] = json!(size),
            "layer" => layer["size"] = json!(size),
            _ => {}
        }
        let image = json!({"schemaVersion": 2, "config": config, "layers": [layer]});
        let mut manifest = layout.blob(image.to_string().as_bytes());
        if part == "manifest" {
            manifest["size"] = json!(size);
        }
        layout.index(&[manifest]);
        let refused = layout.open(None).unwrap_err();
        assert!(
            matches!(refused, LocalImageError::WrongSize { wanted, .. } if wanted == size),
            "{refused:?}"
        );
    }
}

fn archive(members: Tar) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), members.bytes()).unwrap();
    file
}

fn member(tar: Tar, path: &str, content: &[u8]) -> Tar {
    tar.raw(tar::EntryType::Regular, path.as_bytes(), b"", 0o644, content)
}

#[test]
fn an_archive_gives_its_layers_also_through_links() {
    let (one, two) = (Tar::new().file("a", "1").bytes(), Tar::new().file("b", "2").bytes());
    let manifest =
        json!([{"Config": "c.json", "RepoTags": ["team/app:v1"], "Layers": ["x/layer.tar", "y/layer.tar"]}]);
    let mut tar = member(Tar::new(), "c.json", &config(&[&one, &two], "amd64"));
    tar = member(tar, "z/layer.tar", &two);
    tar = member(tar, "x/layer.tar", &one).symlink("y/layer.tar", "../z/layer.tar");
    let file = archive(member(tar, "manifest.json", manifest.to_string().as_bytes()));
    for name in [None, Some("team/app:v1"), Some("docker.io/team/app:v1")] {
        assert_eq!(unpacked(opened(file.path(), name, open_archive).unwrap()), [one.clone(), two.clone()]);
    }
    let error = opened(file.path(), Some("app"), open_archive).unwrap_err().to_string();
    assert!(error.ends_with("has no image `app`; it has team/app:v1"), "{error}");
}

#[test]
fn what_is_no_archive_is_said_plainly() {
    let error = |content: &[u8]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        opened(file.path(), None, open_archive).unwrap_err()
    };
    assert!(matches!(error(b""), LocalImageError::NoArchive { .. }));
    assert!(matches!(error(&[b'x'; 2000]), LocalImageError::NoArchive { .. }));
    assert!(matches!(error(&Tar::new().file("a", "").bytes()), LocalImageError::NoArchive { .. }));
    assert!(matches!(error(b"\x1f\x8b\x08"), LocalImageError::CutOff { .. }));
    assert!(matches!(error(b"\x04\x22\x4d\x18"), LocalImageError::UnknownCompression { name: "lz4", .. }));
    let manifest = json!([{"Config": "c.json", "Layers": ["../../etc/passwd"]}]).to_string();
    let tar = member(Tar::new(), "c.json", &config(&[b""], "amd64"));
    let tar = member(tar, "manifest.json", manifest.as_bytes());
    assert!(matches!(error(&tar.bytes()), LocalImageError::Lacks { .. }));
    let looping = json!([{"Config": "c.json", "Layers": []}]).to_string();
    let tar = Tar::new().symlink("c.json", "c.json");
    let tar = member(tar, "manifest.json", looping.as_bytes());
    assert!(matches!(error(&tar.bytes()), LocalImageError::Lacks { .. }));
}

#[test]
fn a_layer_may_be_a_hard_link_and_an_image_may_have_no_layers() {
    let one = Tar::new().file("a", "1").bytes();
    let saved = |layers: Value, count: usize| {
        let manifest = json!([{"Config": "c.json", "RepoTags": null, "Layers": layers}]);
        let tar = member(Tar::new(), "c.json", &config(&vec![one.as_slice(); count], "amd64"));
        let tar = member(tar, "./x/layer.tar", &one).hard_link("y/layer.tar", "x/layer.tar");
        archive(member(tar, "manifest.json", manifest.to_string().as_bytes()))
    };
    let twice = saved(json!(["x/layer.tar", "y/layer.tar"]), 2);
    assert_eq!(unpacked(opened(twice.path(), None, open_archive).unwrap()), [one.clone(), one.clone()]);
    assert!(opened(saved(Value::Null, 0).path(), None, open_archive).unwrap().layers.is_empty());
}

/// A layout in one tar, beside the list that docker has of it where that is wanted.
fn packed_layout(layout: &Written, list: Option<Value>) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_dir_all(".", layout.0.path()).unwrap();
    let tar = tar.into_inner().unwrap();
    let Some(list) = list else { return tar };
    let end = member(Tar::new(), "manifest.json", list.to_string().as_bytes()).bytes();
    [tar.strip_suffix(&[0; 1024]).unwrap(), &end].concat()
}

#[test]
fn a_layout_in_a_tar_is_opened_by_every_spelling_also_compressed_and_with_dockers_list() {
    let layout = Written::new();
    let one = Tar::new().file("a", "1").bytes();
    let image = layout.image(&[&one], "amd64");
    layout.index(&[tagged(image, "v1")]);
    let config = BlobDigest::of(&config(&[&one], "amd64"));
    let layer = format!("blobs/sha256/{}", BlobDigest::of(&one).hex());
    let list =
        json!([{"Config": format!("blobs/sha256/{}", config.hex()), "RepoTags": ["v1"], "Layers": [layer]}]);
    for tar in [packed_layout(&layout, None), packed_layout(&layout, Some(list))] {
        for packed in
            [tar.clone(), pack("gzip", &["-c"], &tar), pack("zstd", &["-c"], &tar), pack("xz", &["-c"], &tar)]
        {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), packed).unwrap();
            for (name, open) in [(None, open_layout as Open), (Some("v1"), open_layout), (None, open_archive)]
            {
                assert_eq!(unpacked(opened(file.path(), name, open).unwrap()), std::slice::from_ref(&one));
            }
        }
    }
}

#[test]
fn where_a_list_says_no_platform_the_build_for_the_guests_is_found_by_its_config() {
    let layout = Written::new();
    let tar = Tar::new().file("a", "1").bytes();
    let (arm, amd) = (layout.image(&[&tar], "arm64"), layout.image(&[&tar], "x86_64"));
    let attestation = layout.blob(json!({"config": layout.blob(b"{}"), "layers": []}).to_string().as_bytes());
    let list = layout.blob(json!({"manifests": [arm, amd, attestation]}).to_string().as_bytes());
    layout.index(&[list]);
    assert_eq!(layout.open(None).unwrap().digest.to_string(), amd["digest"].as_str().unwrap());
    layout.index(&[arm.clone(), arm]);
    assert!(matches!(layout.open(None), Err(LocalImageError::Document { .. })));
}

#[test]
fn an_archive_that_is_cut_off_anywhere_is_told_so() {
    let whole = saved(&json!(["app:1"]));
    let error = |content: &[u8]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        [open_archive as Open, open_layout].map(|open| opened(file.path(), None, open).err())
    };
    let without_end = whole.len() - 1024;
    assert!(error(&whole[..without_end]).iter().all(Option::is_none), "tars without an end are in use");
    // Within the layer, between two members, within a header, within the list.
    for length in [1000, 5632, 6000, without_end - 480] {
        for packed in [whole[..length].to_vec(), pack("gzip", &["-c"], &whole[..length])] {
            let errors = error(&packed);
            let is_told = |error: &Option<_>| matches!(error, Some(LocalImageError::CutOff { .. }));
            assert!(errors.iter().all(is_told), "{length}: {errors:?}");
        }
    }
    for tool in ["gzip", "zstd", "xz", "bzip2"] {
        let packed = pack(tool, &["-c"], &whole);
        let errors = error(&packed[..packed.len() / 2]);
        assert!(
            errors.iter().all(|error| matches!(error, Some(LocalImageError::CutOff { .. }))),
            "{tool}: {errors:?}"
        );
    }
    let cut_off = LocalImageError::CutOff { path: "-".into() };
    assert_eq!(cut_off.to_string(), "the archive on standard input is incomplete: it ends too early");
}

#[test]
fn an_archive_tells_what_its_image_is_called() {
    let names = |content: &[u8], name: Option<&str>, open: Open| {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let scratch = Scratch {
            directory: directory.path(),
            allowance: &|_| Allowance::endless(),
            progress: &Progress::silent(),
        };
        let place = Place { path: "-".into(), file: file.path().to_owned() };
        open(&place, &scratch, &Cancelled::default()).and_then(|local| local.names(name, &amd64()))
    };
    let (both, none) = (saved(&json!(["app:1", "app:latest"])), saved(&json!(null)));
    for open in [open_archive as Open, open_layout] {
        assert_eq!(names(&both, None, open).unwrap(), ["app:1", "app:latest"]);
        assert_eq!(names(&pack("gzip", &["-c"], &both), Some("app:1"), open).unwrap().len(), 2);
        assert!(matches!(names(&both, Some("other"), open), Err(LocalImageError::NotThere { .. })));
        assert!(names(&none, None, open).unwrap().is_empty());
    }
    let layout = Written::new();
    let image = layout.image(&[&Tar::new().file("a", "1").bytes()], "amd64");
    let mut of_containerd = tagged(image, "v1");
    of_containerd["annotations"]["io.containerd.image.name"] = json!("docker.io/team/app:v1");
    layout.index(&[of_containerd]);
    assert_eq!(
        names(&packed_layout(&layout, None), None, open_layout).unwrap(),
        ["v1", "docker.io/team/app:v1"]
    );
}

#[test]
fn a_path_that_does_not_exist_is_told_as_that_whatever_was_expected_there() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("nope");
    for open in [open_layout as Open, open_archive] {
        let told = opened(&path, None, open).unwrap_err();
        assert_eq!(told.to_string(), format!("`{}` does not exist", path.display()));
    }
}
