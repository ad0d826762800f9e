//! All kinds of entries with all their properties.

use std::io::Read;

use banger_ext4::{EntryKind, Ext4Writer, FormatError, Metadata};

use crate::support::{CREATED_AT, Disk, Fill, GIB, MIB, metadata, options};

#[test]
fn files_keep_content_owner_mode_and_time() {
    let given = Metadata {
        mode: 0o4751,
        uid: 70_000,
        gid: 4_000_000_000,
        mtime: 5_000_000_000,
        mtime_nanos: 123_456_789,
        xattrs: Vec::new(),
    };
    let disk = Disk::made(options(64 * MIB), |writer| {
        writer.entry("dir/file", &given, EntryKind::File { size: 5, content: &mut &b"hello"[..] });
    });
    disk.assert_clean();
    let view = disk.view();
    let read = view.metadata("/dir/file").expect("metadata");
    assert_eq!(
        (read.mode() & 0o7777, read.uid(), read.gid(), read.len()),
        (0o4751, 70_000, 4_000_000_000, 5)
    );
    assert_eq!(view.read("/dir/file").expect("content"), b"hello");
    let stat = disk.debugfs("stat /dir/file");
    // 5000000000 is 0x12a05f200: one epoch later, with the nanoseconds above the two epoch bits.
    assert!(stat.contains("mtime: 0x2a05f200:1d6f3455"), "{stat}");
    let parent = view.metadata("/dir").expect("metadata");
    assert_eq!((parent.mode() & 0o7777, parent.uid(), parent.gid()), (0o755, 0, 0));
}

#[test]
fn times_before_1970_and_after_2038_are_kept() {
    let disk = Disk::made(options(64 * MIB), |writer| {
        for mtime in [-2_000_000_000, -1, 0, 2_147_483_648, 4_294_967_296, 15_000_000_000] {
            let given = Metadata { mtime, mode: 0o600, ..Metadata::default() };
            writer.entry(format!("{mtime}"), &given, EntryKind::Fifo);
        }
    });
    disk.assert_clean();
    let stat = disk.debugfs("stat /-1");
    assert!(stat.contains("1969"), "{stat}");
    let stat = disk.debugfs("stat /15000000000");
    assert!(stat.contains("2445"), "{stat}");
}

#[test]
fn names_of_any_bytes_are_kept() {
    let names: [&[u8]; 6] =
        [b"with space", b"quote\"'", b"line\nbreak", b"\xff\xfe", b"back\\slash", &[b'n'; 255]];
    let disk = Disk::made(options(64 * MIB), |writer| {
        for name in names {
            writer.file(name, name);
        }
    });
    disk.assert_clean();
    for name in names {
        let path = [b"/", name].concat();
        assert_eq!(disk.view().read(ext4_view::Path::new(&path)).expect("reads"), name);
    }
}

#[test]
fn symlinks_short_and_long_are_kept() {
    let target = |length: usize| -> Vec<u8> { b"name/".iter().copied().cycle().take(length).collect() };
    let disk = Disk::made(options(64 * MIB), |writer| {
        for length in [1, 58, 59, 60, 61, 4000, 4095] {
            writer.entry(format!("{length}"), &metadata(0), EntryKind::Symlink(&target(length)));
        }
    });
    disk.assert_clean();
    for length in [1, 58, 59, 60, 61, 4000, 4095] {
        let read = disk.view().read_link(format!("/{length}").as_str()).expect("a link");
        assert_eq!(read.as_ref(), target(length));
    }
}

#[test]
fn hard_links_share_an_inode() {
    let disk = Disk::made(options(64 * MIB), |writer| {
        writer.file("first", "content");
        writer.entry("dir/second", &metadata(0), EntryKind::HardLink(b"./first"));
        writer.entry("third", &metadata(0), EntryKind::HardLink(b"/dir/second"));
        writer.entry("third", &metadata(0), EntryKind::HardLink(b"first"));
    });
    disk.assert_clean();
    let stat = disk.debugfs("stat /third");
    assert!(stat.contains("Links: 3 ") && stat.contains("Inode: 12 "), "{stat}");
    assert_eq!(disk.view().read("/dir/second").expect("reads"), b"content");
}

