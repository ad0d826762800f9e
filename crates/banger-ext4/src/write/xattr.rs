//! Extended attributes, stored in the inode if they fit and otherwise in one block (kernel `ext4/attributes.rst`).

use crate::disk::acl;
use crate::disk::bytes::{Record, clamp16, clamp32, disk_len};
use crate::disk::checksum::Checksum;
use crate::disk::geometry::{BLOCK_SIZE, INODE_SIZE};
use crate::disk::numbers::{XATTR_ACL_ACCESS, XATTR_ACL_DEFAULT, XATTR_MAGIC, XATTR_PREFIXES};
use crate::error::FormatError;
use crate::path::shown;
use crate::write::inode::XATTR_OFFSET;
use crate::write::memory::ALLOCATION_BYTES;

const ENTRY_HEADER: usize = 16;
const BLOCK_HEADER: usize = 32;
const CHECKSUM_OFFSET: usize = 16;
/// The inode has a magic number before the entries, and four zero bytes after them.
const INLINE_BYTES: usize = INODE_SIZE - XATTR_OFFSET - 4;
const END_BYTES: usize = 4;

/// The order of the fields is the order on the disk.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Xattr {
    namespace: u8,
    name_len: u8,
    name: Box<[u8]>,
    value: Box<[u8]>,
}

impl Xattr {
    fn size(&self) -> usize {
        ENTRY_HEADER + self.name.len().next_multiple_of(4) + self.value.len().next_multiple_of(4)
    }

    fn is_named_as(&self, other: &Self) -> bool {
        (self.namespace, &self.name) == (other.namespace, &other.name)
    }

    /// Returns the hash of name and value, with which the kernel finds equal blocks.
    fn hash(&self) -> u32 {
        let of_name = self.name.iter().fold(0_u32, |hash, byte| hash.rotate_left(5) ^ u32::from(*byte));
        self.value.chunks(4).fold(of_name, |hash, chunk| {
            let mut word = [0; 4];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            hash.rotate_left(16) ^ u32::from_le_bytes(word)
        })
    }
}

impl Places {
    /// Returns `None` if they do not fit.
    fn of(sorted: Vec<Xattr>) -> Option<Self> {
        let mut free = Free::default();
        let mut places = Self::default();
        for xattr in sorted {
            match free.take(xattr.size())? {
                Place::Inline => places.inline.push(xattr),
                Place::Block => places.block.push(xattr),
            }
        }
        Some(places)
    }
}

/// The location of an attribute.
#[derive(Debug, Clone, Copy)]
enum Place {
    Inline,
    Block,
}

/// The remaining space for attributes.
#[derive(Debug)]
struct Free {
    inline: usize,
    block: usize,
}

impl Default for Free {
    fn default() -> Self {
        Self { inline: INLINE_BYTES - END_BYTES, block: BLOCK_SIZE - BLOCK_HEADER - END_BYTES }
    }
}

impl Free {
    fn take(&mut self, size: usize) -> Option<Place> {
        if let Some(rest) = self.inline.checked_sub(size) {
            self.inline = rest;
            return Some(Place::Inline);
        }
        self.block = self.block.checked_sub(size)?;
        Some(Place::Block)
    }
}

/// Removes attributes that cannot be stored: names that ext4 does not know, malformed lists, and attributes that do not fit.
/// Returns their number. The kernel's own attributes take precedence over those of users.
pub(crate) fn keep_storable(given: &mut Vec<(Vec<u8>, Vec<u8>)>) -> usize {
    let before = given.len();
    given.sort_by_key(|(name, _)| name.starts_with(b"user."));
    let mut kept: Vec<Xattr> = Vec::new();
    let mut used = 0;
    let room = Free::default();
    given.retain(|(name, value)| {
        let Ok(xattr) = parse(b"", name, value) else { return false };
        let size = xattr.size();
        // The cheap test comes first, because an untrusted image may have thousands of attributes.
        if used + size > room.inline + room.block {
            return false;
        }
        let place = kept.partition_point(|known| *known < xattr);
        kept.insert(place, xattr);
        let mut free = Free::default();
        let fits = kept.iter().all(|known| free.take(known.size()).is_some());
        let is_new = kept.iter().zip(kept.iter().skip(1)).all(|(left, right)| !left.is_named_as(right));
        if fits && is_new {
            used += size;
        } else {
            kept.remove(place);
        }
        fits && is_new
    });
    before - given.len()
}

/// The extended attributes of one inode, which are known to fit. Most inodes have none.
#[derive(Debug, Default)]
pub(crate) struct Xattrs(Option<Box<Places>>);

#[derive(Debug, Default)]
struct Places {
    inline: Vec<Xattr>,
    block: Vec<Xattr>,
}

