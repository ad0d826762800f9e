//! What a root cannot have of its layers, for the one line that tells of it.

use std::collections::BTreeMap;

use banger_ext4::EntryFault;

use super::text::plain;

const PATH_CHARACTERS_MAX: usize = 100;

/// Why something of a layer is not in the root as the layer has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    /// A guest's devices are its kernel's.
    Device,
    /// It would be the same in every VM of the image.
    HostKey,
    /// Its target is not in the root, or is a directory.
    HardLink,
    /// Its target has as many names as ext4 allows for one file.
    LinkCount,
    /// Longer than Linux has it.
    Name,
    /// Empty, or longer than Linux has it.
    SymlinkTarget,
    /// Behind symbolic links that lead in a circle.
    Circle,
    /// It would hide what cannot be named.
    Whiteout,
    /// The root is a directory.
    Root,
    /// More than ext4 has.
    Size,
    /// A kind of entry that nobody knows; taken as a file.
    UnknownKind,
    /// Attributes and access control lists.
    Attributes,
    /// No number of Linux; taken as nobody.
    Owner,
}

impl Why {
    /// Names what it is about, for one of it and for several.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Device => ("device", "devices"),
            Self::HostKey => ("ssh host key", "ssh host keys"),
            Self::HardLink => ("hard link without a usable target", "hard links without usable targets"),
            Self::LinkCount => (
                "hard link beyond the 65,000 names that ext4 allows for a file",
                "hard links beyond the 65,000 names that ext4 allows for a file",
            ),
            Self::Name => {
                ("name that is too long or has a NUL byte", "names that are too long or have a NUL byte")
            }
            Self::SymlinkTarget => {
                ("symbolic link without a usable target", "symbolic links without usable targets")
            }
            Self::Circle => ("entry behind a circle of links", "entries behind circles of links"),
            Self::Whiteout => ("whiteout without a name", "whiteouts without names"),
            Self::Root => ("entry in place of the root", "entries in place of the root"),
            Self::Size => ("file that is too large for ext4", "files that are too large for ext4"),
            Self::Attributes => {
                ("extended attribute or access control list", "extended attributes or access control lists")
            }
            Self::UnknownKind => ("entry of an unknown kind as a file", "entries of unknown kinds as files"),
            Self::Owner => {
                ("entry without a valid owner as nobody's", "entries without valid owners as nobody's")
            }
        }
    }

    /// Tells whether the entry is there, though not as it was meant.
    fn is_kept(self) -> bool {
        matches!(self, Self::UnknownKind | Self::Owner)
    }

    fn of(fault: EntryFault) -> Self {
        match fault {
            EntryFault::Circle => Self::Circle,
            EntryFault::Name => Self::Name,
            EntryFault::HardLink => Self::HardLink,
            EntryFault::LinkCount => Self::LinkCount,
            EntryFault::SymlinkTarget => Self::SymlinkTarget,
            EntryFault::Device => Self::Device,
            EntryFault::Size => Self::Size,
            EntryFault::Attributes => Self::Attributes,
            EntryFault::Kind => Self::UnknownKind,
        }
    }
}

/// Counts, each with the first path of its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftOut(BTreeMap<Why, (usize, String)>);

impl LeftOut {
    /// Takes note of so many of a kind at a path.
    pub(crate) fn note(&mut self, why: Why, path: &[u8], count: usize) {
        if count > 0 {
            let first = || (0, plain(&String::from_utf8_lossy(path), PATH_CHARACTERS_MAX));
            self.0.entry(why).or_insert_with(first).0 += count;
        }
    }

    /// Takes note of an entry that could not be added.
    pub(crate) fn note_fault(&mut self, fault: EntryFault, path: &[u8]) {
        self.note(Why::of(fault), path, 1);
    }

    /// Returns one sentence, where there is anything to tell.
    pub(crate) fn sentence(&self) -> Option<String> {
        let list = |is_kept: bool| {
            let of_kind = self.0.iter().filter(|(why, _)| why.is_kept() == is_kept);
            let texts = of_kind.map(|(why, (count, first))| {
                let (one, several) = why.names();
                let example = if *count == 1 { "" } else { "for example " };
                format!("{count} {} ({example}`{first}`)", if *count == 1 { one } else { several })
            });
            texts.collect::<Vec<_>>().join(", ")
        };
        match (list(false).as_str(), list(true).as_str()) {
            ("", "") => None,
            (left_out, "") => Some(format!("left out of the image: {left_out}")),
            ("", kept) => Some(format!("kept in the image: {kept}")),
            (left_out, kept) => Some(format!("left out of the image: {left_out}; kept: {kept}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sentence_tells_of_everything_with_an_example_each() {
        let mut left_out = LeftOut::default();
        assert_eq!(left_out.sentence(), None);
        left_out.note(Why::Owner, b"srv/x", 1);
        assert_eq!(
            left_out.sentence().unwrap(),
            "kept in the image: 1 entry without a valid owner as nobody's (`srv/x`)"
        );
        left_out.note(Why::Attributes, b"var/log", 0);
        left_out.note(Why::Device, b"chroot/dev/null\x1b[2J", 1);
        left_out.note(Why::HardLink, b"a", 1);
        left_out.note(Why::HardLink, b"b", 1);
        insta::assert_snapshot!(
            left_out.sentence().unwrap(),
            @"left out of the image: 1 device (`chroot/dev/null [2J`), 2 hard links without usable targets (for example `a`); kept: 1 entry without a valid owner as nobody's (`srv/x`)"
        );
    }
}
