//! The caller's description of one entry of the new file system.

use std::io::Read;

/// Owner, permissions, time and extended attributes of an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Permission bits with setuid, setgid and sticky; other bits are ignored.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Modification time in Unix seconds; access and change time are set to it as well.
    pub mtime: i64,
    /// Nanoseconds of the modification time.
    pub mtime_nanos: u32,
    /// Full attribute names (`user.note`) with their values in the form of system calls.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The kind of an entry, with its content.
pub enum EntryKind<'a> {
    /// A directory.
    Directory,
    /// A regular file; exactly `size` bytes are read. Blocks of zeros become holes.
    File {
        /// Length of the file.
        size: u64,
        /// The source of its bytes.
        content: &'a mut dyn Read,
    },
    /// A symbolic link with its target.
    Symlink(&'a [u8]),
    /// Another name of a file that was added before; the metadata is ignored.
    HardLink(&'a [u8]),
    /// A character device.
    CharDevice {
        /// Major number, at most 12 bits.
        major: u32,
        /// Minor number, at most 20 bits.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number, at most 12 bits.
        major: u32,
        /// Minor number, at most 20 bits.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// An existing entry of a file system that is being made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say what the fields are")]
pub enum Found {
    /// A directory.
    Directory,
    /// A regular file.
    File { size: u64 },
    /// A symbolic link with its target.
    Symlink(Vec<u8>),
    /// A device, a named pipe or a socket.
    Special,
}
