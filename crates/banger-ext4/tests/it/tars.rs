//! Tar streams of all dialects.

use std::path::Path;
use std::process::Command;

use banger_ext4::{EntryFault, Ext4Writer, FormatError, Lost, TarAction, TarMember, TarSummary, TarVisitor};
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
    // It takes seconds on a busy machine; the bound only excludes times that grow with the size.
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

    /// Damaged headers get a valid checksum again, so that the damage reaches the code after that check.
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

/// Keeps everything, and records what is lost.
#[derive(Default)]
struct Tolerant {
    lost: Vec<Lost>,
    refused: Vec<(Vec<u8>, EntryFault)>,
}

impl TarVisitor for Tolerant {
    type Error = FormatError;

    fn visit(&mut self, _: &mut Ext4Writer, member: &mut TarMember) -> Result<TarAction, FormatError> {
        member.keep_storable_attributes();
        self.lost.push(member.lost);
        Ok(TarAction::Keep)
    }

    fn refused(&mut self, path: &[u8], fault: EntryFault, _: FormatError) -> Result<(), FormatError> {
        self.refused.push((path.to_vec(), fault));
        Ok(())
    }
}

fn tolerated(tar: &[u8]) -> (Disk, Tolerant) {
    let mut visitor = Tolerant::default();
    let disk = Disk::made(options(64 * MIB), |writer| {
        writer.add_tar_members(tar, &mut visitor).expect("the tar is read");
    });
    disk.assert_clean();
    (disk, visitor)
}

/// Writes a number in base 256 to a field.
fn binary(field: &mut [u8], number: i64) {
    let filling = if number < 0 { 0xff } else { 0 };
    field.fill(filling);
    let bytes = number.to_be_bytes();
    let width = field.len().min(bytes.len());
    let start = field.len() - width;
    field[start..].copy_from_slice(&bytes[bytes.len() - width..]);
    field[0] |= 0x80;
}

#[test]
fn negative_and_binary_numbers_are_read_and_what_linux_has_no_number_for_is_nobodys() {
    let owned = |name: &str, uid: i64, mtime: i64| {
        archive(|archive| {
            let mut header = header(EntryType::Regular, 1);
            binary(&mut header.as_old_mut().uid, uid);
            binary(&mut header.as_old_mut().mtime, mtime);
            binary(&mut header.as_old_mut().size, 1);
            archive.append_data(&mut header, name, &b"x"[..]).expect("appends");
        })
    };
    for (uid, expected, is_lost) in [
        (3_000_000_000, 3_000_000_000, false),
        (-2, 4_294_967_294, false),
        (-1, 65534, true),
        (4_294_967_295, 65534, true),
        (1 << 40, 65534, true),
    ] {
        let (disk, visitor) = tolerated(&owned("f", uid, 0));
        assert_eq!(disk.view().metadata("/f").expect("metadata").uid(), expected, "{uid}");
        assert_eq!(visitor.lost, [Lost { has_no_owner: is_lost, attributes: 0 }]);
    }
    for (mtime, year) in [(i64::MIN, " 1901"), (-86_400, " 1969"), (i64::MAX, " 2446")] {
        let (disk, _) = tolerated(&owned("f", 0, mtime));
        let shown = disk.debugfs("stat /f");
        assert!(shown.lines().any(|line| line.contains("mtime") && line.ends_with(year)), "{shown}");
    }
}

#[test]
fn an_archive_may_end_without_what_fills_its_last_blocks() {
    let whole = archive(|archive| file(archive, "file", b"content"));
    let member = 512 + 7;
    for length in [member, member + 1, 1024, 1024 + 5, 1024 + 512, whole.len()] {
        let (disk, _) = tolerated(&whole[..length]);
        assert_eq!(disk.view().read("/file").expect("reads"), b"content", "{length}");
    }
    let followed = [&whole[..], b"what others add"].concat();
    assert_eq!(tolerated(&followed).0.view().read("/file").expect("reads"), b"content");
}

#[test]
fn a_pax_record_without_a_value_leaves_the_header_to_count() {
    for key in ["path", "linkpath", "size", "mtime", "uid", "gid", "SCHILY.acl.access", "GNU.sparse.map"] {
        let tar = archive(|archive| {
            archive.append_pax_extensions([(key, &b""[..])]).expect("appends");
            file(archive, "file", b"content");
        });
        let (disk, _) = tolerated(&tar);
        assert_eq!(disk.view().read("/file").expect("reads"), b"content", "{key}");
        assert_eq!(disk.view().metadata("/file").expect("metadata").uid(), 1000, "{key}");
    }
}

