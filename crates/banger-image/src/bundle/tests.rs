use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use banger_fetch::Patience;
use banger_model::Hint;
use banger_sys::files::StagedDirectory;
use minisign::KeyPair;
use proptest::prelude::*;

use super::expected::Expected;
use super::unpack::unpack_bundle;
use super::*;
use crate::artifact::digest::{FileRecord, sha256_hex};
use crate::image::{Image, ROOTFS};
use crate::limits::Allowance;
use crate::progress::Progress;
use crate::pull_rules::PullRules;
use crate::test_files::{assert_clean, key, managed_image};

fn silent() -> Progress {
    Progress::silent()
}

/// Makes a bundle of a small image; returns both.
async fn packed(home: &Path) -> (Image, PathBuf) {
    let image = managed_image(home);
    let output = home.join("dev.tar.zst");
    let bundle = pack_bundle(image.clone(), output.clone(), &silent()).await.unwrap();
    assert_eq!(bundle, PackedBundle { path: output.clone(), record: FileRecord::of_file(&output).unwrap() });
    (image, output)
}

fn wanted(location: &str) -> BundlePull {
    let name = "mine".parse().unwrap();
    BundlePull {
        location: location.parse().unwrap(),
        name,
        kernel: None,
        sha256: None,
        key: None,
        bytes_max: None,
    }
}

/// Pulls into a directory; what fails must leave nothing of it.
async fn pull(home: &Path, wanted: &BundlePull) -> Result<PathBuf, BundlePullError> {
    let place = home.join("pulled").join(wanted.name.as_str());
    fs::create_dir_all(home.join("pulled")).unwrap();
    let patience = Patience {
        idle: Duration::from_secs(5),
        first_pause: Duration::from_millis(1),
        ..Patience::default()
    };
    let images = BundleImages { key: Arc::new(key()), patience, rules: PullRules::default() };
    let staged = StagedDirectory::create(&place).unwrap();
    match images.build(wanted, |kernel| kernel.as_str() == "debian-12", staged, &silent()).await {
        Ok(staged) => staged.publish().map(|()| place).map_err(|error| panic!("{error}")),
        Err(error) => {
            assert_eq!(fs::read_dir(home.join("pulled")).unwrap().count(), 0, "something is left");
            Err(error)
        }
    }
}

fn told(error: &BundlePullError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    text
}

#[tokio::test]
async fn an_image_goes_into_a_bundle_and_comes_out_the_same() {
    let home = tempfile::tempdir().unwrap();
    let (image, bundle) = packed(home.path()).await;
    let place = pull(home.path(), &wanted(bundle.to_str().unwrap())).await.unwrap();
    let read = |path: &Path| fs::read(path).unwrap();
    assert!(read(&image.rootfs()) == read(&place.join(ROOTFS)));
    assert_clean(&place.join("work-seed.ext4"));
    let manifest: serde_json::Value = serde_json::from_slice(&read(&place.join("manifest.json"))).unwrap();
    assert_eq!((&manifest["name"], &manifest["kernel"]), (&"mine".into(), &"debian-12".into()));
    assert_eq!(manifest["source"]["managed"]["seeded_key"], key().fingerprint().as_str());
    // Nobody's key is in a bundle.
    let unpacked = Command::new("zstd").args(["-dc"]).arg(&bundle).output().unwrap().stdout;
    assert!(!unpacked.windows(20).any(|bytes| bytes == &key().line().as_bytes()[..20]));
}

#[tokio::test]
async fn a_bundle_is_an_archive_of_two_files_for_any_tool_and_equal_images_give_equal_ones() {
    let home = tempfile::tempdir().unwrap();
    let (image, bundle) = packed(home.path()).await;
    let listed = Command::new("tar").args(["--zstd", "-tf"]).arg(&bundle).output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    assert_eq!(String::from_utf8(listed.stdout).unwrap(), "manifest.json\nrootfs.ext4\n");
    let again = home.path().join("again.tar.zst");
    pack_bundle(image.clone(), again.clone(), &silent()).await.unwrap();
    assert!(fs::read(&bundle).unwrap() == fs::read(&again).unwrap());
    let error = pack_bundle(image, again.clone(), &silent()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("the file `{}` already exists", again.display()));
}

