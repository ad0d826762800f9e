//! One block of a directory's names (kernel `ext4/directory.rst`, "Linear Directories").

use crate::disk::bytes::{Record, clamp16, disk_len};
use crate::disk::checksum::Checksum;
use crate::disk::geometry::{BLOCK_BYTES, BLOCK_SIZE};
use crate::write::inode::FileType;

/// The checksum at the end of a block is disguised as an entry without an inode.
const TAIL_SIZE: usize = 12;
const TAIL_TYPE: u8 = 0xde;
const ENTRY_HEADER: usize = 8;

/// One name in a directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DirectoryEntry<'n> {
    pub(crate) name: &'n [u8],
    pub(crate) inode: u32,
    pub(crate) file_type: FileType,
}

/// The inodes that `.` and `..` lead to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dots {
    pub(crate) own: u32,
    pub(crate) parent: u32,
}

/// Returns the minimum size of an entry in bytes.
fn entry_size(name: &[u8]) -> usize {
    ENTRY_HEADER + name.len().next_multiple_of(4)
}

/// Appends an entry that ends `size` bytes after its start.
pub(crate) fn put_entry(record: &mut Record, entry: &DirectoryEntry<'_>, size: usize) {
    let end = record.len() + entry_size(entry.name);
    record.u32(entry.inode).u16(clamp16(size));
    record.u8(u8::try_from(entry.name.len()).unwrap_or(u8::MAX)).u8(type_code(entry.file_type));
    record.raw(entry.name).at(end);
}

fn type_code(file_type: FileType) -> u8 {
    match file_type {
        FileType::Regular => 1,
        FileType::Directory => 2,
        FileType::CharDevice => 3,
        FileType::BlockDevice => 4,
        FileType::Fifo => 5,
        FileType::Socket => 6,
        FileType::Symlink => 7,
    }
}

/// A block of names that is being filled.
#[derive(Debug, Default)]
pub(crate) struct NameBlock {
    record: Record,
    last_entry: usize,
}

impl NameBlock {
    /// Adds an entry; returns false if it does not fit.
    pub(crate) fn push(&mut self, entry: DirectoryEntry<'_>) -> bool {
        let size = entry_size(entry.name);
        if self.record.len() + size > BLOCK_SIZE - TAIL_SIZE {
            return false;
        }
        self.last_entry = self.record.len();
        put_entry(&mut self.record, &entry, size);
        true
    }

    /// Extends the last entry to the end of the block and adds the checksum.
    pub(crate) fn finish(mut self, seed: Checksum) -> Vec<u8> {
        let end = BLOCK_SIZE - TAIL_SIZE;
        self.record.patch_u16(self.last_entry + 4, clamp16(end - self.last_entry));
        self.record.at(end);
        let checksum = seed.with(self.record.as_slice());
        self.record.u32(0).u16(clamp16(TAIL_SIZE)).u8(0).u8(TAIL_TYPE).u32(checksum.value());
        debug_assert_eq!(disk_len(self.record.len()), BLOCK_BYTES, "a block of names is one block");
        self.record.into_bytes()
    }
}