impl Xattrs {
    pub(crate) fn parse(path: &[u8], given: &[(Vec<u8>, Vec<u8>)]) -> Result<Self, FormatError> {
        let mut parsed =
            given.iter().map(|(name, value)| parse(path, name, value)).collect::<Result<Vec<_>, _>>()?;
        parsed.sort_unstable();
        for (left, right) in parsed.iter().zip(parsed.iter().skip(1)) {
            if left.is_named_as(right) {
                return Err(FormatError::XattrTwice { path: shown(path), name: shown(&left.name) });
            }
        }
        if parsed.is_empty() {
            return Ok(Self::default());
        }
        let places = Places::of(parsed).ok_or_else(|| FormatError::XattrsTooLarge { path: shown(path) })?;
        Ok(Self(Some(Box::new(places))))
    }

    /// Returns approximately how many bytes of memory they take in addition to this value.
    pub(crate) fn held_bytes(&self) -> usize {
        let all = self.inline().iter().chain(self.block());
        let of_one =
            |xattr: &Xattr| size_of::<Xattr>() + 2 * ALLOCATION_BYTES + xattr.name.len() + xattr.value.len();
        all.map(of_one).sum::<usize>() + self.0.as_ref().map_or(0, |_| size_of::<Places>() + ALLOCATION_BYTES)
    }

    fn inline(&self) -> &[Xattr] {
        self.0.as_ref().map_or(&[], |places| &places.inline)
    }

    fn block(&self) -> &[Xattr] {
        self.0.as_ref().map_or(&[], |places| &places.block)
    }

    /// Encodes the bytes after the fields of the inode.
    pub(crate) fn encode_inline(&self) -> Vec<u8> {
        if self.inline().is_empty() {
            return Vec::new();
        }
        let mut record = Record::with_capacity(INLINE_BYTES + 4);
        record.u32(XATTR_MAGIC);
        // Offsets of values count from the first entry, and the kernel omits hashes here.
        put_xattrs(&mut record, self.inline(), 4, INLINE_BYTES, |_| 0);
        record.into_bytes()
    }

    pub(crate) fn needs_block(&self) -> bool {
        !self.block().is_empty()
    }

    /// Encodes the block for the attributes that do not fit into the inode.
    pub(crate) fn encode_block(&self, block: u64, seed: Checksum) -> Vec<u8> {
        let hash = self.block().iter().fold(0_u32, |hash, xattr| hash.rotate_left(16) ^ xattr.hash());
        let mut record = Record::with_capacity(BLOCK_SIZE);
        record.u32(XATTR_MAGIC).u32(1).u32(1).u32(hash);
        record.at(BLOCK_HEADER);
        put_xattrs(&mut record, self.block(), 0, BLOCK_SIZE, Xattr::hash);
        let checksum = seed.with(&block.to_le_bytes()).with(record.as_slice());
        record.patch_u32(CHECKSUM_OFFSET, checksum.value());
        record.into_bytes()
    }
}

fn parse(path: &[u8], name: &[u8], value: &[u8]) -> Result<Xattr, FormatError> {
    let unknown = || FormatError::XattrNamespace { path: shown(path), name: shown(name) };
    for (acl_name, namespace) in [XATTR_ACL_ACCESS, XATTR_ACL_DEFAULT] {
        if name == acl_name {
            let value = acl::to_disk(value)
                .ok_or_else(|| FormatError::AclMalformed { path: shown(path), name: shown(name) })?;
            return Ok(Xattr { namespace, name_len: 0, name: Box::default(), value: value.into() });
        }
    }
    let (namespace, rest) = XATTR_PREFIXES
        .into_iter()
        .find_map(|(prefix, namespace)| Some((namespace, name.strip_prefix(prefix)?)))
        .ok_or_else(unknown)?;
    match u8::try_from(rest.len()) {
        Ok(name_len) if name_len > 0 => {
            Ok(Xattr { namespace, name_len, name: rest.into(), value: value.into() })
        }
        Ok(_) | Err(_) => Err(unknown()),
    }
}

/// Adds entries from the front and their values from the back. Offsets count from `base`; the area has `size` bytes.
fn put_xattrs(record: &mut Record, xattrs: &[Xattr], base: usize, size: usize, hash: impl Fn(&Xattr) -> u32) {
    let mut value_end = size;
    for xattr in xattrs {
        value_end -= xattr.value.len().next_multiple_of(4);
        let offset = if xattr.value.is_empty() { 0 } else { clamp16(value_end) };
        record.u8(xattr.name_len).u8(xattr.namespace).u16(offset).u32(0);
        record.u32(clamp32(disk_len(xattr.value.len()))).u32(hash(xattr));
        let name_end = record.len() + xattr.name.len().next_multiple_of(4);
        record.raw(&xattr.name).at(name_end);
    }
    for xattr in xattrs.iter().rev() {
        record.at(base + value_end).raw(&xattr.value);
        value_end += xattr.value.len().next_multiple_of(4);
    }
    record.at(base + size);
}
