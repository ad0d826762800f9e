//! Copies a tree from one file system into another: owners, modes, times, extended attributes, hard links and holes.

use std::collections::HashMap;

use crate::entry::EntryKind;
use crate::error::FormatError;
use crate::read::{Descend, Entry, EntryBody, Ext4Reader, FileContent};
use crate::write::writer::Ext4Writer;

impl Ext4Writer {
    /// Adds everything below a directory of another file system for which `keep` is true. If a directory is left out, so is
    /// everything below it. If the directory does not exist, nothing is added.
    pub fn add_tree(
        &mut self,
        from: &Ext4Reader,
        directory: &[u8],
        mut keep: impl FnMut(&[u8], &Entry) -> bool,
    ) -> Result<(), FormatError> {
        // By inode: the name under which a file with several names was added first.
        let mut linked: HashMap<u32, Vec<u8>> = HashMap::new();
        from.walk(directory, |path, inode| {
            let entry = from.entry_of(inode)?;
            if !keep(path, &entry) {
                return Ok(Descend::No);
            }
            match linked.get(&entry.inode) {
                Some(first) => self.add(path, &entry.metadata, EntryKind::HardLink(first))?,
                None => self.add_copy(from, path, &entry)?,
            }
            if entry.links > 1 && entry.body != EntryBody::Directory {
                linked.entry(entry.inode).or_insert_with(|| path.to_vec());
            }
            Ok(Descend::Yes)
        })
    }

    fn add_copy(&mut self, from: &Ext4Reader, path: &[u8], entry: &Entry) -> Result<(), FormatError> {
        let kind = match &entry.body {
            EntryBody::File { size } => {
                let mut content: FileContent<'_> = from.open_file(entry.inode)?;
                return self.add_file(path, &entry.metadata, *size, &mut content);
            }
            EntryBody::Directory => EntryKind::Directory,
            EntryBody::Symlink(target) => EntryKind::Symlink(target),
            EntryBody::CharDevice { major, minor } => EntryKind::CharDevice { major: *major, minor: *minor },
            EntryBody::BlockDevice { major, minor } => {
                EntryKind::BlockDevice { major: *major, minor: *minor }
            }
            EntryBody::Fifo => EntryKind::Fifo,
            EntryBody::Socket => EntryKind::Socket,
        };
        self.add(path, &entry.metadata, kind)
    }
}
