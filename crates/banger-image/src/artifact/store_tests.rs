use std::collections::BTreeMap;

use banger_model::{ArtifactKind, Hint};

use super::*;
use crate::artifact::manifest_bytes;
use crate::kernel::KernelManifest;

fn put(store: &Store<KernelManifest>, name: &str) -> Artifact<KernelManifest> {
    let directory = store.directory().join(name);
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("vmlinuz"), "kernel").unwrap();
    let manifest = KernelManifest {
        format_version: KernelManifest::FORMAT_VERSION,
        name: name.parse().unwrap(),
        distro: "debian".to_owned(),
        arch: "amd64".to_owned(),
        version: "6.1.0".to_owned(),
        has_pvh_entry: true,
        files: BTreeMap::from([("vmlinuz".to_owned(), FileRecord::of_bytes(b"kernel"))]),
        source: "test".to_owned(),
        created_at: "2026-01-01T00:00:00Z".to_owned(),
        agent_sha256: String::new(),
    };
    fs::write(directory.join(MANIFEST_FILE), manifest_bytes(&manifest).unwrap()).unwrap();
    Artifact { directory, manifest }
}

fn store() -> (tempfile::TempDir, Store<KernelManifest>) {
    let home = tempfile::tempdir().unwrap();
    let store = Store::new(home.path().join("kernels"));
    (home, store)
}

#[test]
fn a_store_that_is_not_there_yet_is_empty() {
    let (_home, store) = store();
    assert!(store.list().unwrap().found.is_empty());
    assert!(store.get(&"debian-12".parse().unwrap()).unwrap().is_none());
    store.sweep().unwrap();
}

#[test]
fn what_was_written_is_read_back() {
    let (_home, store) = store();
    let written = put(&store, "debian-12");
    let read = store.get(&"debian-12".parse().unwrap()).unwrap().unwrap();
    assert_eq!(read.manifest, written.manifest);
    store.verify_content(&read).unwrap();
}

#[test]
fn a_damaged_manifest_is_named_with_the_cure_and_hides_no_other() {
    let (_home, store) = store();
    put(&store, "good");
    put(&store, "half");
    let path = store.directory().join("half").join(MANIFEST_FILE);
    let text = fs::read(&path).unwrap();
    fs::write(&path, &text[..text.len() / 2]).unwrap();
    let error = store.get(&"half".parse().unwrap()).unwrap_err();
    assert_eq!(error.to_string(), format!("the kernel manifest `{}` is damaged", path.display()));
    assert_eq!(error.hint(), Some(Hint::ImportAgain { kind: ArtifactKind::Kernel, name: "half".to_owned() }));
    let listing = store.list().unwrap();
    assert_eq!((listing.found.len(), listing.damaged.len()), (1, 1));
}

#[test]
fn a_manifest_of_a_later_format_is_refused_as_such() {
    let (_home, store) = store();
    put(&store, "later");
    let path = store.directory().join("later").join(MANIFEST_FILE);
    fs::write(&path, r#"{"format_version": 3, "something": "new"}"#).unwrap();
    let error = store.get(&"later".parse().unwrap()).unwrap_err();
    assert!(matches!(error, StoreError::NewerManifest { version: 3, known: 2, .. }));
}

#[test]
fn a_manifest_under_another_name_is_refused() {
    let (_home, store) = store();
    put(&store, "old-name");
    fs::rename(store.directory().join("old-name"), store.directory().join("new-name")).unwrap();
    let error = store.get(&"new-name".parse().unwrap()).unwrap_err();
    assert!(matches!(error, StoreError::OtherName { found, .. } if found == "old-name"));
}

#[test]
fn a_cut_or_missing_or_changed_file_is_found() {
    let (_home, store) = store();
    let kernel = put(&store, "debian-12");
    fs::write(kernel.file("vmlinuz"), "kernex").unwrap();
    store.verify(&kernel).unwrap();
    assert!(matches!(store.verify_content(&kernel), Err(StoreError::WrongContent { .. })));
    fs::write(kernel.file("vmlinuz"), "ker").unwrap();
    assert!(matches!(store.verify(&kernel), Err(StoreError::WrongSize { expected: 6, found: 3, .. })));
    fs::remove_file(kernel.file("vmlinuz")).unwrap();
    let error = store.verify(&kernel).unwrap_err();
    assert!(matches!(error, StoreError::ReadFile { .. }));
    assert_eq!(
        error.hint(),
        Some(Hint::PullAgain { kind: ArtifactKind::Kernel, name: "debian-12".to_owned() })
    );
}

#[test]
fn a_sweep_removes_left_overs_and_nothing_else() {
    let (_home, store) = store();
    put(&store, "debian-12");
    fs::create_dir_all(store.directory().join(".debian-12.0123456789ab.staging/tree")).unwrap();
    store.sweep().unwrap();
    let names: Vec<_> = store.entries().unwrap();
    assert_eq!(names, [OsStr::new("debian-12").into()]);
}

#[test]
fn every_format_of_a_kernel_manifest_stays_readable() {
    let read = |text: &str| {
        let manifest: KernelManifest = serde_json::from_str(text).unwrap();
        assert_eq!(String::from_utf8(manifest_bytes(&manifest).unwrap()).unwrap(), text);
        Artifact { directory: PathBuf::from("/k"), manifest }
    };
    let first = read(include_str!("../../testdata/kernel-manifest-1.json"));
    assert_eq!(first.manifest.version, "6.1.0-56-cloud-amd64");
    assert!(first.manifest.has_pvh_entry);
    let second = read(include_str!("../../testdata/kernel-manifest-2.json"));
    assert_eq!(second.manifest.distro, "alpine");
    assert!(!second.manifest.has_pvh_entry);
    assert_eq!(second.modules_drive(), None);
    assert_eq!(second.vmlinuz(), Some("/k/vmlinuz".into()));
}
