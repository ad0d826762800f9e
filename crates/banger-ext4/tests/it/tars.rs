//! Tar streams of all dialects.

use std::path::Path;
use std::process::Command;

use banger_ext4::{Ext4Writer, FormatError, TarAction, TarSummary};
use proptest::prelude::*;
use tar::{Builder, EntryType, Header};

use crate::support::{Disk, MIB, options};

type Archive = Builder<Vec<u8>>;

fn header(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(1000);
    header.set_gid(1001);
    header.set_mtime(1_600_000_000);
    header
}

fn file(archive: &mut Archive, path: &str, content: &[u8]) {
    archive
        .append_data(&mut header(EntryType::Regular, content.len() as u64), path, content)
        .expect("appends");
}

fn link(archive: &mut Archive, kind: EntryType, path: &str, target: &str) {
    archive.append_link(&mut header(kind, 0), path, target).expect("appends");
}

/// Gives a header a name that the crate would refuse to write.
fn raw_name(archive: &mut Archive, name: &[u8], kind: EntryType) {
    let mut header = header(kind, 0);
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_cksum();
    archive.append(&header, &[][..]).expect("appends");
}

fn archive(fill: impl FnOnce(&mut Archive)) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    fill(&mut archive);
    archive.into_inner().expect("the archive is complete")
}

fn disk_of(tar: &[u8]) -> (Disk, TarSummary) {
    let mut summary = TarSummary::default();
    let disk = Disk::made(options(64 * MIB), |writer| {
        summary = writer.add_tar(tar, |_| TarAction::Keep).expect("the tar is read");
    });
    disk.assert_clean();
    (disk, summary)
}

fn refusal_of(tar: &[u8]) -> FormatError {
    let disk = Disk::new();
    let mut writer = Ext4Writer::create(&disk.path, options(64 * MIB)).expect("creates");
    writer.add_tar(tar, |_| TarAction::Keep).expect_err("the tar is refused")
}

#[test]
fn members_of_all_kinds_are_added() {
    let tar = archive(|archive| {
        raw_name(archive, b"./", EntryType::Directory);
        raw_name(archive, b"./dir/", EntryType::Directory);
        file(archive, "dir/file", b"content");
        raw_name(archive, b"/absolute", EntryType::Regular);
        raw_name(archive, b"old-directory/", EntryType::Regular);
        link(archive, EntryType::Symlink, "dir/link", "../elsewhere");
        link(archive, EntryType::Link, "dir/hard", "dir/file");
        let mut device = header(EntryType::Char, 0);
        device.set_device_major(5).expect("a GNU header");
        device.set_device_minor(1).expect("a GNU header");
        archive.append_data(&mut device, "console", &[][..]).expect("appends");
    });
    let (disk, summary) = disk_of(&tar);
    assert_eq!(summary, TarSummary { entries: 8, skipped: 0, content_bytes: 7 });
    let view = disk.view();
    assert_eq!(view.read("/dir/hard").expect("reads"), b"content");
    assert_eq!(view.read_link("/dir/link").expect("a link").as_ref(), b"../elsewhere");
    assert!(view.exists("/absolute").expect("lookup"));
    assert!(view.metadata("/old-directory").expect("metadata").is_dir());
    let metadata = view.metadata("/dir/file").expect("metadata");
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (1000, 1001, 0o644));
    assert!(disk.debugfs("stat /console").contains("Device major/minor number: 05:01"));
}

#[test]
fn long_names_of_both_dialects_are_kept() {
    let long = format!("{}/{}", "d".repeat(200), "n".repeat(200));
    let target = "t/".repeat(150);
    let tar = archive(|archive| {
        file(archive, &long, b"gnu");
        link(archive, EntryType::Symlink, "link", &target);
        let path = format!("{long}-pax");
        let records = [("path", path.as_bytes()), ("linkpath", b"unused"), ("size", b"3")];
        archive.append_pax_extensions(records).expect("appends");
        file(archive, "short", b"pax");
    });
    let (disk, _) = disk_of(&tar);
    assert_eq!(disk.view().read(format!("/{long}").as_str()).expect("reads"), b"gnu");
    assert_eq!(disk.view().read(format!("/{long}-pax").as_str()).expect("reads"), b"pax");
    assert_eq!(disk.view().read_link("/link").expect("a link").as_ref(), target.as_bytes());
}

