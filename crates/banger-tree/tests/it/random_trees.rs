//! Any tree arrives unchanged.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use proptest::prelude::*;

use crate::place::{Place, copy};

#[derive(Clone, Debug)]
enum Node {
    File { mode: u32, content: Vec<u8> },
    Link(Vec<u8>),
    Directory { mode: u32, children: BTreeMap<Vec<u8>, Node> },
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("not in names", |byte| *byte != 0 && *byte != b'/');
    prop::collection::vec(byte, 1..12).prop_filter("taken", |name| name != b"." && name != b"..")
}

fn node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        (0o400..=0o777_u32, prop::collection::vec(any::<u8>(), 0..200))
            .prop_map(|(mode, content)| Node::File { mode: mode | 0o400, content }),
        name().prop_map(Node::Link),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        (0..=0o777_u32, prop::collection::btree_map(name(), inner, 0..6))
            .prop_map(|(mode, children)| Node::Directory { mode: mode | 0o700, children })
    })
}

fn make(node: &Node, path: &Path) {
    match node {
        Node::File { mode, content } => {
            fs::write(path, content).unwrap();
            fs::set_permissions(path, Permissions::from_mode(*mode)).unwrap();
        }
        Node::Link(target) => symlink(std::ffi::OsStr::from_bytes(target), path).unwrap(),
        Node::Directory { mode, children } => {
            fs::create_dir(path).unwrap();
            for (name, child) in children {
                make(child, &path.join(std::ffi::OsStr::from_bytes(name)));
            }
            fs::set_permissions(path, Permissions::from_mode(*mode)).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn a_tree_comes_as_it_is(node in node()) {
        let place = Place::new();
        make(&node, &place.directory("from").join("top"));
        copy(&place.at("from/top"), &place.directory("to")).unwrap();
        prop_assert_eq!(place.list("to"), place.list("from"));
    }
}
