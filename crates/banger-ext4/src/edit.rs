//! Changes a file system by writing a new one: reads come from the old one, which stays as it is, and changes go to the new
//! one. A reader that has the old one open, or opens its path before the new one is renamed over it, never sees half a
//! change.

use std::path::Path;

use crate::entry::{EntryKind, Found, Metadata};
use crate::error::FormatError;
use crate::options::FormatOptions;
use crate::read::{EntryBody, Ext4Reader, ReadError};
use crate::write::finish::FormatSummary;
use crate::write::writer::Ext4Writer;

/// A new file system that is made from an old one.
#[derive(Debug)]
pub struct Ext4Edit<'r> {
    old: &'r Ext4Reader,
    directory: Vec<u8>,
    created_at: i64,
    new: Ext4Writer,
}

impl<'r> Ext4Edit<'r> {
    /// Creates the new file system at `path`, with everything below a directory of the old one; that directory becomes the
    /// new root.
    pub fn begin(
        old: &'r Ext4Reader,
        directory: &[u8],
        path: &Path,
        options: FormatOptions,
    ) -> Result<Self, FormatError> {
        let created_at = options.created_at;
        let mut new = Ext4Writer::create(path, options)?;
        if let Some(root) = old.entry(directory)?.filter(|root| root.body == EntryBody::Directory) {
            new.add(b"", &root.metadata, EntryKind::Directory)?;
        }
        new.add_tree(old, directory, |_, _| true)?;
        Ok(Self { old, directory: directory.to_vec(), created_at, new })
    }

    /// Gives the root the owner and mode that programs expect of a home directory: root, 0755.
    pub fn ensure_root_permissions(&mut self) -> Result<(), FormatError> {
        self.new.add(b"", &self.of_root(0o755), EntryKind::Directory)
    }

    /// Makes a directory that belongs to root, with this mode, replacing any other entry with that name. An existing
    /// directory keeps its contents.
    pub fn make_directory(&mut self, path: &[u8], mode: u32) -> Result<(), FormatError> {
        if self.new.look_up(path)? != Some(Found::Directory) {
            self.new.remove(path)?;
        }
        self.new.add(path, &self.of_root(mode), EntryKind::Directory)
    }

    /// Writes a file that belongs to root, with this mode, replacing any entry with that name.
    pub fn write(&mut self, path: &[u8], mode: u32, content: &[u8]) -> Result<(), FormatError> {
        self.new.remove(path)?;
        let kind = EntryKind::File { size: content.len() as u64, content: &mut &*content };
        self.new.add(path, &self.of_root(mode), kind)
    }

    /// Tells whether the new file system has an entry with this path.
    pub fn exists(&self, path: &[u8]) -> Result<bool, FormatError> {
        Ok(self.new.look_up(path)?.is_some())
    }

    /// Returns the content of a regular file of the old file system.
    ///
    /// # Errors
    /// [`ReadError::TooLarge`] if it has more than `bytes_max`.
    pub fn read_old(&self, path: &[u8], bytes_max: u64) -> Result<Option<Vec<u8>>, ReadError> {
        self.old.read(&[&*self.directory, b"/", path].concat(), bytes_max)
    }

    /// Writes the new file system in its full size, and syncs it.
    pub fn finish(self) -> Result<FormatSummary, FormatError> {
        self.new.finish()
    }

    /// Writes the new file system with the smallest possible size, and syncs it.
    pub fn finish_shrunk(self) -> Result<FormatSummary, FormatError> {
        self.new.finish_shrunk(0)
    }

    fn of_root(&self, mode: u32) -> Metadata {
        Metadata { mode, mtime: self.created_at, ..Metadata::default() }
    }
}
