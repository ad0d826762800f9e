//! Reads the members of a tar stream in any dialect.
//!
//! The iterator of the `tar` crate splits extended headers at newlines, so it loses capabilities and file names that contain
//! one, and it does not support negative numbers.

use std::io::Read;

use tar::EntryType;

use crate::disk::bytes::disk_len;
use crate::error::FormatError;
use crate::tar::header::{Block, until_nul};
use crate::tar::pax::{Pax, SparseKeys, number};
use crate::tar::sparse::Part;

const RECORD: u64 = 512;
/// Maximum size of long names and extended headers, which are held in memory.
const EXTENSION_MAX: u64 = 4 << 20;
const SPARSE_PARTS_MAX: u64 = 1 << 20;
/// The type letter of Solaris for an extended header.
const SOLARIS_XHEADER: u8 = b'X';
/// The ID that Linux shows for owners that it cannot represent (`/proc/sys/kernel/overflowuid`).
const NOBODY: u32 = 65534;

/// One member of a tar stream; the stream continues with its content.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) kind: EntryType,
    pub(crate) path: Vec<u8>,
    pub(crate) link: Vec<u8>,
    /// Size of the file, holes included.
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: (i64, u32),
    pub(crate) device: (u32, u32),
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) lost: Lost,
    /// The parts of a sparse file that are in the stream.
    pub(crate) parts: Option<Vec<Part>>,
}

/// Properties of a member that the file system cannot hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lost {
    /// Its owner or group is not a valid ID on Linux, so it becomes nobody (65534).
    pub has_no_owner: bool,
    /// Number of extended attributes that are left out, including access control lists.
    pub attributes: usize,
}

/// A tar stream that is read member by member.
#[derive(Debug)]
pub(crate) struct TarStream<R> {
    stream: R,
    offset: u64,
    /// Bytes of the current member that were not read yet, and the padding after them.
    content_left: u64,
    padding: u64,
    global: Pax,
}

