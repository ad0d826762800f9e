//! The top of a tree: the entry that a path names, so that the sender of a tree cannot choose it.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

use crate::{EntryName, Item, NameError};

/// The entries that may be at the top of a stream of items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tops {
    /// Exactly the requested entry. Used for everything that comes from a guest.
    Only(Top),
    /// Any number of entries, with names that the sender chooses. Used for a sender that may write here anyway, as the host
    /// may in its guest.
    OfSender,
}

/// The one entry that a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Top {
    /// `None` means the contents of a directory instead of the directory.
    pub(crate) name: Option<EntryName>,
    must_be_directory: bool,
    may_be_link: bool,
}

impl Top {
    /// Determines the entry that a path names: its last component. A path that ends in `.` or `..`, or is `/` alone, names
    /// the contents of a directory; a path that ends in `/` names a directory. With `follow_link` the entry is not a link.
    ///
    /// # Errors
    /// [`NameError`] if the last component is too long for a name, or contains a zero byte.
    pub fn of(path: &Path, follow_link: bool) -> Result<Self, NameError> {
        let bytes = path.as_os_str().as_bytes();
        // `Path` hides a `.` at the end.
        let ends_in_dot = bytes.rsplit(|byte| *byte == b'/').find(|part| !part.is_empty()) == Some(b".");
        let name = match path.components().next_back() {
            Some(Component::Normal(name)) if !ends_in_dot => Some(EntryName::new(name.as_bytes())?),
            _ => None,
        };
        let must_be_directory = name.is_none() || bytes.ends_with(b"/");
        Ok(Self { name, must_be_directory, may_be_link: !must_be_directory && !follow_link })
    }

    /// Tells whether an item that begins an entry at the top is the requested one.
    pub(crate) fn is(&self, item: &Item) -> bool {
        let expected = self.name.as_ref();
        match item {
            Item::Enter { name, .. } => name.as_ref() == expected,
            Item::File { name, .. } => Some(name) == expected && !self.must_be_directory,
            Item::Link { name, .. } => Some(name) == expected && self.may_be_link,
            Item::Leave
            | Item::Data { .. }
            | Item::FileEnd { .. }
            | Item::FileBroken
            | Item::Skipped(_)
            | Item::End => false,
        }
    }

    /// Returns the requested entry, as a noun.
    pub(crate) fn text(&self) -> String {
        match &self.name {
            None => "the contents of a directory".to_owned(),
            Some(name) if self.must_be_directory => {
                format!("the directory `{}`", name.as_bytes().escape_ascii())
            }
            Some(name) => format!("`{}`", name.as_bytes().escape_ascii()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_last_component_or_contents() {
        let named = |path: &str| {
            let top = Top::of(Path::new(path), false).unwrap();
            let name = top.name.map_or("-".to_owned(), |name| name.as_bytes().escape_ascii().to_string());
            (name, top.must_be_directory, top.may_be_link)
        };
        for path in ["/", ".", "..", "./", "a/.", "a/./", "a/..", "a/b/../", "//", "/."] {
            assert_eq!(named(path), ("-".into(), true, false), "{path}");
        }
        for path in ["a", "/x/a", "./a", "../a", "x//a", "x/./a"] {
            assert_eq!(named(path), ("a".into(), false, true), "{path}");
        }
        for path in ["a/", "/x/a//"] {
            assert_eq!(named(path), ("a".into(), true, false), "{path}");
        }
        assert!(!Top::of(Path::new("a"), true).unwrap().may_be_link);
        assert!(Top::of(Path::new(&"x".repeat(256)), false).is_err());
        assert!(Top::of(Path::new("a\0"), false).is_err());
    }
}
