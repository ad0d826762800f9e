//! Copies and changes: unchanged entries stay as they were, changed ones are as requested, and `e2fsck` finds no error.

use std::collections::BTreeMap;

use banger_ext4::{EntryBody, EntryKind, Ext4Edit, Ext4Reader, Ext4Writer, Metadata};
use proptest::prelude::*;

use crate::random_trees::{Tree, add, read_entries, root};
use crate::support::{CREATED_AT, Disk, Fill, MIB, metadata, options};

/// The entries of a tree by path, without inode numbers; names of one file have its first name instead.
fn shape(disk: &Disk) -> BTreeMap<Vec<u8>, (Metadata, EntryBody, Vec<u8>)> {
    let reader = Ext4Reader::open(&disk.path).expect("opens");
    let mut firsts: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    let tree = reader.tree(b"").expect("the tree is read");
    let shaped = tree.into_iter().map(|found| {
        let first = firsts.entry(found.entry.inode).or_insert_with(|| found.path.clone()).clone();
        let mut metadata = found.entry.metadata;
        metadata.xattrs.sort();
        (found.path, (metadata, found.entry.body, first))
    });
    shaped.collect()
}

fn paths_of_files(prefix: &[u8], entries: &BTreeMap<Vec<u8>, Tree>, paths: &mut Vec<Vec<u8>>) {
    for (name, tree) in entries {
        let path = [prefix, name].concat();
        match tree {
            Tree::Directory(_, entries) => paths_of_files(&[&*path, b"/"].concat(), entries, paths),
            Tree::File(..) => paths.push(path),
            Tree::Symlink(_) | Tree::Fifo(_) => {}
        }
    }
}

