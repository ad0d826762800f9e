//! Random trees are written and read back equal.

use std::collections::BTreeMap;

use banger_ext4::{EntryKind, Ext4Writer, Metadata};
use ext4_view::{Ext4, FileType, PathBuf};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use crate::support::{Disk, GIB, MIB, options};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tree {
    Directory(u32, BTreeMap<Vec<u8>, Tree>),
    File(u32, Vec<u8>),
    Symlink(Vec<u8>),
    Fifo(u32),
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("no separator", |byte| *byte != 0 && *byte != b'/');
    prop_oneof![4 => vec(byte.clone(), 1..12), 1 => vec(byte, 200..=255)]
        .prop_filter("no dots", |name| name != b"." && name != b"..")
}

/// Runs of zeros and of other bytes, around the size of a block.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let piece =
        (prop_oneof![Just(0_u8), any::<u8>()], prop_oneof![0..10_usize, 4090..4100_usize, 0..40_000_usize]);
    vec(piece, 0..8).prop_map(|pieces| {
        pieces.into_iter().flat_map(|(byte, length)| std::iter::repeat_n(byte, length)).collect()
    })
}

fn tree() -> impl Strategy<Value = Tree> {
    let mode = 0..0o10000_u32;
    let leaf = prop_oneof![
        4 => (mode.clone(), content()).prop_map(|(mode, content)| Tree::File(mode, content)),
        1 => vec(name(), 1..12).prop_map(|names| Tree::Symlink(names.join(&b'/'))),
        1 => mode.clone().prop_map(Tree::Fifo),
    ];
    leaf.prop_recursive(4, 60, 12, move |inner| {
        (mode.clone(), btree_map(name(), inner, 0..12))
            .prop_map(|(mode, entries)| Tree::Directory(mode, entries))
    })
}

pub(crate) fn root() -> impl Strategy<Value = BTreeMap<Vec<u8>, Tree>> {
    btree_map(name(), tree(), 0..12)
}

pub(crate) fn add(writer: &mut Ext4Writer, path: &[u8], tree: &Tree) {
    let metadata =
        |mode| Metadata { mode, uid: mode * 100, gid: mode, mtime: i64::from(mode), ..Metadata::default() };
    let added = match tree {
        Tree::Directory(mode, _) => writer.add(path, &metadata(*mode), EntryKind::Directory),
        Tree::File(mode, content) => {
            let kind = EntryKind::File { size: content.len() as u64, content: &mut &**content };
            writer.add(path, &metadata(*mode), kind)
        }
        Tree::Symlink(target) => writer.add(path, &metadata(0), EntryKind::Symlink(target)),
        Tree::Fifo(mode) => writer.add(path, &metadata(*mode), EntryKind::Fifo),
    };
    added.expect("the entry is added");
    if let Tree::Directory(_, entries) = tree {
        for (name, tree) in entries {
            add(writer, &[path, b"/", name].concat(), tree);
        }
    }
}

fn read(view: &Ext4, path: &PathBuf) -> Tree {
    let metadata = view.symlink_metadata(path).expect("metadata");
    let mode = u32::from(metadata.mode()) & 0o7777;
    match metadata.file_type() {
        FileType::Directory => Tree::Directory(mode, read_entries(view, path)),
        FileType::Symlink => Tree::Symlink(view.read_link(path).expect("a link").as_ref().to_vec()),
        kind => {
            assert_eq!((metadata.uid(), metadata.gid()), (mode * 100, mode));
            if kind == FileType::Fifo {
                Tree::Fifo(mode)
            } else {
                Tree::File(mode, view.read(path).expect("content"))
            }
        }
    }
}

pub(crate) fn read_entries(view: &Ext4, path: &PathBuf) -> BTreeMap<Vec<u8>, Tree> {
    view.read_dir(path)
        .expect("a directory")
        .map(|entry| entry.expect("an entry"))
        .map(|entry| (entry.file_name().as_ref().to_vec(), entry.path()))
        .filter(|(name, _)| name != b"." && name != b"..")
        .map(|(name, path)| (name, read(view, &path)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_trees_are_read_back_equal(entries in root(), is_shrunk in any::<bool>()) {
        let disk = Disk::new();
        let size = if is_shrunk { 4 * GIB } else { 256 * MIB };
        let mut writer = Ext4Writer::create(&disk.path, options(size)).expect("creates");
        for (name, tree) in &entries {
            add(&mut writer, name, tree);
        }
        if is_shrunk { writer.finish_shrunk(0) } else { writer.finish() }.expect("finishes");
        disk.assert_clean();
        let mut read = read_entries(&disk.view(), &PathBuf::new("/"));
        read.remove(&b"lost+found"[..]);
        prop_assert!(read == entries);
    }
}