impl<R: Read> TarStream<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self { stream, offset: 0, content_left: 0, padding: 0, global: Pax::default() }
    }

    /// Returns the next member, skipping the unread rest of the current one.
    pub(crate) fn next(&mut self) -> Result<Option<Member>, FormatError> {
        let mut pax = self.global.clone();
        let mut long_path = None;
        let mut long_link = None;
        while let Some(header) = self.next_header()? {
            match header.kind() {
                kind if kind == EntryType::XHeader || kind.as_byte() == SOLARIS_XHEADER => {
                    let records = self.read_extension(&header)?;
                    pax.add(&records).ok_or_else(|| self.damaged("malformed extended header"))?;
                }
                EntryType::XGlobalHeader => {
                    let records = self.read_extension(&header)?;
                    self.global.add(&records).ok_or_else(|| self.damaged("malformed global header"))?;
                    pax = self.global.clone();
                }
                EntryType::GNULongName => long_path = Some(self.read_long_name(&header)?),
                EntryType::GNULongLink => long_link = Some(self.read_long_name(&header)?),
                kind => {
                    let stored_size = match pax.size {
                        _ if !has_content(kind) => 0,
                        Some(size) => size,
                        None => self.size_of(&header)?,
                    };
                    self.set_content(stored_size)?;
                    let sparse = std::mem::take(&mut pax.sparse);
                    let mut member = self.member(kind, &header, pax, stored_size)?;
                    self.read_sparse(&header, sparse, &mut member)?;
                    member.path = long_path.unwrap_or(member.path);
                    member.link = long_link.unwrap_or(member.link);
                    // The oldest format has no type for directories.
                    if member.kind == EntryType::Regular && member.path.ends_with(b"/") {
                        member.kind = EntryType::Directory;
                    }
                    return Ok(Some(member));
                }
            }
        }
        Ok(None)
    }

    /// Returns a reader for the current member's content in the stream.
    pub(crate) fn content(&mut self) -> impl Read {
        Content { tar: self }
    }

    /// Reads the data after the end of the archive.
    pub(crate) fn drain(&mut self) -> Result<(), FormatError> {
        std::io::copy(&mut self.stream, &mut std::io::sink())
            .map_err(|source| FormatError::ReadTar { source })?;
        Ok(())
    }

    pub(crate) fn damaged(&self, reason: &'static str) -> FormatError {
        FormatError::TarDamaged { offset: self.offset, reason }
    }

    fn member(&self, kind: EntryType, header: &Block, pax: Pax, size: u64) -> Result<Member, FormatError> {
        let found = |number: Option<i64>| number.ok_or_else(|| self.damaged("malformed number in a header"));
        let uid = owner(pax.uid.map_or_else(|| found(header.uid()), Ok)?);
        let gid = owner(pax.gid.map_or_else(|| found(header.gid()), Ok)?);
        let is_device = matches!(kind, EntryType::Char | EntryType::Block);
        let lost = Lost { has_no_owner: uid.is_none() || gid.is_none(), attributes: pax.unknown_lists.len() };
        Ok(Member {
            kind,
            path: pax.path.unwrap_or_else(|| header.path()),
            link: pax.link.unwrap_or_else(|| header.link()),
            size,
            // Other bits are not permissions.
            mode: u32::try_from(found(header.mode())? & 0o7777).unwrap_or_default(),
            uid: uid.unwrap_or(NOBODY),
            gid: gid.unwrap_or(NOBODY),
            mtime: pax.mtime.map_or_else(|| found(header.mtime()).map(|seconds| (seconds, 0)), Ok)?,
            device: if is_device { header.device() } else { (0, 0) },
            xattrs: pax.xattrs,
            lost,
            parts: None,
        })
    }

    /// Reads the map of a sparse file from where its format stores it.
    fn read_sparse(
        &mut self,
        header: &Block,
        keys: SparseKeys,
        member: &mut Member,
    ) -> Result<(), FormatError> {
        if member.kind == EntryType::GNUSparse {
            let (parts, size) = self.read_gnu_map(header)?;
            member.parts = Some(parts);
            member.size = size;
        } else if keys.major == Some(1) {
            let numbers = self.read_map_in_content()?;
            member.parts = Some(parts_of(&numbers).ok_or_else(|| self.damaged("malformed sparse map"))?);
        } else if let Some(numbers) = &keys.map {
            member.parts = Some(parts_of(numbers).ok_or_else(|| self.damaged("malformed sparse map"))?);
        }
        if member.parts.is_some() {
            member.size = keys.real_size.unwrap_or(member.size);
            if let Some(name) = keys.name {
                member.path = name;
            }
        }
        Ok(())
    }

    fn read_gnu_map(&mut self, header: &Block) -> Result<(Vec<Part>, u64), FormatError> {
        if !header.is_gnu() {
            return Err(self.damaged("a sparse file without a GNU header"));
        }
        let malformed = |tar: &Self| tar.damaged("malformed sparse map");
        let (mut parts, mut has_more) = header.parts().ok_or_else(|| malformed(self))?;
        while has_more {
            if disk_len(parts.len()) > SPARSE_PARTS_MAX {
                return Err(self.damaged("too long a sparse map"));
            }
            let mut block = Block([0; 512]);
            self.stream.read_exact(&mut block.0).map_err(|source| FormatError::ReadTar { source })?;
            self.offset += RECORD;
            let (more, goes_on) = block.more_parts().ok_or_else(|| malformed(self))?;
            parts.extend(more);
            has_more = goes_on;
        }
        Ok((parts, header.real_size().ok_or_else(|| malformed(self))?))
    }

    /// Reads lines with the number of parts, and an offset and a size for each, in whole records of the content.
    fn read_map_in_content(&mut self) -> Result<Vec<u64>, FormatError> {
        let mut numbers: Vec<u64> = Vec::new();
        let mut text = Vec::new();
        loop {
            let mut record = [0; 512];
            self.content().read_exact(&mut record).map_err(|source| FormatError::ReadTar { source })?;
            for byte in record {
                if byte != b'\n' {
                    text.push(byte);
                    continue;
                }
                numbers.push(number(&text).ok_or_else(|| self.damaged("malformed sparse map"))?);
                text.clear();
                if let Some((parts, map)) = numbers.split_first()
                    && parts.checked_mul(2) == Some(disk_len(map.len()))
                {
                    return Ok(map.to_vec());
                }
            }
            if disk_len(numbers.len()) > 2 * SPARSE_PARTS_MAX || text.len() > 512 {
                return Err(self.damaged("too long a sparse map"));
            }
        }
    }

    /// Returns the next header. The archive ends with a block of zeros or with the stream, because some writers omit the
    /// padding of the last block.
    fn next_header(&mut self) -> Result<Option<Block>, FormatError> {
        let (content, padding) = (std::mem::take(&mut self.content_left), std::mem::take(&mut self.padding));
        if self.skip(content)? < content {
            return Err(self.damaged("ends within a member"));
        }
        if self.skip(padding)? < padding {
            return Ok(None);
        }
        let mut header = Block([0; 512]);
        let mut filled = 0;
        while let Some(rest) = header.0.get_mut(filled..)
            && !rest.is_empty()
        {
            match self.stream.read(rest) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => return Err(FormatError::ReadTar { source }),
            }
        }
        if header.0.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if filled < header.0.len() {
            return Err(self.damaged("ends within a header"));
        }
        self.offset += RECORD;
        if header.has_right_sum() {
            Ok(Some(header))
        } else {
            Err(self.damaged("wrong checksum of a header"))
        }
    }

    fn size_of(&self, header: &Block) -> Result<u64, FormatError> {
        header.size().ok_or_else(|| self.damaged("malformed size of a member"))
    }

    fn read_long_name(&mut self, header: &Block) -> Result<Vec<u8>, FormatError> {
        Ok(until_nul(&self.read_extension(header)?).to_vec())
    }

    fn read_extension(&mut self, header: &Block) -> Result<Vec<u8>, FormatError> {
        let size = self.size_of(header)?;
        if size > EXTENSION_MAX {
            return Err(self.damaged("too long a name or extended header"));
        }
        self.set_content(size)?;
        let mut bytes = Vec::new();
        self.content().read_to_end(&mut bytes).map_err(|source| FormatError::ReadTar { source })?;
        if disk_len(bytes.len()) < size {
            return Err(self.damaged("ends within an extended header"));
        }
        Ok(bytes)
    }

    fn set_content(&mut self, size: u64) -> Result<(), FormatError> {
        if size > i64::MAX.unsigned_abs() {
            return Err(self.damaged("a member out of range"));
        }
        self.content_left = size;
        self.padding = size.next_multiple_of(RECORD) - size;
        Ok(())
    }

    /// Skips at most this many bytes; returns the number skipped.
    fn skip(&mut self, bytes: u64) -> Result<u64, FormatError> {
        let skipped = std::io::copy(&mut self.stream.by_ref().take(bytes), &mut std::io::sink())
            .map_err(|source| FormatError::ReadTar { source })?;
        self.offset += skipped;
        Ok(skipped)
    }
}

