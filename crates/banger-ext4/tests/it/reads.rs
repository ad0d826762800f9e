//! Our own reader on file systems of our writer, on those of `mke2fs`, and on damaged ones.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::Path;
use std::process::Command;

use banger_ext4::{Entry, EntryBody, EntryKind, Ext4Reader, Metadata, ReadError};
use proptest::prelude::*;

use crate::support::{CREATED_AT, Disk, Fill, MIB, metadata, options, tool};

fn tree(path: &Path) -> BTreeMap<Vec<u8>, Entry> {
    let reader = Ext4Reader::open(path).expect("the reader opens the disk");
    reader.tree(b"").expect("the tree is read").into_iter().map(|found| (found.path, found.entry)).collect()
}

#[test]
fn every_kind_of_entry_is_read_as_it_was_written() {
    let capability = [(b"security.capability".to_vec(), b"\x01\0\0\x02\n\n\n\n\0\0\0\0".to_vec())];
    let acl = b"\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff\x02\0\x04\0\xe8\x03\0\0\x04\0\x05\0\xff\xff\xff\xff\x10\0\x05\0\xff\xff\xff\xff";
    let large = (b"user.large".to_vec(), vec![9; 3000]);
    let disk = Disk::made(options(64 * MIB), |writer| {
        let owned = Metadata { uid: 70_000, gid: 80_000, mtime: -5, mtime_nanos: 7, ..metadata(0o4751) };
        let mut content = &b"content"[..];
        let with = Metadata { xattrs: capability.to_vec(), ..owned };
        writer.entry("tool", &with, EntryKind::File { size: 7, content: &mut content });
        let lists = vec![(b"system.posix_acl_access".to_vec(), acl.to_vec()), large.clone()];
        writer.entry("shared", &Metadata { xattrs: lists, ..metadata(0o750) }, EntryKind::Directory);
        writer.entry("shared/again", &metadata(0), EntryKind::HardLink(b"tool"));
        writer.entry("short", &metadata(0), EntryKind::Symlink(b"tool"));
        writer.entry("long", &metadata(0), EntryKind::Symlink(&[b'x'; 300]));
        writer.entry("null", &metadata(0o666), EntryKind::CharDevice { major: 1, minor: 3 });
        writer.entry("disk", &metadata(0o660), EntryKind::BlockDevice { major: 259, minor: 70_000 });
        writer.entry("pipe", &metadata(0o600), EntryKind::Fifo);
        writer.entry("socket", &metadata(0o600), EntryKind::Socket);
    });
    let found = tree(&disk.path);
    let body = |name: &str| found[name.as_bytes()].body.clone();
    assert_eq!(
        found[&b"tool"[..]].metadata,
        Metadata {
            mode: 0o4751,
            uid: 70_000,
            gid: 80_000,
            mtime: -5,
            mtime_nanos: 7,
            xattrs: capability.to_vec()
        }
    );
    assert_eq!(
        (found[&b"tool"[..]].inode, found[&b"tool"[..]].links),
        (found[&b"shared/again"[..]].inode, 2)
    );
    let mut xattrs = found[&b"shared"[..]].metadata.xattrs.clone();
    xattrs.sort();
    assert_eq!(xattrs, [(b"system.posix_acl_access".to_vec(), acl.to_vec()), large]);
    assert_eq!(body("tool"), EntryBody::File { size: 7 });
    assert_eq!(body("short"), EntryBody::Symlink(b"tool".to_vec()));
    assert_eq!(body("long"), EntryBody::Symlink(vec![b'x'; 300]));
    assert_eq!(body("null"), EntryBody::CharDevice { major: 1, minor: 3 });
    assert_eq!(body("disk"), EntryBody::BlockDevice { major: 259, minor: 70_000 });
    assert_eq!((body("pipe"), body("socket")), (EntryBody::Fifo, EntryBody::Socket));
}