#[test]
fn replaced_files_leave_no_trace() {
    let disk = Disk::made(options(64 * MIB), |writer| {
        writer.file("file", vec![1; 100_000]);
        writer.entry("link", &metadata(0), EntryKind::HardLink(b"file"));
        writer.file("file", "new");
        writer.file("gone", vec![2; 300_000]);
        writer.entry("gone", &metadata(0), EntryKind::Symlink(b"elsewhere"));
        writer.file("again", vec![3; 10]);
        writer.file("again", vec![4; 10]);
    });
    disk.assert_clean();
    let view = disk.view();
    assert_eq!(view.read("/file").expect("reads"), b"new");
    assert_eq!(view.read("/link").expect("reads"), vec![1; 100_000]);
    assert_eq!(view.read("/again").expect("reads"), vec![4; 10]);
    assert_eq!(view.read_link("/gone").expect("a link").as_ref(), b"elsewhere");
}

#[test]
fn devices_pipes_and_sockets_are_kept() {
    let disk = Disk::made(options(64 * MIB), |writer| {
        writer.entry("null", &metadata(0o666), EntryKind::CharDevice { major: 1, minor: 3 });
        writer.entry("nvme", &metadata(0o660), EntryKind::BlockDevice { major: 259, minor: 1_000_000 });
        writer.entry("pipe", &metadata(0o600), EntryKind::Fifo);
        writer.entry("socket", &metadata(0o600), EntryKind::Socket);
    });
    disk.assert_clean();
    assert!(disk.debugfs("stat /null").contains("Device major/minor number: 01:03"));
    assert!(disk.debugfs("stat /nvme").contains("Device major/minor number: 259:1000000"));
    assert!(disk.debugfs("stat /pipe").contains("Type: FIFO"));
    assert!(disk.debugfs("stat /socket").contains("Type: socket"));
}

#[test]
fn zeros_become_holes_in_files_larger_than_4_gib() {
    let size = 5 * GIB + 100;
    let disk = Disk::made(options(64 * GIB), |writer| {
        let start = std::io::repeat(0).take(5 * GIB - 10);
        let mut content = start.chain(&b"the end is here"[..]).chain(std::io::repeat(0).take(95));
        writer.entry("sparse", &metadata(0o600), EntryKind::File { size, content: &mut content });
    });
    disk.assert_clean();
    assert!(disk.allocated_bytes() < 4 * MIB);
    let view = disk.view();
    assert_eq!(view.metadata("/sparse").expect("metadata").len(), size);
    let mut file = view.open("/sparse").expect("opens");
    let mut bytes = [0; 30];
    file.seek_to(5 * GIB - 20).expect("seeks");
    let mut read = 0;
    while read < bytes.len() {
        read += file.read_bytes(&mut bytes[read..]).expect("reads");
    }
    assert_eq!(&bytes, b"\0\0\0\0\0\0\0\0\0\0the end is here\0\0\0\0\0");
}

#[test]
fn files_in_thousands_of_pieces_have_deep_extent_trees() {
    let mut content = vec![0; 4096 * 6000];
    for (number, block) in content.chunks_mut(8192).enumerate() {
        block[100] = u8::try_from(number % 255).expect("small") + 1;
    }
    let disk = Disk::made(options(64 * MIB), |writer| writer.file("pieces", &content));
    disk.assert_clean();
    assert!(disk.view().read("/pieces").expect("reads") == content);
    assert!(disk.debugfs("dump_extents /pieces").contains("1/ 2"), "two levels");
}

#[test]
fn xattrs_are_kept_in_the_inode_or_in_a_block() {
    let pair = |name: &str, value: &[u8]| (name.as_bytes().to_vec(), value.to_vec());
    let capability = b"\x01\0\0\x02\x0a\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let with = |xattrs| Metadata { xattrs, ..metadata(0o755) };
    let disk = Disk::made(options(64 * MIB), |writer| {
        let small = with(vec![pair("security.capability", capability)]);
        writer.entry("small", &small, EntryKind::File { size: 0, content: &mut &[][..] });
        let large = with(vec![
            pair("user.large", &[b'L'; 3000]),
            pair("user.empty", b""),
            pair("trusted.overlay.opaque", b"y"),
            pair("security.selinux", b"system_u:object_r:etc_t:s0\0"),
            pair("user.a", b"1"),
        ]);
        writer.entry("large", &large, EntryKind::Directory);
        writer.entry("link", &with(vec![pair("trusted.t", b"v")]), EntryKind::Symlink(b"x"));
    });
    disk.assert_clean();
    assert!(disk.debugfs("ea_list /small").contains("security.capability (20) = 01 00 00 02 0a"));
    let listed = disk.debugfs("ea_list /large");
    for expected in
        ["user.large (3000)", "user.empty (0)", "trusted.overlay.opaque (1) = \"y\"", "user.a (1) = \"1\""]
    {
        assert!(listed.contains(expected), "{expected} in {listed}");
    }
    assert!(disk.debugfs("ea_get /link trusted.t").contains('v'));
}

