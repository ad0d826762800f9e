//! Reads the members of a tar stream: headers by the `tar` crate, everything between them here.
//!
//! The crate's own iterator cuts extended headers at newlines, so it loses capabilities and file names that have one.

use std::io::Read;

use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

use crate::bytes::disk_len;
use crate::error::FormatError;
use crate::pax::{Pax, SparseKeys, number};
use crate::sparse::Part;

const RECORD: u64 = 512;
/// Long names and extended headers are held in memory.
const EXTENSION_MAX: u64 = 4 << 20;
const SPARSE_PARTS_MAX: u64 = 1 << 20;

/// One member of a tar stream; its content is what the stream has next.
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
    /// The parts in the stream, of a sparse file.
    pub(crate) parts: Option<Vec<Part>>,
}

/// A tar stream, read from member to member.
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

    /// Returns the next member, after what is left of the one before it.
    pub(crate) fn next(&mut self) -> Result<Option<Member>, FormatError> {
        let mut pax = self.global.clone();
        let mut long_path = None;
        let mut long_link = None;
        while let Some(header) = self.next_header()? {
            let kind = header.entry_type();
            let size = header.entry_size().map_err(|source| FormatError::ReadTar { source })?;
            match kind {
                EntryType::XHeader => {
                    let records = self.read_extension(size)?;
                    pax.add(&records).ok_or_else(|| {
                        self.damaged("malformed extended header, or an access control list without numbers")
                    })?;
                }
                EntryType::XGlobalHeader => {
                    let records = self.read_extension(size)?;
                    self.global.add(&records).ok_or_else(|| self.damaged("malformed global header"))?;
                    pax = self.global.clone();
                }
                EntryType::GNULongName => long_path = Some(until_nul(self.read_extension(size)?)),
                EntryType::GNULongLink => long_link = Some(until_nul(self.read_extension(size)?)),
                kind => {
                    let stored_size = if has_content(kind) { pax.size.unwrap_or(size) } else { 0 };
                    self.set_content(stored_size)?;
                    let mut member = self.member(kind, &header, pax.clone(), stored_size)?;
                    self.read_sparse(&header, pax.sparse, &mut member)?;
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

    /// Returns a reader of the current member's content as it is in the stream.
    pub(crate) fn content(&mut self) -> impl Read {
        Content { tar: self }
    }

    /// Reads what follows the archive.
    pub(crate) fn drain(&mut self) -> Result<(), FormatError> {
        std::io::copy(&mut self.stream, &mut std::io::sink())
            .map_err(|source| FormatError::ReadTar { source })?;
        Ok(())
    }

    pub(crate) fn damaged(&self, reason: &'static str) -> FormatError {
        FormatError::TarDamaged { offset: self.offset, reason }
    }

    fn member(&self, kind: EntryType, header: &Header, pax: Pax, size: u64) -> Result<Member, FormatError> {
        let io = |source| FormatError::ReadTar { source };
        let old = header.as_old();
        let id = |field: &[u8], id: std::io::Result<u64>| {
            let id = if is_blank(field) { 0 } else { id.map_err(io)? };
            u32::try_from(id).map_err(|_overflow| self.damaged("owner out of range"))
        };
        let seconds = || match header.mtime().map(i64::try_from) {
            Err(_) if is_blank(&old.mtime) => Ok((0, 0)),
            Ok(Ok(seconds)) => Ok((seconds, 0)),
            Ok(Err(_)) => Err(self.damaged("time out of range")),
            Err(source) => Err(io(source)),
        };
        let device = |number: std::io::Result<Option<u32>>| number.map(Option::unwrap_or_default).map_err(io);
        let is_device = matches!(kind, EntryType::Char | EntryType::Block);
        Ok(Member {
            kind,
            path: pax.path.unwrap_or_else(|| header.path_bytes().into_owned()),
            link: pax.link.or_else(|| header.link_name_bytes().map(Into::into)).unwrap_or_default(),
            size,
            mode: if is_blank(&old.mode) { 0 } else { header.mode().map_err(io)? },
            uid: pax.uid.map_or_else(|| id(&old.uid, header.uid()), Ok)?,
            gid: pax.gid.map_or_else(|| id(&old.gid, header.gid()), Ok)?,
            mtime: pax.mtime.map_or_else(seconds, Ok)?,
            device: if is_device {
                (device(header.device_major())?, device(header.device_minor())?)
            } else {
                (0, 0)
            },
            xattrs: pax.xattrs,
            parts: None,
        })
    }

    /// Takes the map of a sparse file from where its format has it.
    fn read_sparse(
        &mut self,
        header: &Header,
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

    fn read_gnu_map(&mut self, header: &Header) -> Result<(Vec<Part>, u64), FormatError> {
        let Some(gnu) = header.as_gnu() else {
            return Err(self.damaged("a sparse file without a GNU header"));
        };
        let io = |source| FormatError::ReadTar { source };
        let part = |header: &GnuSparseHeader| -> Result<Part, FormatError> {
            Ok(Part { offset: header.offset().map_err(io)?, size: header.length().map_err(io)? })
        };
        let is_used = |header: &&GnuSparseHeader| !header.is_empty();
        let mut parts = gnu.sparse.iter().filter(is_used).map(part).collect::<Result<Vec<_>, _>>()?;
        let mut more = gnu.is_extended();
        while more {
            if disk_len(parts.len()) > SPARSE_PARTS_MAX {
                return Err(self.damaged("too long a sparse map"));
            }
            let mut extension = GnuExtSparseHeader::new();
            self.stream.read_exact(extension.as_mut_bytes()).map_err(io)?;
            self.offset += RECORD;
            for header in extension.sparse().iter().filter(is_used) {
                parts.push(part(header)?);
            }
            more = extension.is_extended();
        }
        Ok((parts, gnu.real_size().map_err(io)?))
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

    fn next_header(&mut self) -> Result<Option<Header>, FormatError> {
        self.skip(self.content_left + self.padding)?;
        (self.content_left, self.padding) = (0, 0);
        let mut header = Header::new_old();
        let mut filled = 0;
        while let Some(rest) = header.as_mut_bytes().get_mut(filled..)
            && !rest.is_empty()
        {
            match self.stream.read(rest) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(self.damaged("ends within a header")),
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => return Err(FormatError::ReadTar { source }),
            }
        }
        self.offset += RECORD;
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let sum = header.cksum().map_err(|source| FormatError::ReadTar { source })?;
        if sum != checksum(header.as_bytes()) {
            return Err(self.damaged("wrong checksum of a header"));
        }
        Ok(Some(header))
    }

    fn read_extension(&mut self, size: u64) -> Result<Vec<u8>, FormatError> {
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

    fn skip(&mut self, bytes: u64) -> Result<(), FormatError> {
        let skipped = std::io::copy(&mut self.stream.by_ref().take(bytes), &mut std::io::sink())
            .map_err(|source| FormatError::ReadTar { source })?;
        self.offset += skipped;
        if skipped < bytes { Err(self.damaged("ends within a member")) } else { Ok(()) }
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

/// Tells whether the stream has content after this kind of header; some writers give hard links a size, without any.
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

/// Tells whether a number was left out, which old and sparing writers do where it is 0.
fn is_blank(field: &[u8]) -> bool {
    field.iter().all(|byte| matches!(byte, 0 | b' '))
}

fn until_nul(mut name: Vec<u8>) -> Vec<u8> {
    if let Some(end) = name.iter().position(|byte| *byte == 0) {
        name.truncate(end);
    }
    name
}

/// Returns the sum of all bytes, with spaces in place of the field that has it.
fn checksum(header: &[u8; 512]) -> u32 {
    let field = 148..156;
    let byte = |(index, byte): (usize, &u8)| u32::from(if field.contains(&index) { b' ' } else { *byte });
    header.iter().enumerate().map(byte).sum()
}