fn edit(disk: &Disk, copy: &Disk, change: impl FnOnce(&mut Ext4Edit<'_>)) {
    let reader = Ext4Reader::open(&disk.path).expect("opens");
    let mut edit = Ext4Edit::begin(&reader, b"", &copy.path, options(64 * MIB)).expect("begins");
    change(&mut edit);
    edit.finish().expect("finishes");
    copy.assert_clean();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_copy_of_a_random_tree_is_equal_to_it(
        entries in root(),
        links in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        xattr in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let disk = Disk::made(options(256 * MIB), |writer| {
            for (name, tree) in &entries {
                add(writer, name, tree);
            }
            let mut files = Vec::new();
            paths_of_files(b"", &entries, &mut files);
            for (number, link) in links.iter().enumerate().filter(|_| !files.is_empty()) {
                let path = format!("links/{number}");
                writer.entry(path, &metadata(0), EntryKind::HardLink(link.get::<Vec<u8>>(&files)));
            }
            let xattrs = vec![(b"user.any".to_vec(), xattr.clone())];
            writer.entry("noted", &Metadata { xattrs, ..metadata(0o700) }, EntryKind::Directory);
        });
        let copy = Disk::new();
        let reader = Ext4Reader::open(&disk.path).expect("opens");
        let mut writer = Ext4Writer::create(&copy.path, options(256 * MIB)).expect("creates");
        writer.add_tree(&reader, b"", |_, _| true).expect("copies");
        writer.finish_shrunk(0).expect("finishes");
        copy.assert_clean();
        prop_assert!(shape(&disk) == shape(&copy));
        let all = |disk: &Disk| read_entries(&disk.view(), &ext4_view::PathBuf::new("/"));
        prop_assert!(all(&disk) == all(&copy), "contents differ");
    }
}

#[test]
fn a_hole_stays_a_hole() {
    let disk = Disk::made(options(256 * MIB), |writer| {
        let mut content = vec![0_u8; 100 << 20];
        content[50 << 20] = 1;
        writer.file("sparse", &content);
    });
    let copy = Disk::new();
    edit(&disk, &copy, |_| {});
    assert!(copy.allocated_bytes() < 2 * MIB, "{} bytes", copy.allocated_bytes());
    assert!(disk.view().read("/sparse").expect("reads") == copy.view().read("/sparse").expect("reads"));
}

#[test]
fn a_directory_becomes_the_root_and_what_is_left_out_goes_with_all_below() {
    let disk = Disk::made(options(16 * MIB), |writer| {
        writer.entry("root", &metadata(0o751), EntryKind::Directory);
        writer.file("root/keep/a", "a");
        writer.file("root/drop/b", "b");
        writer.file("etc/passwd", "secret");
    });
    let copy = Disk::new();
    let reader = Ext4Reader::open(&disk.path).expect("opens");
    let mut writer = Ext4Writer::create(&copy.path, options(16 * MIB)).expect("creates");
    writer.add_tree(&reader, b"root", |path, _| path != b"drop").expect("copies");
    writer.finish().expect("finishes");
    copy.assert_clean();
    assert_eq!(shape(&copy).into_keys().collect::<Vec<_>>(), [&b"keep"[..], b"keep/a"]);
    let edited = Disk::new();
    let edit = Ext4Edit::begin(&reader, b"root", &edited.path, options(16 * MIB)).expect("begins");
    assert_eq!(edit.read_old(b"keep/a", 9).expect("reads"), Some(b"a".to_vec()));
    assert!(edit.exists(b"drop/b").expect("looks up") && !edit.exists(b"etc").expect("looks up"));
    edit.finish().expect("finishes");
    assert_eq!(u32::from(edited.view().metadata("/").expect("metadata").mode()), 0o751);
}

// B41 of the original: a root without the bit that says it is a directory cannot be mounted.
#[test]
fn the_root_keeps_its_directory_bit() {
    let disk = Disk::made(options(16 * MIB), |writer| {
        let group = Metadata { uid: 1000, gid: 1000, ..metadata(0o2777) };
        writer.entry("", &group, EntryKind::Directory);
    });
    let copy = Disk::new();
    edit(&disk, &copy, |edit| edit.ensure_root_permissions().expect("sets"));
    let stat = copy.debugfs("stat <2>");
    assert!(stat.contains("Type: directory    Mode:  0755"), "{stat}");
    assert!(stat.contains("User:     0   Group:     0"), "{stat}");
}

#[test]
fn changes_take_the_place_of_whatever_is_there() {
    let disk = Disk::made(options(64 * MIB), |writer| {
        writer.entry(".ssh", &metadata(0), EntryKind::Symlink(b"/etc"));
        writer.file("config/deep/file", vec![1; 100_000]);
        writer.entry("config/deep/again", &metadata(0), EntryKind::HardLink(b"config/deep/file"));
        writer.file("other", "other");
    });
    let copy = Disk::new();
    edit(&disk, &copy, |edit| {
        edit.make_directory(b".ssh", 0o700).expect("makes");
        edit.write(b".ssh/authorized_keys", 0o600, b"key\n").expect("writes");
        edit.write(b"config", 0o644, b"flat").expect("writes");
        edit.make_directory(b"other", 0o711).expect("makes");
        edit.make_directory(b"other", 0o755).expect("makes again");
    });
    let found: Vec<_> =
        shape(&copy).into_iter().map(|(path, (meta, body, _))| (path, meta.mode, body)).collect();
    assert_eq!(
        found,
        [
            (b".ssh".to_vec(), 0o700, EntryBody::Directory),
            (b".ssh/authorized_keys".to_vec(), 0o600, EntryBody::File { size: 4 }),
            (b"config".to_vec(), 0o644, EntryBody::File { size: 4 }),
            (b"other".to_vec(), 0o755, EntryBody::Directory),
        ]
    );
    assert_eq!(shape(&copy)[&b".ssh"[..]].0.mtime, CREATED_AT);
}

#[test]
fn what_was_removed_takes_no_room() {
    let made = |is_removed: bool| {
        let disk = Disk::new();
        let mut writer = Ext4Writer::create(&disk.path, options(64 * MIB)).expect("creates");
        for number in 0..300 {
            writer.file(format!("gone/{number}/file"), vec![1; 9000]);
        }
        writer.file("stays", "x");
        if is_removed {
            writer.remove(b"gone").expect("removes");
            writer.remove(b"gone/0").expect("is gone already");
        }
        let summary = writer.finish().expect("finishes");
        disk.assert_clean();
        summary
    };
    let (with, without) = (made(false), made(true));
    assert_eq!(with.inodes_used - without.inodes_used, 601);
    assert!(with.blocks_used - without.blocks_used >= 300 * 4, "{with:?} {without:?}");
}
