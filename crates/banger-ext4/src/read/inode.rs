//! Reading of inodes (kernel `ext4/inodes.rst`).

use super::descriptor::inode_offset;
use super::error::ReadError;
use super::fields::Fields;
use super::volume::Volume;
use super::xattr;
use crate::disk::bytes::{high16, low16};
use crate::disk::checksum::Checksum;
use crate::entry::Metadata;

const FLAG_ENCRYPTED: u32 = 0x800;
const FLAG_INLINE_DATA: u32 = 0x1000_0000;

const OLD_SIZE: usize = 128;
const CHECKSUM_LOW: usize = 0x7c;
const CHECKSUM_HIGH: usize = 0x82;
/// How far the fields beyond the first 128 bytes must be in use for a field to be valid: the end of that field, less 128.
const CHECKSUM_HIGH_END: u16 = 4;
const MTIME_EXTRA_END: u16 = 12;
const BLOCK_MAP: usize = 0x28;
pub(super) const BLOCK_MAP_SIZE: usize = 60;

/// The entry that a name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say what the fields are")]
pub struct Entry {
    /// Number of the inode; equal for all names of one file.
    pub inode: u32,
    /// Number of names.
    pub links: u16,
    pub metadata: Metadata,
    pub body: EntryBody,
}

/// The kind of an entry, with its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryBody {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Length of the file in bytes.
        size: u64,
    },
    /// A symbolic link with its target.
    Symlink(Vec<u8>),
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// The file type in an inode's mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Fifo,
    CharDevice,
    Directory,
    BlockDevice,
    File,
    Symlink,
    Socket,
}

/// An inode whose checksum was verified.
#[derive(Debug, Clone)]
pub(crate) struct Inode {
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) size: u64,
    pub(super) flags: u32,
    pub(super) links: u16,
    /// 60 bytes: an extent tree, block numbers, a device number, or the target of a short symbolic link.
    pub(super) block_map: [u8; BLOCK_MAP_SIZE],
    /// Seed of the checksums of this inode's structures; absent if the file system has no checksums.
    pub(super) seed: Option<Checksum>,
    xattr_block: u64,
    /// Bytes after the fields, with the extended attributes that fit into the inode.
    inline_xattrs: Vec<u8>,
    metadata: Metadata,
}

impl Inode {
    pub(super) fn read(volume: &Volume, number: u32) -> Result<Self, ReadError> {
        let mut bytes = vec![0; volume.superblock.inode_size.into()];
        volume.read_at(inode_offset(volume, number)?, &mut bytes)?;
        let inode = Self::parse(number, &bytes, volume.superblock.seed)
            .ok_or_else(|| volume.damaged("an inode is invalid"))?;
        let feature = |feature: &str| {
            Err(ReadError::Feature { path: volume.path().to_owned(), feature: feature.to_owned() })
        };
        if inode.flags & FLAG_ENCRYPTED != 0 {
            return feature("encrypt");
        }
        if inode.flags & FLAG_INLINE_DATA != 0 {
            return feature("inline_data");
        }
        Ok(inode)
    }

    /// Returns `None` if the inode is not in use, or damaged.
    fn parse(number: u32, bytes: &[u8], seed: Option<Checksum>) -> Option<Self> {
        let fields = Fields::of(bytes);
        let is_large = bytes.len() > OLD_SIZE;
        let extra_size = if is_large { fields.u16(0x80)? } else { 0 };
        let seed = match seed {
            Some(seed) => {
                let seed = seed.with_u32(number).with_u32(fields.u32(0x64)?);
                let has_high = is_large && extra_size >= CHECKSUM_HIGH_END;
                is_intact(fields, seed, has_high)?.then_some(Some(seed))?
            }
            None => None,
        };
        let mode = fields.u16(0x0)?;
        let (mtime, mtime_nanos) =
            time(fields.u32(0x10)?, if extra_size >= MTIME_EXTRA_END { fields.u32(0x88)? } else { 0 });
        let links = Some(fields.u16(0x1a)?).filter(|links| *links > 0)?;
        let metadata = Metadata {
            mode: u32::from(mode & 0o7777),
            uid: fields.u32_of(0x2, 0x78)?,
            gid: fields.u32_of(0x18, 0x7a)?,
            mtime,
            mtime_nanos,
            xattrs: Vec::new(),
        };
        let inline_xattrs =
            if is_large { fields.from(OLD_SIZE + usize::from(extra_size))?.to_vec() } else { Vec::new() };
        Some(Self {
            number,
            kind: kind(mode)?,
            size: fields.u64_of(0x4, 0x6c)?,
            flags: fields.u32(0x20)?,
            links,
            block_map: *fields.slice(BLOCK_MAP, BLOCK_MAP_SIZE)?.first_chunk()?,
            seed,
            xattr_block: fields.u48_of(0x68, 0x76)?,
            inline_xattrs,
            metadata,
        })
    }

    /// Returns owner, permissions and time, with the extended attributes.
    pub(super) fn metadata(&self, volume: &Volume) -> Result<Metadata, ReadError> {
        let xattrs = xattr::read(volume, &self.inline_xattrs, self.xattr_block)?;
        Ok(Metadata { xattrs, ..self.metadata.clone() })
    }

    /// Returns the major and minor number of a device.
    pub(super) fn device(&self) -> Option<(u32, u32)> {
        let fields = Fields::of(&self.block_map);
        let old = fields.u32(0)?;
        if old != 0 {
            return Some((old >> 8 & 0xff, old & 0xff));
        }
        let new = fields.u32(4)?;
        Some(((new & 0xf_ff00) >> 8, new & 0xff | new >> 12 & 0xf_ff00))
    }
}

fn is_intact(fields: Fields<'_>, seed: Checksum, has_high: bool) -> Option<bool> {
    let mut checksum = seed.with(fields.slice(0, CHECKSUM_LOW)?).with(&[0, 0]);
    checksum = checksum.with(fields.slice(CHECKSUM_LOW + 2, OLD_SIZE - CHECKSUM_LOW - 2)?);
    if fields.len() > OLD_SIZE {
        let after_low = fields.slice(OLD_SIZE, CHECKSUM_HIGH - OLD_SIZE)?;
        let high = if has_high { &[0, 0] } else { fields.slice(CHECKSUM_HIGH, 2)? };
        checksum = checksum.with(after_low).with(high).with(fields.from(CHECKSUM_HIGH + 2)?);
    }
    let is_low = fields.u16(CHECKSUM_LOW)? == low16(checksum.value());
    Some(is_low && (!has_high || fields.u16(CHECKSUM_HIGH)? == high16(checksum.value())))
}

fn kind(mode: u16) -> Option<Kind> {
    match mode & 0xf000 {
        0x1000 => Some(Kind::Fifo),
        0x2000 => Some(Kind::CharDevice),
        0x4000 => Some(Kind::Directory),
        0x6000 => Some(Kind::BlockDevice),
        0x8000 => Some(Kind::File),
        0xa000 => Some(Kind::Symlink),
        0xc000 => Some(Kind::Socket),
        _ => None,
    }
}

/// Returns seconds and nanoseconds from the two fields of a time.
fn time(low: u32, extra: u32) -> (i64, u32) {
    let seconds = i64::from(low.cast_signed()) + (i64::from(extra & 3) << 32);
    (seconds, extra >> 2)
}