struct Content<'t, R> {
    tar: &'t mut TarStream<R>,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.tar.stream.by_ref().take(self.tar.content_left).read(into)?;
        self.tar.content_left -= disk_len(read);
        self.tar.offset += disk_len(read);
        Ok(read)
    }
}

/// Tells whether content follows a header of this kind; some writers give hard links a size but no content.
fn has_content(kind: EntryType) -> bool {
    !matches!(
        kind,
        EntryType::Link
            | EntryType::Symlink
            | EntryType::Char
            | EntryType::Block
            | EntryType::Directory
            | EntryType::Fifo
    )
}

fn parts_of(numbers: &[u64]) -> Option<Vec<Part>> {
    let (pairs, rest) = numbers.as_chunks::<2>();
    rest.is_empty()
        .then(|| pairs.iter().map(|[offset, size]| Part { offset: *offset, size: *size }).collect())
}

/// Returns the ID of an owner or group, if it is valid on Linux. Negative 32-bit numbers are read as the unsigned ones that
/// were meant; the last one means "none" to the kernel.
fn owner(number: i64) -> Option<u32> {
    let id = u32::try_from(number).ok().or_else(|| i32::try_from(number).ok().map(i32::cast_unsigned))?;
    (id != u32::MAX).then_some(id)
}
