//! Reading of extended attributes (kernel `ext4/attributes.rst`).

use super::error::ReadError;
use super::fields::Fields;
use super::volume::Volume;
use crate::disk::acl;
use crate::disk::numbers::{XATTR_ACL_ACCESS, XATTR_ACL_DEFAULT, XATTR_MAGIC, XATTR_PREFIXES};

const BLOCK_HEADER: usize = 32;
const ENTRY_HEADER: usize = 16;
const CHECKSUM_OFFSET: usize = 16;

type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// Returns all extended attributes of an inode, in the form of system calls: those after the inode's fields, and those in a
/// block of their own if its number is not 0.
pub(super) fn read(volume: &Volume, inline: &[u8], block_number: u64) -> Result<Xattrs, ReadError> {
    let mut xattrs = Vec::new();
    let inline = Fields::of(inline);
    if inline.u32(0) == Some(XATTR_MAGIC) {
        let area = inline.from(4).unwrap_or_default();
        add(volume, area, 0, &mut xattrs)?;
    }
    if block_number != 0 {
        let block = volume.block(block_number)?;
        let is_intact = volume.superblock.seed.is_none_or(|seed| {
            let checked = || {
                let fields = Fields::of(&block);
                let checksum = seed
                    .with(&block_number.to_le_bytes())
                    .with(fields.slice(0, CHECKSUM_OFFSET)?)
                    .with_u32(0)
                    .with(fields.from(CHECKSUM_OFFSET + 4)?);
                Some(fields.u32(CHECKSUM_OFFSET)? == checksum.value())
            };
            checked() == Some(true)
        });
        if !is_intact || Fields::of(&block).u32(0) != Some(XATTR_MAGIC) {
            return Err(volume.damaged("the checksum of extended attributes is wrong"));
        }
        add(volume, &block, BLOCK_HEADER, &mut xattrs)?;
    }
    Ok(xattrs)
}

/// Adds the attributes of an area whose entries begin at `first`. Offsets of values count from the start of the area.
fn add(volume: &Volume, area: &[u8], first: usize, xattrs: &mut Xattrs) -> Result<(), ReadError> {
    let damaged = || volume.damaged("an extended attribute is invalid");
    let area = Fields::of(area);
    let mut offset = first;
    // The entries end with four zero bytes, unless the area is full.
    while area.u32(offset).is_some_and(|word| word != 0) {
        let entry = Fields::of(area.from(offset).unwrap_or_default());
        if entry.u32(4) != Some(0) {
            return Err(ReadError::Feature {
                path: volume.path().to_owned(),
                feature: "ea_inode".to_owned(),
            });
        }
        let found = || {
            let name = entry.slice(ENTRY_HEADER, entry.u8(0)?.into())?;
            let size = usize::try_from(entry.u32(8)?).ok()?;
            let value = if size == 0 { &[] } else { area.slice(entry.u16(2)?.into(), size)? };
            Some((entry.u8(1)?, name, value))
        };
        let (namespace, name, value) = found().ok_or_else(damaged)?;
        offset += ENTRY_HEADER + name.len().next_multiple_of(4);
        xattrs.push(decode(namespace, name, value).ok_or_else(damaged)?);
    }
    Ok(())
}

fn decode(namespace: u8, name: &[u8], value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    for (acl_name, number) in [XATTR_ACL_ACCESS, XATTR_ACL_DEFAULT] {
        if namespace == number {
            return Some((acl_name.to_vec(), acl::from_disk(value)?));
        }
    }
    let (prefix, _) = XATTR_PREFIXES.into_iter().find(|(_, number)| *number == namespace)?;
    Some(([prefix, name].concat(), value.to_vec()))
}