#[test]
fn paths_lead_to_entries_and_never_through_links() {
    let disk = Disk::made(options(16 * MIB), |writer| {
        writer.file(b"etc/name with space\n\xff\"", "here");
        writer.entry("link", &metadata(0), EntryKind::Symlink(b"etc"));
    });
    let reader = Ext4Reader::open(&disk.path).expect("opens");
    let path = b"/etc/./name with space\n\xff\"";
    assert_eq!(reader.read(path, 4).expect("reads"), Some(b"here".to_vec()));
    assert!(reader.exists(b"").expect("looks up") && reader.exists(b"link").expect("looks up"));
    for missing in [&b"link/name"[..], b"etc/other", b"../etc", b"etc/name with space\n\xff\"/x"] {
        assert!(!reader.exists(missing).expect("looks up"), "{}", missing.escape_ascii());
    }
    assert_eq!(reader.read(b"etc", 9).expect("looks up"), None);
    assert!(matches!(reader.read(path, 3), Err(ReadError::TooLarge { bytes_max: 3, .. })));
    assert_eq!(reader.label(), "disk");
}

/// A directory with every kind of entry that `mke2fs -d` accepts.
fn sample(directory: &Path) {
    let write = |name: &str, content: &[u8]| std::fs::write(directory.join(name), content).expect("writes");
    write("empty", b"");
    write("small", b"small");
    write("large", &(0..3_000_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
    let sparse = std::fs::File::create(directory.join("sparse")).expect("creates");
    for at in [0, 5_000_000, 40_000_000] {
        sparse.write_all_at(b"data", at).expect("writes");
    }
    std::fs::create_dir(directory.join("many")).expect("makes a directory");
    for number in 0..400 {
        write(&format!("many/a name that makes the directory large {number}"), b"x");
    }
    symlink("small", directory.join("link")).expect("links");
    symlink("x".repeat(200), directory.join("long link")).expect("links");
    std::fs::hard_link(directory.join("small"), directory.join("other name")).expect("links");
}

#[test]
fn file_systems_of_mke2fs_are_read_as_another_reader_reads_them() {
    let source = tempfile::tempdir().expect("a directory");
    sample(source.path());
    let variants: [&[&str]; 5] = [
        &["-t", "ext4", "-b", "4096"],
        &["-t", "ext4", "-b", "1024", "-O", "metadata_csum_seed"],
        &["-t", "ext4", "-b", "2048", "-O", "^metadata_csum,^64bit,uninit_bg", "-I", "128"],
        &["-t", "ext3", "-b", "1024"],
        &["-t", "ext2", "-b", "4096", "-O", "^dir_index"],
    ];
    for variant in variants {
        let disk = Disk::new();
        let made = Command::new("/usr/sbin/mke2fs")
            .args(["-q", "-F", "-d"])
            .arg(source.path())
            .args(variant)
            .arg(&disk.path)
            .arg("120m")
            .output()
            .expect("mke2fs");
        assert!(made.status.success(), "{variant:?}: {}", String::from_utf8_lossy(&made.stderr));
        let view = disk.view();
        let reader = Ext4Reader::open(&disk.path).expect("opens");
        let found = tree(&disk.path);
        assert_eq!(found.len(), 400 + 8, "{variant:?}");
        for (path, entry) in found {
            let absolute = ext4_view::PathBuf::try_from([b"/", &*path].concat()).expect("a path");
            let theirs = view.symlink_metadata(&absolute).expect("is there");
            assert_eq!(
                (entry.metadata.mode, entry.metadata.uid, entry.metadata.mtime),
                (theirs.mode().into(), theirs.uid(), theirs.modified().seconds()),
                "{variant:?}: {}",
                path.escape_ascii()
            );
            match entry.body {
                // The other reader does not find the holes of files without extents.
                EntryBody::File { .. } => {
                    let original = source.path().join(OsStr::from_bytes(&path));
                    let content = reader.read(&path, 64 * MIB).expect("reads");
                    assert!(
                        content == Some(std::fs::read(original).expect("reads")),
                        "{}",
                        path.escape_ascii()
                    );
                }
                EntryBody::Symlink(target) => {
                    assert_eq!(target, view.read_link(&absolute).expect("a link").as_ref());
                }
                EntryBody::Directory => assert!(theirs.is_dir()),
                other => panic!("{variant:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn what_is_no_file_system_at_rest_is_refused_by_name() {
    let disk = Disk::new();
    let told = |path: &Path| Ext4Reader::open(path).expect_err("is refused").to_string();
    let shown = disk.path.display();
    assert_eq!(told(&disk.path), format!("cannot open the file system `{shown}`"));
    std::fs::write(&disk.path, [0; 4096]).expect("writes");
    assert_eq!(told(&disk.path), format!("`{shown}` is not an ext4 file system"));
    let make = |features: &str| {
        let made = tool("mke2fs", &["-q", "-F", "-t", "ext4", "-O", features], &disk.path);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    std::fs::File::options().write(true).open(&disk.path).expect("opens").set_len(64 * MIB).expect("grows");
    make("inline_data");
    assert_eq!(
        told(&disk.path),
        format!("the file system `{shown}` has the feature `inline_data`, which cannot be read")
    );
    make("has_journal");
    // The state that the kernel sets while a file system is mounted.
    let set = Command::new("/usr/sbin/debugfs")
        .args(["-w", "-R", "feature needs_recovery"])
        .arg(&disk.path)
        .output();
    assert!(set.expect("debugfs").status.success());
    assert_eq!(told(&disk.path), format!("the file system `{shown}` was not unmounted cleanly"));
    make("has_journal");
    std::fs::File::options().write(true).open(&disk.path).expect("opens").set_len(60 * MIB).expect("cuts");
    assert_eq!(told(&disk.path), format!("the file system `{shown}` is damaged: its end is missing"));
}

#[test]
fn a_directory_with_two_names_does_not_lead_round_in_circles() {
    let disk = Disk::made(options(16 * MIB), |writer| writer.file("a/b/c", "x"));
    for request in ["link a a/b/back", "link / a/b/root"] {
        let done = Command::new("/usr/sbin/debugfs").args(["-w", "-R", request]).arg(&disk.path).output();
        assert!(done.expect("debugfs").status.success());
        let error = Ext4Reader::open(&disk.path).expect("opens").tree(b"").expect_err("is refused");
        assert!(error.to_string().ends_with("is damaged: a directory has two names"), "{error}");
    }
}

#[test]
fn a_changed_byte_of_metadata_is_noticed() {
    let disk = Disk::made(options(16 * MIB), |writer| {
        for number in 0..100 {
            writer.file(format!("directory/{number}"), "x");
        }
    });
    // "Inode 22 is part of block group 0\n\tlocated at block 70, offset 0x0200"
    let told = disk.debugfs("imap directory/5");
    let words: Vec<&str> = told.split([' ', ',', '\n']).collect();
    let after = |word: &str| words[words.iter().rposition(|found| *found == word).expect("a word") + 1];
    let offset = u64::from_str_radix(after("offset").trim_start_matches("0x"), 16).expect("a number");
    let place = after("block").parse::<u64>().expect("a number") * 4096 + offset;
    let file = std::fs::File::options().write(true).open(&disk.path).expect("opens");
    file.write_all_at(&[0xff], place).expect("writes");
    let error = Ext4Reader::open(&disk.path).expect("opens").tree(b"").expect_err("is refused");
    assert!(error.to_string().ends_with("is damaged: an inode is invalid"), "{error}");
}

/// A small file system with all kinds of structures. Without checksums, damage is not detected at once and leads deeper.
fn fuzzed(has_checksums: bool) -> Vec<u8> {
    let disk = Disk::new();
    if has_checksums {
        let mut writer = banger_ext4::Ext4Writer::create(&disk.path, options(MIB * 2)).expect("creates");
        for number in 0..60 {
            writer.file(format!("directory/{number:0100}"), vec![number; 5000]);
        }
        let xattrs = vec![(b"user.note".to_vec(), vec![1; 500])];
        writer.entry("noted", &Metadata { xattrs, ..metadata(0o755) }, EntryKind::Directory);
        writer.finish().expect("finishes");
    } else {
        let source = tempfile::tempdir().expect("a directory");
        for number in 0..60 {
            std::fs::write(source.path().join(format!("{number:0100}")), vec![number; 5000]).expect("writes");
        }
        symlink("x".repeat(100), source.path().join("link")).expect("links");
        let sparse = std::fs::File::create(source.path().join("sparse")).expect("creates");
        (0..9).for_each(|at| sparse.write_all_at(b"data", at * 8192).expect("writes"));
        let made = Command::new("/usr/sbin/mke2fs")
            .args(["-q", "-F", "-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^has_journal", "-d"])
            .arg(source.path())
            .arg(&disk.path)
            .arg("1m")
            .output()
            .expect("mke2fs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    std::fs::read(&disk.path).expect("reads")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_ends_in_an_answer_and_never_in_a_panic(
        has_checksums in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
    ) {
        static SOUND: std::sync::LazyLock<[Vec<u8>; 2]> = std::sync::LazyLock::new(|| [fuzzed(false), fuzzed(true)]);
        let mut bytes = SOUND[usize::from(has_checksums)].clone();
        // Only non-zero bytes are damaged, because most of a disk is zeros and contents.
        let places: Vec<usize> = (1024..bytes.len()).filter(|place| bytes[*place] != 0).collect();
        for (place, value) in changes {
            bytes[*place.get(&places)] = value;
        }
        let disk = Disk::new();
        std::fs::write(&disk.path, &bytes).expect("writes");
        if let Ok(reader) = Ext4Reader::open(&disk.path)
            && let Ok(tree) = reader.tree(b"")
        {
            for found in tree.into_iter().take(40) {
                let _ = reader.read(&found.path, 4 * MIB);
            }
        }
        let copy = Disk::new();
        if let (Ok(reader), Ok(mut writer)) =
            (Ext4Reader::open(&disk.path), banger_ext4::Ext4Writer::create(&copy.path, options(8 * MIB)))
            && writer.add_tree(&reader, b"", |_, _| true).is_ok()
            && writer.finish().is_ok()
        {
            copy.assert_clean();
        }
    }
}

#[test]
fn times_are_read_with_their_nanoseconds() {
    let disk = Disk::made(options(16 * MIB), |writer| {
        let late = Metadata { mtime: CREATED_AT + (1 << 33), mtime_nanos: 999_999_999, ..metadata(0o600) };
        writer.entry("late", &late, EntryKind::Fifo);
    });
    let entry = &tree(&disk.path)[&b"late"[..]];
    assert_eq!((entry.metadata.mtime, entry.metadata.mtime_nanos), (CREATED_AT + (1 << 33), 999_999_999));
}

#[test]
fn a_path_is_resolved_inside_the_file_system_whatever_its_links_say() {
    let disk = Disk::made(options(64 * MIB), |writer| {
        for directory in ["var", "var/roothome", "data"] {
            writer.entry(directory, &metadata(0o755), EntryKind::Directory);
        }
        for (link, target) in [
            ("root", &b"var/roothome"[..]),
            ("home", b"/../../data/."),
            ("var/up", b"../root"),
            ("round", b"about"),
            ("about", b"/round"),
            ("nothing", b"var/nothing"),
            ("self", b"/"),
        ] {
            writer.entry(link, &metadata(0o777), EntryKind::Symlink(target));
        }
    });
    let reader = Ext4Reader::open(&disk.path).unwrap();
    for (path, found) in [
        ("root", Some("var/roothome")),
        ("/root/", Some("var/roothome")),
        ("home", Some("data")),
        ("var/up", Some("var/roothome")),
        ("self/self/var", Some("var")),
        ("self", Some("")),
        ("", Some("")),
        ("../..", Some("")),
        ("round", None),
        ("nothing", None),
        ("missing/x", None),
    ] {
        let found = found.map(|found| found.as_bytes().to_vec());
        assert_eq!(reader.resolve(path.as_bytes()).unwrap(), found, "{path}");
    }
}
