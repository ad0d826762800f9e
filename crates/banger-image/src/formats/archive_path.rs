//! Paths in archives: they stay inside.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

/// Returns an entry's path relative to the archive's root; nothing when it would leave that.
pub(crate) fn contained(entry: &[u8]) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(entry)).components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => path.push(name),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_contained_has_neither_root_nor_parent(entry in "(\\.|\\.\\.|/|a|b){0,8}") {
            let leaves = entry.starts_with('/') || entry.split('/').any(|part| part == "..");
            let path = contained(entry.as_bytes());
            prop_assert_eq!(path.is_none(), leaves);
            if let Some(path) = path {
                prop_assert!(path.components().all(|part| matches!(part, Component::Normal(_))));
            }
        }
    }
}
