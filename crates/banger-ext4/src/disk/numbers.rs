//! Constants of the format that reader and writer share (kernel `ext4/special_inodes.rst`, `ext4/inodes.rst`,
//! `ext4/attributes.rst`).

use super::acl;

/// Inodes up to this number have special purposes.
pub(crate) const RESERVED_INODES: u32 = 10;
pub(crate) const ROOT_INODE: u32 = 2;
pub(crate) const RESIZE_INODE: u32 = 7;
pub(crate) const JOURNAL_INODE: u32 = 8;

/// The directory has an index.
pub(crate) const FLAG_INDEX: u32 = 0x1000;
/// The inode maps its blocks by extents.
pub(crate) const FLAG_EXTENTS: u32 = 0x8_0000;

/// The magic number at the start of every area of extended attributes.
pub(crate) const XATTR_MAGIC: u32 = 0xea02_0000;
/// Namespaces, with the number that represents each on the disk.
pub(crate) const XATTR_PREFIXES: [(&[u8], u8); 4] =
    [(b"user.", 1), (b"trusted.", 4), (b"security.", 6), (b"system.", 7)];
pub(crate) const XATTR_ACL_ACCESS: (&[u8], u8) = (acl::ACCESS, 2);
pub(crate) const XATTR_ACL_DEFAULT: (&[u8], u8) = (acl::DEFAULT, 3);
