//! All entries below a directory: parents first, names in byte order.

use std::collections::HashSet;

use super::directory::for_each_name;
use super::error::ReadError;
use super::inode::{Entry, Inode, Kind};
use super::reader::Ext4Reader;

/// Maximum number of entries in a tree; no genuine tree has more.
const ENTRIES_MAX: usize = 8 << 20;
const PATH_BYTES_MAX: usize = 16 << 10;

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say what the fields are")]
pub struct TreeEntry {
    /// Path relative to the start of the walk, without a leading slash.
    pub path: Vec<u8>,
    pub entry: Entry,
}

impl Ext4Reader {
    /// Returns everything below a directory; `None` if there is no such directory. `lost+found` of the root is left out.
    pub fn tree(&self, directory: &[u8]) -> Result<Vec<TreeEntry>, ReadError> {
        let mut entries = Vec::new();
        self.walk(directory, |path, inode| {
            entries.push(TreeEntry { path: path.to_vec(), entry: self.entry_of(inode)? });
            Ok::<_, ReadError>(Descend::Yes)
        })?;
        Ok(entries)
    }

    /// Calls `visit` with every path below a directory and its inode; parents come first.
    pub(crate) fn walk<E: From<ReadError>>(
        &self,
        directory: &[u8],
        mut visit: impl FnMut(&[u8], &Inode) -> Result<Descend, E>,
    ) -> Result<(), E> {
        let Some(top) = self.find(directory)?.filter(|inode| inode.kind == Kind::Directory) else {
            return Ok(());
        };
        let mut seen = HashSet::from([top.number]);
        let mut count = 0;
        let mut waiting = self.children(&top, &[], &mut count)?;
        while let Some((path, number)) = waiting.pop() {
            if path.as_slice() == b"lost+found" && top.number == crate::disk::numbers::ROOT_INODE {
                continue;
            }
            let inode = self.inode(number)?;
            let descend = visit(&path, &inode)?;
            if inode.kind != Kind::Directory || descend == Descend::No {
                continue;
            }
            if !seen.insert(number) {
                return Err(self.volume.damaged("a directory has two names").into());
            }
            waiting.extend(self.children(&inode, &path, &mut count)?);
        }
        Ok(())
    }

    /// Returns the entries of a directory, the first name last.
    fn children(
        &self,
        directory: &Inode,
        path: &[u8],
        count: &mut usize,
    ) -> Result<Vec<(Vec<u8>, u32)>, ReadError> {
        let mut children = Vec::new();
        for_each_name(&self.volume, directory, |name, number| {
            *count += 1;
            if *count > ENTRIES_MAX || path.len() + name.len() > PATH_BYTES_MAX {
                return Err(self.volume.damaged("it has too many entries, or too deep ones"));
            }
            let path = if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() };
            children.push((path, number));
            Ok(())
        })?;
        children.sort_unstable_by(|one, other| other.cmp(one));
        Ok(children)
    }
}

/// Whether a walk goes into a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Descend {
    Yes,
    No,
}