#[test]
fn access_control_lists_are_converted_to_the_form_on_disk() {
    let list: Vec<u8> = [
        &2_u32.to_le_bytes()[..],
        b"\x01\0\x06\0\xff\xff\xff\xff",
        b"\x02\0\x04\0\xe8\x03\0\0",
        b"\x04\0\x04\0\xff\xff\xff\xff",
        b"\x10\0\x04\0\xff\xff\xff\xff",
        b"\x20\0\x04\0\xff\xff\xff\xff",
    ]
    .concat();
    let xattrs = vec![(b"system.posix_acl_access".to_vec(), list)];
    let disk = Disk::made(options(64 * MIB), |writer| {
        writer.entry("file", &Metadata { xattrs, ..metadata(0o644) }, EntryKind::Fifo);
    });
    disk.assert_clean();
    // Version 1, and 4 bytes for each entry, but 8 for the one with an ID.
    let listed = disk.debugfs("ea_list /file");
    assert!(
        listed.contains("system.posix_acl_access (28) = 01 00 00 00 01 00 06 00 02 00 04 00 e8 03 00 00"),
        "{listed}"
    );
}

#[test]
fn refused_entries_change_nothing() {
    let disk = Disk::made(options(64 * MIB), |writer| {
        writer.file("dir/file", "x");
        let refused = |writer: &mut Ext4Writer, path: &str, kind: EntryKind<'_>| {
            writer.add(path.as_bytes(), &metadata(0o755), kind).expect_err("refused")
        };
        let error = refused(writer, "dir/../../etc", EntryKind::Fifo);
        assert!(matches!(error, FormatError::PathEscapes { .. }), "{error:?}");
        let error = refused(writer, "dir", EntryKind::Fifo);
        assert!(matches!(error, FormatError::ReplaceDirectory { .. }), "{error:?}");
        let error = refused(writer, "dir/file", EntryKind::Directory);
        assert!(matches!(error, FormatError::ReplaceByDirectory { .. }), "{error:?}");
        let error = refused(writer, "dir/file/below", EntryKind::Fifo);
        assert!(matches!(error, FormatError::ParentNotDirectory { .. }), "{error:?}");
        let error = refused(writer, "link", EntryKind::HardLink(b"missing"));
        assert!(matches!(error, FormatError::LinkTargetMissing { .. }), "{error:?}");
        let error = refused(writer, "link", EntryKind::HardLink(b"dir"));
        assert!(matches!(error, FormatError::LinkTargetIsDirectory { .. }), "{error:?}");
        let error = refused(writer, "short", EntryKind::File { size: 10_000, content: &mut &[1; 9999][..] });
        assert!(matches!(error, FormatError::ContentEndsEarly { size: 10_000, .. }), "{error:?}");
        let error = refused(writer, &"n".repeat(256), EntryKind::Fifo);
        assert!(matches!(error, FormatError::NameTooLong { .. }), "{error:?}");
        let error = refused(writer, "link", EntryKind::Symlink(b""));
        assert!(matches!(error, FormatError::BadSymlinkTarget { .. }), "{error:?}");
        let error = refused(writer, "./", EntryKind::Fifo);
        assert!(matches!(error, FormatError::PathIsRoot { .. }), "{error:?}");
    });
    disk.assert_clean();
    assert!(!disk.view().exists("/short").expect("lookup"));
}

#[test]
fn the_root_takes_metadata() {
    let disk = Disk::made(options(64 * MIB), |writer| {
        let given = Metadata { mode: 0o1700, uid: 5, gid: 6, mtime: CREATED_AT, ..Metadata::default() };
        writer.entry("./", &given, EntryKind::Directory);
    });
    disk.assert_clean();
    let root = disk.view().metadata("/").expect("metadata");
    assert_eq!((root.mode() & 0o7777, root.uid(), root.gid()), (0o1700, 5, 6));
}