#[tokio::test]
async fn a_damaged_image_gives_no_bundle_and_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let image = managed_image(home.path());
    fs::write(image.rootfs(), "damaged").unwrap();
    let output = home.path().join("dev.tar.zst");
    let error = pack_bundle(image, output, &silent()).await.unwrap_err();
    assert_eq!(error.to_string(), "the root of the image has changed");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_bundle_must_have_the_sha256_that_is_expected() {
    let home = tempfile::tempdir().unwrap();
    let (_, bundle) = packed(home.path()).await;
    let digest = FileRecord::of_file(&bundle).unwrap().sha256;
    let right = BundlePull { sha256: Some(digest.parse().unwrap()), ..wanted(bundle.to_str().unwrap()) };
    let other = sha256_hex(b"other");
    let wrong = BundlePull { sha256: Some(other.parse().unwrap()), ..right.clone() };
    let error = pull(home.path(), &wrong).await.unwrap_err();
    let shown = bundle.display();
    assert_eq!(told(&error), format!("cannot use the bundle `{shown}`: its sha256 is {digest}, not {other}"));
    pull(home.path(), &right).await.unwrap();
}

/// Signs a file as the program does; returns the public key.
fn sign(path: &Path) -> MinisignKey {
    let KeyPair { pk, sk } = KeyPair::generate_unencrypted_keypair().unwrap();
    let signature = minisign::sign(Some(&pk), &sk, File::open(path).unwrap(), None, None).unwrap();
    fs::write(format!("{}.minisig", path.display()), signature.into_string()).unwrap();
    pk.to_base64().parse().unwrap()
}

#[tokio::test]
async fn a_signature_is_checked_against_the_key_that_is_expected() {
    let home = tempfile::tempdir().unwrap();
    let (_, bundle) = packed(home.path()).await;
    let shown = bundle.display().to_string();
    let key = sign(&bundle);
    let signed = |key: &MinisignKey| BundlePull { key: Some(key.clone()), ..wanted(&shown) };
    pull(home.path(), &signed(&key)).await.unwrap();
    fs::remove_dir_all(home.path().join("pulled")).unwrap();

    let stranger: MinisignKey =
        KeyPair::generate_unencrypted_keypair().unwrap().pk.to_base64().parse().unwrap();
    let error = told(&pull(home.path(), &signed(&stranger)).await.unwrap_err());
    assert!(
        error.starts_with(&format!("cannot use the bundle `{shown}`: it is not signed with the key")),
        "{error}"
    );

    let signature = PathBuf::from(format!("{shown}.minisig"));
    let text = fs::read_to_string(&signature).unwrap();
    fs::write(&signature, text.replace("trusted comment: ", "trusted comment: not ")).unwrap();
    let error = told(&pull(home.path(), &signed(&key)).await.unwrap_err());
    assert!(error.contains("it is not signed with the key"), "{error}");

    fs::write(&signature, "no signature").unwrap();
    let error = told(&pull(home.path(), &signed(&key)).await.unwrap_err());
    assert!(error.contains("its signature is invalid"), "{error}");
    fs::remove_file(&signature).unwrap();
    let error = told(&pull(home.path(), &signed(&key)).await.unwrap_err());
    assert!(
        error.starts_with(&format!("cannot fetch the signature of the bundle `{shown}.minisig`")),
        "{error}"
    );
}

