//! Inodes (kernel `ext4/inodes.rst`, "Index Nodes").

use crate::disk::bytes::{Record, high16, high32, low16, low32};
use crate::disk::checksum::Checksum;
use crate::disk::geometry::INODE_SIZE;
use crate::write::attributes::Attributes;

/// Bytes of the inode beyond the first 128 that contain fields; extended attributes follow them.
pub(crate) const EXTRA_SIZE: u16 = 32;
pub(crate) const XATTR_OFFSET: usize = 128 + EXTRA_SIZE as usize;

const SECTORS_PER_BLOCK: u64 = 8;
const CHECKSUM_LOW: usize = 0x7c;
const CHECKSUM_HIGH: usize = 0x82;
/// Seconds have 34 bits and count from the earliest 32-bit time.
const SECONDS_MIN: i64 = -(1 << 31);
const SECONDS_MAX: i64 = SECONDS_MIN + (1 << 34) - 1;

/// The file type in an inode's mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileType {
    Fifo,
    CharDevice,
    Directory,
    BlockDevice,
    Regular,
    Symlink,
    Socket,
}

impl FileType {
    fn mode(self) -> u16 {
        match self {
            Self::Fifo => 0x1000,
            Self::CharDevice => 0x2000,
            Self::Directory => 0x4000,
            Self::BlockDevice => 0x6000,
            Self::Regular => 0x8000,
            Self::Symlink => 0xa000,
            Self::Socket => 0xc000,
        }
    }
}

/// One inode, without its checksum.
#[derive(Debug)]
pub(crate) struct Inode {
    pub(crate) file_type: FileType,
    pub(crate) attributes: Attributes,
    pub(crate) created_at: i64,
    pub(crate) links: u16,
    pub(crate) size: u64,
    /// Number of blocks of contents and metadata that belong only to this inode.
    pub(crate) blocks: u64,
    pub(crate) flags: u32,
    /// 60 bytes: an extent tree, block numbers, a device number, or the target of a short symbolic link.
    pub(crate) block_map: Vec<u8>,
    pub(crate) xattr_block: Option<u64>,
    pub(crate) inline_xattrs: Vec<u8>,
}

impl Inode {
    /// Encodes the inode.
    pub(crate) fn encode(&self, number: u32, seed: Checksum) -> Vec<u8> {
        let a = &self.attributes;
        let (mtime, mtime_extra) = timestamp(a.mtime, a.mtime_nanos);
        let (created, created_extra) = timestamp(self.created_at, 0);
        let sectors = self.blocks * SECTORS_PER_BLOCK;
        let xattr_block = self.xattr_block.unwrap_or(0);
        let mut r = Record::with_capacity(INODE_SIZE);
        r.u16(self.file_type.mode() | a.permissions).u16(low16(a.uid)).u32(low32(self.size));
        r.u32(mtime).u32(mtime).u32(mtime).u32(0); // access, change, modification, deletion
        r.u16(low16(a.gid)).u16(self.links).u32(low32(sectors)).u32(self.flags);
        r.at(0x28).raw(&self.block_map);
        r.at(0x68).u32(low32(xattr_block)).u32(high32(self.size));
        r.at(0x74)
            .u16(low16(high32(sectors)))
            .u16(low16(high32(xattr_block)))
            .u16(high16(a.uid))
            .u16(high16(a.gid));
        r.at(0x80).u16(EXTRA_SIZE);
        r.at(0x84).u32(mtime_extra).u32(mtime_extra).u32(mtime_extra); // change, modification, access
        r.u32(created).u32(created_extra);
        r.at(XATTR_OFFSET).raw(&self.inline_xattrs);
        r.at(INODE_SIZE);
        let checksum = seed.of_inode(number).with(r.as_slice()).value();
        r.patch_u16(CHECKSUM_LOW, low16(checksum));
        r.patch_u16(CHECKSUM_HIGH, high16(checksum));
        r.into_bytes()
    }
}

/// Encodes a device number in the 60 bytes of the block map.
pub(crate) fn device_map(major: u32, minor: u32) -> Vec<u8> {
    let mut record = Record::with_capacity(60);
    if major < 256 && minor < 256 {
        record.u32(major << 8 | minor);
    } else {
        record.u32(0).u32((minor & 0xff) | major << 8 | (minor & !0xff) << 12);
    }
    record.at(60);
    record.into_bytes()
}

/// Returns the seconds in the form of the first 128 bytes, and the field with two more bits and the nanoseconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the seconds are split into 32 and 2 bits"
)]
fn timestamp(seconds: i64, nanos: u32) -> (u32, u32) {
    let seconds = seconds.clamp(SECONDS_MIN, SECONDS_MAX);
    let low = seconds as i32;
    let epoch = ((seconds - i64::from(low)) >> 32) as u32;
    (low as u32, nanos << 2 | epoch & 3)
}
