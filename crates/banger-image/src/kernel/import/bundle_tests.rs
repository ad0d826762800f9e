use tar::{Builder, Header};

use super::*;
use crate::artifact::digest::sha256_hex;
use crate::formats::compression::tests::pack;

/// A bundle of everything in a directory.
pub(crate) fn bundle_of(directory: &Path) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    tar.append_dir_all(".", directory).unwrap();
    pack("zstd", &["-q", "-c"], &tar.into_inner().unwrap())
}

fn bundle(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (path, kind, content) in entries {
        let mut header = Header::new_gnu();
        // Written by hand: the builder itself refuses hostile paths.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        if kind.is_symlink() || kind.is_hard_link() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    pack("zstd", &["-q", "-c"], &builder.into_inner().unwrap())
}

fn unpack(packed: &[u8], sha256: Option<&str>) -> (tempfile::TempDir, Result<(), KernelBundleError>) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("bundle.tar.zst");
    fs::write(&path, packed).unwrap();
    let sha256 = sha256.map(|digest| digest.parse().unwrap());
    let result = unpack_bundle(&path, sha256.as_ref(), &home.path().join("target"), &Cancelled::default());
    (home, result)
}

const KERNEL: (&str, EntryType, &[u8]) = ("./vmlinux", EntryType::Regular, b"kernel");

#[test]
fn a_bundle_has_exactly_the_files_of_a_kernel() {
    let (home, result) = unpack(
        &bundle(&[
            ("./", EntryType::Directory, b""),
            KERNEL,
            ("manifest.json", EntryType::Regular, b"{}"),
            ("modules/", EntryType::Directory, b""),
            ("modules/kernel/a.ko", EntryType::Regular, b"module"),
            ("modules/build", EntryType::Symlink, b""),
        ]),
        None,
    );
    result.unwrap();
    let target = home.path().join("target");
    assert_eq!(fs::read(target.join("modules/kernel/a.ko")).unwrap(), b"module");
    assert!(fs::symlink_metadata(target.join("modules/build")).is_err());
    for (entry, kind) in [
        ("vmlinux.sig", EntryType::Regular),
        ("boot/vmlinuz", EntryType::Regular),
        ("modules", EntryType::Regular),
        ("kernel", EntryType::Directory),
    ] {
        let (_home, result) = unpack(&bundle(&[KERNEL, (entry, kind, b"")]), None);
        let error = result.unwrap_err();
        assert!(
            matches!(&error, KernelBundleError::Unexpected { entry: found } if found == entry),
            "{error}"
        );
    }
}

#[test]
fn a_hostile_bundle_is_refused_and_writes_nothing_outside() {
    for entry in ["../evil", "modules/../../evil", "/evil", "modules/../../../evil"] {
        let (home, result) = unpack(&bundle(&[(entry, EntryType::Regular, b"x")]), None);
        assert!(matches!(result, Err(KernelBundleError::Unsafe { .. })), "{entry}");
        assert!(!home.path().join("evil").exists());
    }
    for (entry, kind) in [
        ("vmlinux", EntryType::Symlink),
        ("vmlinux", EntryType::Link),
        ("modules/a.ko", EntryType::Link),
        ("modules/fifo", EntryType::Fifo),
        ("modules/null", EntryType::Char),
    ] {
        let (_home, result) = unpack(&bundle(&[(entry, kind, b"")]), None);
        assert!(matches!(result, Err(KernelBundleError::NoFile { .. })), "{entry} {kind:?}");
    }
    let (_home, result) = unpack(&bundle(&[KERNEL, ("vmlinux", EntryType::Regular, b"other")]), None);
    assert!(matches!(result, Err(KernelBundleError::Twice { .. })));
}

#[test]
fn the_digest_is_that_of_the_whole_file() {
    let packed = bundle(&[KERNEL]);
    unpack(&packed, Some(&sha256_hex(&packed))).1.unwrap();
    // What comes after the archive counts, too.
    let skipped = [&packed[..], &[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0], b"abc"].concat();
    let error = unpack(&skipped, Some(&sha256_hex(&packed))).1.unwrap_err();
    let found = sha256_hex(&skipped);
    assert_eq!(error.to_string(), format!("its sha256 is {found}, not {}", sha256_hex(&packed)));
}

#[test]
fn a_bundle_that_is_cut_or_none_is_an_error() {
    let packed = bundle(&[KERNEL, ("vmlinuz", EntryType::Regular, &[7; 5000])]);
    for length in [4, 20, packed.len() / 2, packed.len() - 1] {
        let (_home, result) = unpack(&packed[..length], None);
        assert!(
            matches!(result, Err(KernelBundleError::Read(_) | KernelBundleError::Write { .. })),
            "{length}"
        );
    }
    let more = pack("zstd", &["-q", "-c"], &vec![0; 4 << 20]);
    let (_home, result) = unpack(&[packed, more].concat(), None);
    assert!(matches!(result, Err(KernelBundleError::Trailer)));
}
