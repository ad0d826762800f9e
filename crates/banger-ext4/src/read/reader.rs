//! The public interface for reading: entries by path, and their contents.

use std::path::Path;

use super::directory::for_each_name;
use super::error::ReadError;
use super::file::FileContent;
use super::inode::{Entry, EntryBody, Inode, Kind};
use super::volume::Volume;
use crate::disk::numbers::{FLAG_EXTENTS, ROOT_INODE};
use crate::error::FormatError;
use crate::path::{names, shown};

/// Longest target of a symbolic link.
const SYMLINK_MAX: u64 = 4096;
/// Shorter targets are in the inode itself.
const FAST_SYMLINK_END: u64 = 60;

/// A file system that is open for reading.
///
/// Paths are bytes relative to its root; symbolic links in them are not followed.
#[derive(Debug)]
pub struct Ext4Reader {
    pub(super) volume: Volume,
}

impl Ext4Reader {
    /// Opens the file system in a file.
    ///
    /// # Errors
    /// [`ReadError::NotClean`] if its journal must be replayed first.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let reader = Self { volume: Volume::open(path)? };
        let root = reader.inode(ROOT_INODE)?;
        match root.kind {
            Kind::Directory => Ok(reader),
            _ => Err(reader.volume.damaged("the root is not a directory")),
        }
    }

    /// Returns the volume label.
    #[must_use]
    pub fn label(&self) -> String {
        shown(&self.volume.superblock.label)
    }

    /// Returns the size of the file system.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.volume.superblock.blocks.saturating_mul(self.volume.superblock.block_size.into())
    }

    /// Tells whether there is an entry with this path.
    pub fn exists(&self, path: &[u8]) -> Result<bool, ReadError> {
        Ok(self.find(path)?.is_some())
    }

    /// Returns the entry with this path, if there is one.
    pub fn entry(&self, path: &[u8]) -> Result<Option<Entry>, ReadError> {
        self.find(path)?.map(|inode| self.entry_of(&inode)).transpose()
    }

    /// Returns the content of a regular file; `None` if there is no such file.
    ///
    /// # Errors
    /// [`ReadError::TooLarge`] if it has more than `bytes_max`.
    pub fn read(&self, path: &[u8], bytes_max: u64) -> Result<Option<Vec<u8>>, ReadError> {
        match self.find(path)? {
            Some(inode) if inode.kind == Kind::File => self.content(&inode, path, bytes_max).map(Some),
            Some(_) | None => Ok(None),
        }
    }

    pub(super) fn inode(&self, number: u32) -> Result<Inode, ReadError> {
        Inode::read(&self.volume, number)
    }

    pub(super) fn find(&self, path: &[u8]) -> Result<Option<Inode>, ReadError> {
        // A file with an invalid path cannot exist.
        let Ok(names) = names(path) else { return Ok(None) };
        let mut inode = self.inode(ROOT_INODE)?;
        for name in names {
            if inode.kind != Kind::Directory {
                return Ok(None);
            }
            let mut child = None;
            for_each_name(&self.volume, &inode, |found, number| {
                if found == name {
                    child = Some(number);
                }
                Ok(())
            })?;
            match child {
                Some(number) => inode = self.inode(number)?,
                None => return Ok(None),
            }
        }
        Ok(Some(inode))
    }

    pub(crate) fn open_file(&self, inode: u32) -> Result<FileContent<'_>, ReadError> {
        FileContent::open(&self.volume, &self.inode(inode)?)
    }

    pub(crate) fn entry_of(&self, inode: &Inode) -> Result<Entry, ReadError> {
        let device = || inode.device().ok_or_else(|| self.volume.damaged("a device number is invalid"));
        let body = match inode.kind {
            Kind::Directory => EntryBody::Directory,
            Kind::File => EntryBody::File { size: inode.size },
            Kind::Symlink => EntryBody::Symlink(self.target(inode)?),
            Kind::CharDevice => device().map(|(major, minor)| EntryBody::CharDevice { major, minor })?,
            Kind::BlockDevice => device().map(|(major, minor)| EntryBody::BlockDevice { major, minor })?,
            Kind::Fifo => EntryBody::Fifo,
            Kind::Socket => EntryBody::Socket,
        };
        let metadata = inode.metadata(&self.volume)?;
        Ok(Entry { inode: inode.number, links: inode.links, metadata, body })
    }

    fn target(&self, inode: &Inode) -> Result<Vec<u8>, ReadError> {
        let is_inside = inode.size < FAST_SYMLINK_END && inode.flags & FLAG_EXTENTS == 0;
        if !is_inside {
            return self.content(inode, b"a symbolic link", SYMLINK_MAX);
        }
        let length = usize::try_from(inode.size).unwrap_or(usize::MAX);
        let target = inode.block_map.get(..length).map(<[u8]>::to_vec);
        target.ok_or_else(|| self.volume.damaged("a symbolic link is invalid"))
    }

    fn content(&self, inode: &Inode, path: &[u8], bytes_max: u64) -> Result<Vec<u8>, ReadError> {
        if inode.size > bytes_max {
            let path_of_volume = self.volume.path().to_owned();
            return Err(ReadError::TooLarge { path: path_of_volume, inside: shown(path), bytes_max });
        }
        let mut bytes = vec![0; usize::try_from(inode.size).unwrap_or(0)];
        let mut file = FileContent::open(&self.volume, inode)?;
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            done += file.read_some(rest)?;
        }
        Ok(bytes)
    }
}

impl From<ReadError> for FormatError {
    fn from(source: ReadError) -> Self {
        Self::ReadSource { source }
    }
}