#[test]
fn only_a_key_of_minisign_is_one() {
    let error = "RWQnokey".parse::<MinisignKey>().unwrap_err();
    let text = "`RWQnokey` is not a minisign public key; use the second line of the `.pub` file";
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn a_bundle_from_elsewhere_needs_something_that_tells_whether_it_is_right() {
    let home = tempfile::tempdir().unwrap();
    let error = pull(home.path(), &wanted("https://example.org/dev.tar.zst")).await.unwrap_err();
    assert_eq!(error.hint(), Some(Hint::ProveDownload));
}

#[tokio::test]
async fn a_kernel_that_nobody_knows_is_refused_unless_another_is_named() {
    let home = tempfile::tempdir().unwrap();
    let mut image = managed_image(home.path());
    image.manifest.kernel = "unknown".parse().unwrap();
    let bundle = home.path().join("dev.tar.zst");
    pack_bundle(image, bundle.clone(), &silent()).await.unwrap();
    let wanted = wanted(bundle.to_str().unwrap());
    let error = pull(home.path(), &wanted).await.unwrap_err();
    assert!(told(&error).contains("needs the kernel `unknown`"), "{error}");
    assert_eq!(error.hint(), Some(Hint::ChooseKernel));
    let with_another = BundlePull { kernel: Some("debian-12".parse().unwrap()), ..wanted };
    let place = pull(home.path(), &with_another).await.unwrap();
    let manifest = fs::read_to_string(place.join("manifest.json")).unwrap();
    assert!(manifest.contains("\"kernel\": \"debian-12\""), "{manifest}");
}

/// An entry of a hostile archive.
struct Member<'a>(&'a str, tar::EntryType, &'a [u8]);

fn archive(members: &[Member<'_>], after: &[u8]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for Member(path, kind, content) in members {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append(&header, *content).unwrap();
    }
    let tar = [archive.into_inner().unwrap(), after.to_vec()].concat();
    ruzstd::encoding::compress_to_vec(&*tar, ruzstd::encoding::CompressionLevel::Fastest)
}

fn manifest_of(rootfs: &[u8]) -> String {
    include_str!("../../testdata/bundle-manifest-1.json")
        .replace("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", &sha256_hex(rootfs))
        .replace("\"size\": 3", &format!("\"size\": {}", rootfs.len()))
}

#[test]
fn archives_that_are_no_bundles_are_refused_by_what_is_wrong() {
    use tar::EntryType;
    let rootfs = b"root".as_slice();
    let manifest = manifest_of(rootfs);
    let (file, manifest) = (EntryType::Regular, manifest.as_bytes());
    let ours = |path: &'static str| {
        Member(path, file, if path.ends_with("manifest.json") { manifest } else { rootfs })
    };
    let told = |members: &[Member<'_>], after: &[u8]| {
        let directory = tempfile::tempdir().unwrap();
        let packed = archive(members, after);
        match unpack_bundle(&*packed, &Expected::default(), &Allowance::endless(), directory.path()) {
            Ok(_) => "taken".to_owned(),
            Err(error) => error.to_string(),
        }
    };
    let both = || [ours("manifest.json"), ours("rootfs.ext4")];
    let with = |member| both().into_iter().chain([member]).collect::<Vec<_>>();
    let newer = String::from_utf8_lossy(manifest).replace("\"format_version\": 1", "\"format_version\": 9");
    let cases = [
        ("whole", told(&both(), &[])),
        ("the other order", told(&[ours("./rootfs.ext4"), ours("./manifest.json")], &[])),
        ("zeros after it", told(&both(), &[0; 9000])),
        ("nothing", told(&[], &[])),
        ("no manifest", told(&[ours("rootfs.ext4")], &[])),
        ("no root", told(&[ours("manifest.json")], &[])),
        ("more", told(&with(ours("more")), &[])),
        ("a directory", told(&with(Member("more/", EntryType::Directory, b"")), &[])),
        ("out of it", told(&with(ours("../manifest.json")), &[])),
        ("absolute", told(&with(ours("/etc/passwd")), &[])),
        ("twice", told(&with(ours("rootfs.ext4")), &[])),
        ("a link", told(&[ours("manifest.json"), Member("rootfs.ext4", EntryType::Symlink, b"")], &[])),
        (
            "a sparse file",
            told(&[ours("manifest.json"), Member("rootfs.ext4", EntryType::GNUSparse, b"")], &[]),
        ),
        (
            "an extended header",
            told(&[Member("rootfs.ext4", EntryType::XHeader, b""), ours("manifest.json")], &[]),
        ),
        ("another root", told(&[ours("manifest.json"), Member("rootfs.ext4", file, b"evil")], &[])),
        ("no json", told(&[Member("manifest.json", file, b"{"), ours("rootfs.ext4")], &[])),
        ("newer", told(&[Member("manifest.json", file, newer.as_bytes()), ours("rootfs.ext4")], &[])),
        ("a long trailer", told(&both(), &vec![0; 2 << 20])),
    ];
    let table: String = cases.into_iter().map(|(case, told)| format!("{case}: {told}\n")).collect();
    insta::assert_snapshot!(table, @r"
    whole: taken
    the other order: taken
    zeros after it: taken
    nothing: its entry `manifest.json` is missing
    no manifest: its entry `manifest.json` is missing
    no root: its entry `rootfs.ext4` is missing
    more: its entry `more` does not belong in an image bundle
    a directory: its entry `more/` does not belong in an image bundle
    out of it: its entry `../manifest.json` leads out of the archive
    absolute: its entry `/etc/passwd` leads out of the archive
    twice: its entry `rootfs.ext4` is duplicated
    a link: its entry `rootfs.ext4` is not a regular file
    a sparse file: its entry `rootfs.ext4` is not a regular file
    an extended header: its entry `rootfs.ext4` is not a regular file
    another root: its root file system does not match its manifest
    no json: its manifest is invalid
    newer: its manifest has format 9, but this banger supports 1
    a long trailer: there is data after the end of the archive
    ");
}

#[tokio::test]
async fn a_root_that_is_no_file_system_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let bundle = home.path().join("dev.tar.zst");
    let manifest = manifest_of(b"root");
    let members = [
        Member("manifest.json", tar::EntryType::Regular, manifest.as_bytes()),
        Member("rootfs.ext4", tar::EntryType::Regular, b"root"),
    ];
    fs::write(&bundle, archive(&members, &[])).unwrap();
    let error = told(&pull(home.path(), &wanted(bundle.to_str().unwrap())).await.unwrap_err());
    assert!(error.contains("is not an ext4 file system"), "{error}");
}