#[test]
fn pax_records_with_newlines_keep_their_bytes() {
    let capability = b"\x01\0\0\x02\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let tar = archive(|archive| {
        archive
            .append_pax_extensions([
                ("path", &b"bin/new\nline"[..]),
                ("SCHILY.xattr.security.capability", capability),
                ("SCHILY.xattr.user.note", b"a=b\n"),
                ("mtime", b"1500000000.25"),
                ("uid", b"3000000"),
                ("SCHILY.acl.access", b"user::rw-,user:7:r--,group::r--,mask::r--,other::---"),
            ])
            .expect("appends");
        file(archive, "short", b"x");
    });
    let (disk, _) = disk_of(&tar);
    let metadata = disk.view().metadata("/bin/new\nline").expect("metadata");
    assert_eq!(metadata.uid(), 3_000_000);
    let listed = disk.debugfs("ea_list <13>");
    assert!(listed.contains("security.capability (20) = 01 00 00 02 0a"), "{listed}");
    assert!(listed.contains("user.note (4)"), "{listed}");
    assert!(listed.contains("system.posix_acl_access (28)"), "{listed}");
    assert!(disk.debugfs("stat <13>").contains(&format!(
        "mtime: 0x{:08x}:{:08x}",
        1_500_000_000,
        250_000_000_u64 << 2
    )));
}

#[test]
fn the_filter_sees_clean_paths_and_leaves_members_out() {
    let tar = archive(|archive| {
        raw_name(archive, b"./dev/", EntryType::Directory);
        file(archive, "dev/null", &[1; 10_000]);
        file(archive, "etc/hosts", b"kept");
    });
    let mut seen = Vec::new();
    let disk = Disk::made(options(64 * MIB), |writer| {
        let filter = |path: &[u8]| {
            seen.push(String::from_utf8_lossy(path).into_owned());
            if path.starts_with(b"dev/") { TarAction::Skip } else { TarAction::Keep }
        };
        let summary = writer.add_tar(&*tar, filter).expect("reads");
        assert_eq!(summary, TarSummary { entries: 2, skipped: 1, content_bytes: 4 });
    });
    assert_eq!(seen, ["dev", "dev/null", "etc/hosts"]);
    disk.assert_clean();
    assert_eq!(disk.view().read("/etc/hosts").expect("reads"), b"kept");
    assert!(!disk.view().exists("/dev/null").expect("lookup"));
}

#[test]
fn sparse_files_of_all_dialects_are_expanded() {
    let dir = tempfile::TempDir::new().expect("a temporary directory");
    let path = dir.path().join("sparse");
    let sparse = std::fs::File::create(&path).expect("creates");
    for number in 0..40 {
        std::os::unix::fs::FileExt::write_all_at(&sparse, &[b'p'; 5000], number * 100_000).expect("writes");
    }
    sparse.set_len(5_000_000).expect("grows");
    let expected = std::fs::read(&path).expect("reads");
    let dialects: [&[&str]; 4] = [
        &["--format=gnu"],
        &["--format=posix"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=0.0"],
    ];
    for dialect in dialects {
        let tar = gnu_tar(dir.path(), dialect);
        assert!(tar.len() < 1_000_000, "{dialect:?} is not sparse");
        let (disk, summary) = disk_of(&tar);
        assert_eq!(summary.content_bytes, 5_000_015, "{dialect:?}");
        assert!(disk.view().read("/sparse").expect("reads") == expected, "{dialect:?}");
        assert!(disk.view().exists("/zzz after").expect("lookup"), "{dialect:?}");
    }
}

#[test]
fn a_sparse_file_of_a_terabyte_takes_no_time() {
    let dir = tempfile::TempDir::new().expect("a temporary directory");
    let sparse = std::fs::File::create(dir.path().join("sparse")).expect("creates");
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"far away", 1_000_000_000_123).expect("writes");
    sparse.set_len(1 << 40).expect("grows");
    let start = std::time::Instant::now();
    let (disk, summary) = disk_of(&gnu_tar(dir.path(), &["--format=posix"]));
    assert_eq!(summary.content_bytes, (1 << 40) + 15);
    // Seconds on a busy machine; the bound only tells "not proportional to the size".
    assert!(start.elapsed().as_secs() < 20, "takes {:?}", start.elapsed());
    let mut file = disk.view().open("/sparse").expect("opens");
    file.seek_to(1_000_000_000_123).expect("seeks");
    let mut bytes = [0; 8];
    assert_eq!(file.read_bytes(&mut bytes).expect("reads"), 8);
    assert_eq!(&bytes, b"far away");
}

