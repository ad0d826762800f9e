//! Checksums of metadata (kernel `ext4/checksums.rst`): CRC32C, seeded with the file system's UUID, without the
//! usual inversions.

/// CRC32C as ext4 uses it: a plain register that each structure continues from a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checksum(u32);

impl Checksum {
    /// Returns the register before the first byte, used by the superblock.
    pub(crate) const fn start() -> Self {
        Self(u32::MAX)
    }

    /// Returns the seed of all structures except the superblock.
    pub(crate) fn of_file_system(uuid: &[u8; 16]) -> Self {
        Self::start().with(uuid)
    }

    /// Returns the register from the seed that a file system may store in place of its UUID.
    pub(crate) fn continued_from(seed: u32) -> Self {
        Self(seed)
    }

    /// Returns the seed of the structures of one inode. New inodes all have generation 0.
    pub(crate) fn of_inode(self, number: u32) -> Self {
        self.with_u32(number).with_u32(0)
    }

    pub(crate) fn with(self, bytes: &[u8]) -> Self {
        Self(!crc32c::crc32c_append(!self.0, bytes))
    }

    pub(crate) fn with_u32(self, value: u32) -> Self {
        self.with(&value.to_le_bytes())
    }

    pub(crate) fn value(self) -> u32 {
        self.0
    }
}