#[test]
fn zeros_of_a_root_are_holes() {
    use std::os::unix::fs::MetadataExt as _;
    let mut rootfs = vec![0; 8 << 20];
    rootfs[5 << 20] = 1;
    rootfs.push(7);
    let manifest = manifest_of(&rootfs);
    let members = [
        Member("rootfs.ext4", tar::EntryType::Regular, &rootfs),
        Member("manifest.json", tar::EntryType::Regular, manifest.as_bytes()),
    ];
    let directory = tempfile::tempdir().unwrap();
    unpack_bundle(&*archive(&members, &[]), &Expected::default(), &Allowance::endless(), directory.path())
        .unwrap();
    let path = directory.path().join(ROOTFS);
    assert!(fs::read(&path).unwrap() == rootfs);
    assert!(fs::metadata(&path).unwrap().blocks() * 512 < 1 << 20);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_change_of_a_bundle_goes_unnoticed(place in any::<prop::sample::Index>(), change in 1..=255_u8, cut in any::<bool>()) {
        let manifest = manifest_of(b"root");
        let members = [
            Member("manifest.json", tar::EntryType::Regular, manifest.as_bytes()),
            Member("rootfs.ext4", tar::EntryType::Regular, b"root"),
        ];
        let mut packed = archive(&members, &[]);
        let sha256 = Some(sha256_hex(&packed).parse().unwrap());
        let place = place.index(packed.len());
        if cut {
            packed.truncate(place);
        } else {
            packed[place] ^= change;
        }
        let directory = tempfile::tempdir().unwrap();
        let expected = Expected { sha256, signed: None };
        prop_assert!(unpack_bundle(&*packed, &expected, &Allowance::endless(), directory.path()).is_err());
    }
}