fn gnu_tar(dir: &Path, dialect: &[&str]) -> Vec<u8> {
    std::fs::write(dir.join("zzz after"), "the next member").expect("writes");
    let output = Command::new("tar")
        .args(["--create", "--sparse", "--sort=name"])
        .args(dialect)
        .args(["sparse", "zzz after"])
        .current_dir(dir)
        .output()
        .expect("GNU tar is needed for this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn paths_that_escape_are_refused() {
    for name in [&b"../etc/passwd"[..], b"a/../../b", b".."] {
        let error = refusal_of(&archive(|archive| raw_name(archive, name, EntryType::Regular)));
        assert!(matches!(error, FormatError::PathEscapes { .. }), "{error:?}");
    }
    let error = refusal_of(&archive(|archive| link(archive, EntryType::Link, "link", "../outside")));
    assert!(matches!(error, FormatError::PathEscapes { .. }), "{error:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Headers get a right checksum again, so that the damage reaches what is behind that check.
    #[test]
    fn damaged_bytes_never_panic_and_never_break_the_disk(
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let mut tar = archive(|archive| {
            archive.append_pax_extensions([("mtime", &b"5.5"[..]), ("SCHILY.xattr.user.a", b"b")]).expect("appends");
            file(archive, "dir/file", &[7; 5000]);
            link(archive, EntryType::Link, "dir/hard", "dir/file");
            file(archive, &"long/".repeat(50), b"");
        });
        for (index, byte) in damage {
            let at = index.index(tar.len());
            tar[at] = byte;
        }
        for block in tar.as_chunks_mut::<512>().0 {
            let mut header = Header::new_old();
            header.as_mut_bytes().copy_from_slice(block);
            if header.cksum().is_ok() && block[257..262] == *b"ustar" {
                header.set_cksum();
                block.copy_from_slice(header.as_bytes());
            }
        }
        let disk = Disk::made(options(64 * MIB), |writer| {
            let _may_fail = writer.add_tar(&*tar, |_| TarAction::Keep);
        });
        disk.assert_clean();
    }
}

#[test]
fn damaged_archives_are_refused() {
    let tar = archive(|archive| file(archive, "file", &[1; 3000]));
    let error = refusal_of(&tar[..1500]);
    assert!(matches!(error, FormatError::ContentEndsEarly { .. }), "{error:?}");
    let error = refusal_of(&tar[..300]);
    assert!(matches!(error, FormatError::TarDamaged { .. }), "{error:?}");
    let mut flipped = tar;
    flipped[3] ^= 1;
    let error = refusal_of(&flipped);
    assert!(matches!(error, FormatError::TarDamaged { offset: 512, .. }), "{error:?}");
}

#[test]
fn numbers_that_were_left_out_are_nought() {
    let mut header = tar::Header::new_old();
    header.set_path("file").expect("a path");
    header.set_size(0);
    header.set_cksum();
    let mut builder = tar::Builder::new(Vec::new());
    builder.append(&header, &b""[..]).expect("appends");
    let tar = builder.into_inner().expect("ends");
    let disk = Disk::made(options(64 * MIB), |writer| {
        writer.add_tar(&*tar, |_| TarAction::Keep).expect("the tar is read");
    });
    let metadata = disk.view().metadata("/file").expect("metadata");
    assert_eq!((metadata.mode() & 0o7777, metadata.uid(), metadata.gid()), (0, 0, 0));
}