#[test]
fn a_list_with_names_is_lost_and_one_of_the_kernels_bytes_is_kept() {
    let names = b"user::rwx,group::r-x,group:adm:r-x,mask::r-x,other::r-x";
    let bytes =
        b"\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff\x04\0\x05\0\xff\xff\xff\xff\x20\0\x05\0\xff\xff\xff\xff";
    for (list, lost) in [(&names[..], 2), (bytes, 0)] {
        let tar = archive(|archive| {
            let records = [("SCHILY.acl.access", list), ("SCHILY.acl.default", list)];
            archive.append_pax_extensions(records).expect("appends");
            raw_name(archive, b"log/", EntryType::Directory);
        });
        let (disk, visitor) = tolerated(&tar);
        assert_eq!(visitor.lost, [Lost { has_no_owner: false, attributes: lost }]);
        assert_eq!(disk.debugfs("ea_list /log").contains("posix_acl_default"), lost == 0);
    }
}

#[test]
fn attributes_that_have_no_room_are_lost_and_those_of_the_kernel_come_first() {
    let records: Vec<_> =
        (0..40).map(|number| (format!("SCHILY.xattr.user.a{number:02}"), vec![b'v'; 200])).collect();
    let capability = (String::from("SCHILY.xattr.security.capability"), vec![1; 20]);
    let tar = archive(|archive| {
        let all = records.iter().chain([&capability]).map(|(key, value)| (key.as_str(), value.as_slice()));
        archive.append_pax_extensions(all).expect("appends");
        file(archive, "file", b"");
    });
    let (disk, visitor) = tolerated(&tar);
    let shown = disk.debugfs("ea_list /file");
    let kept = shown.matches("user.a").count();
    assert!(shown.contains("security.capability") && kept > 10, "{shown}");
    assert_eq!(visitor.lost, [Lost { has_no_owner: false, attributes: 40 - kept }]);
}

#[test]
fn names_of_a_file_beyond_those_that_ext4_allows_have_a_reason_of_their_own() {
    const LINKS_MAX: u32 = 65_000;
    let tar = archive(|archive| {
        file(archive, "file", b"content");
        for number in 0..LINKS_MAX {
            link(archive, EntryType::Link, &format!("link-{number}"), "file");
        }
    });
    let (_, visitor) = tolerated(&tar);
    let last = format!("link-{}", LINKS_MAX - 1).into_bytes();
    assert_eq!(visitor.refused, [(last, EntryFault::LinkCount)]);
}

#[test]
fn what_cannot_be_added_alone_is_told_with_its_path_and_the_rest_is_there() {
    let tar = archive(|archive| {
        link(archive, EntryType::Link, "hard", "missing");
        raw_name(archive, b"empty", EntryType::Symlink);
        file(archive, &"n".repeat(256), b"skipped with its bytes");
        file(archive, "after", b"content");
    });
    let (disk, visitor) = tolerated(&tar);
    assert_eq!(disk.view().read("/after").expect("reads"), b"content");
    let faults: Vec<_> = visitor.refused.iter().map(|(_, fault)| *fault).collect();
    assert_eq!(faults, [EntryFault::HardLink, EntryFault::SymlinkTarget, EntryFault::Name]);
    assert_eq!(visitor.refused[0].0, b"hard");
}

#[test]
fn a_sparse_file_of_old_gnu_tar_may_have_binary_offsets() {
    const HOLE: i64 = 9 << 30;
    let tar = archive(|archive| {
        let mut header = header(EntryType::GNUSparse, 512);
        header.set_path("far").expect("a path");
        let gnu = header.as_gnu_mut().expect("a GNU header");
        binary(&mut gnu.sparse[0].offset, HOLE);
        gnu.sparse[0].numbytes.copy_from_slice(b"00000001000\0");
        binary(&mut gnu.realsize, HOLE + 512);
        header.set_cksum();
        archive.append(&header, &[b'd'; 512][..]).expect("appends");
    });
    let (disk, _) = tolerated(&tar);
    assert_eq!(disk.view().metadata("/far").expect("metadata").len(), (9 << 30) + 512);
    let mut far = disk.view().open("/far").expect("opens");
    far.seek_to(9 << 30).expect("seeks");
    let mut byte = [0];
    far.read_bytes(&mut byte).expect("reads");
    assert_eq!(&byte, b"d");
}

#[test]
fn the_extended_header_of_solaris_counts() {
    let tar = archive(|archive| {
        let records = b"13 path=long\n";
        let mut extended = header(EntryType::new(b'X'), records.len() as u64);
        archive.append_data(&mut extended, "PaxHeader", &records[..]).expect("appends");
        file(archive, "short", b"content");
    });
    assert_eq!(tolerated(&tar).0.view().read("/long").expect("reads"), b"content");
}