/// What a server of tests does with the n-th request.
enum Answer {
    /// Breaks off after this many bytes.
    BreakAfter(usize),
    Whole,
    Status(&'static str),
}

/// Serves a file over HTTP on this host, as told for one request after the other; returns its address, and what was
/// asked for.
fn serve(content: Vec<u8>, answers: Vec<Answer>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/dev.tar.zst", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    std::thread::spawn(move || {
        for answer in answers {
            let mut stream = listener.accept().unwrap().0;
            let request = read_request(&mut stream);
            let from = request.lines().find_map(|line| {
                let range = line.to_lowercase();
                range.strip_prefix("range: bytes=")?.trim_end_matches('-').parse::<usize>().ok()
            });
            heard.lock().unwrap().push(format!("{from:?}"));
            answer_request(&mut stream, &content, from, &answer);
        }
    });
    (address, asked)
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        request.push(byte[0]);
    }
    String::from_utf8(request).unwrap()
}

fn answer_request(stream: &mut TcpStream, content: &[u8], from: Option<usize>, answer: &Answer) {
    let start = from.unwrap_or(0);
    let body = &content[start..];
    let head = match (answer, from) {
        (Answer::Status(status), _) => format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n"),
        (_, Some(_)) => format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {start}-{}/{}\r\n",
            body.len(),
            content.len() - 1,
            content.len()
        ),
        (_, None) => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nETag: \"one\"\r\n", body.len()),
    };
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).unwrap();
    let count = match answer {
        Answer::BreakAfter(count) => *count,
        Answer::Whole => body.len(),
        Answer::Status(_) => 0,
    };
    // Who has seen enough goes away.
    let _ = stream.write_all(&body[..count]);
}

#[tokio::test]
async fn a_bundle_comes_over_http_and_a_broken_connection_is_taken_up_again() {
    let home = tempfile::tempdir().unwrap();
    let (_, bundle) = packed(home.path()).await;
    let content = fs::read(&bundle).unwrap();
    let sha256 = Some(sha256_hex(&content).parse().unwrap());
    let answers =
        vec![Answer::BreakAfter(300), Answer::BreakAfter(200), Answer::Status("503 Later"), Answer::Whole];
    let (address, asked) = serve(content, answers);
    pull(home.path(), &BundlePull { sha256, ..wanted(&address) }).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), ["None", "Some(300)", "Some(500)", "Some(500)"]);
}

#[tokio::test]
async fn what_does_not_come_is_told_with_its_host() {
    let home = tempfile::tempdir().unwrap();
    let (_, bundle) = packed(home.path()).await;
    let content = fs::read(&bundle).unwrap();
    let sha256: Option<banger_model::Sha256> = Some(sha256_hex(&content).parse().unwrap());
    let told_of = async |content: &[u8], answers| {
        let (address, _) = serve(content.to_vec(), answers);
        let error = pull(home.path(), &BundlePull { sha256: sha256.clone(), ..wanted(&address) }).await;
        told(&error.unwrap_err()).replace(&address, "URL")
    };
    let missing = told_of(&content, vec![Answer::Status("404 Not Found")]).await;
    assert_eq!(missing, "cannot fetch the bundle `URL`: `127.0.0.1` returned status 404 Not Found");
    let tries = (0..5).map(|_| Answer::BreakAfter(0)).collect();
    let broken = told_of(&content, tries).await;
    let because = "cannot use the bundle `URL`: cannot read it: the connection to `127.0.0.1` was lost";
    assert_eq!(broken, because);
    let whole_again = told_of(&content, vec![Answer::BreakAfter(300), Answer::Status("200 OK")]).await;
    assert!(whole_again.ends_with("the bundle on `127.0.0.1` changed during the download"), "{whole_again}");
    let garbage = told_of(&[1; 5000], vec![Answer::Whole]).await;
    assert!(garbage.starts_with("cannot use the bundle `URL`: cannot read it"), "{garbage}");
}
