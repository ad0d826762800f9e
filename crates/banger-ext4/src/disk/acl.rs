//! POSIX access control lists. System calls and tar streams use another binary form than the disk (kernel
//! `include/uapi/linux/posix_acl_xattr.h` for the former, `fs/ext4/acl.h` for the latter). GNU tar stores them as text.

use crate::disk::bytes::Record;

/// The names of the attributes that contain such lists.
pub(crate) const ACCESS: &[u8] = b"system.posix_acl_access";
pub(crate) const DEFAULT: &[u8] = b"system.posix_acl_default";
/// The ID of an entry without an owner.
const NO_ID: u32 = u32::MAX;
const CALL_VERSION: u32 = 2;
const DISK_VERSION: u32 = 1;
const TAG_USER_OWNER: u16 = 0x01;
const TAG_USER: u16 = 0x02;
const TAG_GROUP_OWNER: u16 = 0x04;
const TAG_GROUP: u16 = 0x08;
const TAG_MASK: u16 = 0x10;
const TAG_OTHER: u16 = 0x20;
const TAGS_WITHOUT_ID: [u16; 4] = [TAG_USER_OWNER, TAG_GROUP_OWNER, TAG_MASK, TAG_OTHER];

/// Converts a list from text to the system calls' form: `user::rw-,user:1000:r--,group::r--,mask::r--,other::r--`.
///
/// Owners must be numbers, in their usual field or in a fourth one as `star` writes it; other names are unknown here, and
/// make the list malformed.
pub(crate) fn from_text(text: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(text).ok()?;
    let entries = text.split([',', '\n']).map(|entry| entry.split('#').next().unwrap_or_default().trim());
    let mut entries =
        entries.filter(|entry| !entry.is_empty()).map(entry_from_text).collect::<Option<Vec<_>>>()?;
    // The kernel orders entries by tag and then by owner.
    entries.sort_unstable();
    let mut record = Record::with_capacity(4 + entries.len() * 8);
    record.u32(CALL_VERSION);
    for (tag, id, permissions) in entries {
        record.u16(tag).u16(permissions).u32(id);
    }
    Some(record.into_bytes())
}

fn entry_from_text(entry: &str) -> Option<(u16, u32, u16)> {
    let mut fields = entry.split(':');
    let (kind, name, permissions) = (fields.next()?, fields.next()?, fields.next()?);
    let has_owner = !name.is_empty();
    let tag = match kind {
        "user" | "u" if has_owner => TAG_USER,
        "group" | "g" if has_owner => TAG_GROUP,
        _ if has_owner => return None,
        "user" | "u" => TAG_USER_OWNER,
        "group" | "g" => TAG_GROUP_OWNER,
        "mask" | "m" => TAG_MASK,
        "other" | "o" => TAG_OTHER,
        _ => return None,
    };
    let id = if has_owner { fields.next().unwrap_or(name).parse().ok()? } else { NO_ID };
    let mut bits = 0;
    for letter in permissions.chars() {
        bits |= match letter {
            'r' => 4,
            'w' => 2,
            'x' => 1,
            '-' => 0,
            _ => return None,
        };
    }
    Some((tag, id, bits))
}

/// Converts a list from the system calls' form to the disk's form; `None` if it is malformed.
pub(crate) fn to_disk(value: &[u8]) -> Option<Vec<u8>> {
    let (version, entries) = value.split_first_chunk::<4>()?;
    let (entries, rest) = entries.as_chunks::<8>();
    if u32::from_le_bytes(*version) != CALL_VERSION || !rest.is_empty() {
        return None;
    }
    let mut record = Record::with_capacity(value.len());
    record.u32(DISK_VERSION);
    for [tag_low, tag_high, permissions_low, permissions_high, id @ ..] in entries {
        let tag = u16::from_le_bytes([*tag_low, *tag_high]);
        record.u16(tag).u16(u16::from_le_bytes([*permissions_low, *permissions_high]));
        if tag == TAG_USER || tag == TAG_GROUP {
            record.raw(id);
        } else if !TAGS_WITHOUT_ID.contains(&tag) {
            return None;
        }
    }
    Some(record.into_bytes())
}

/// Converts a list from the disk's form to the system calls' form; `None` if it is malformed.
pub(crate) fn from_disk(value: &[u8]) -> Option<Vec<u8>> {
    let (version, mut rest) = value.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != DISK_VERSION {
        return None;
    }
    let mut record = Record::with_capacity(value.len() * 2);
    record.u32(CALL_VERSION);
    while !rest.is_empty() {
        let (entry, after) = rest.split_first_chunk::<4>()?;
        let [tag_low, tag_high, permissions @ ..] = *entry;
        let tag = u16::from_le_bytes([tag_low, tag_high]);
        record.u16(tag).raw(&permissions);
        if tag == TAG_USER || tag == TAG_GROUP {
            let (id, after) = after.split_first_chunk::<4>()?;
            record.raw(id);
            rest = after;
        } else if TAGS_WITHOUT_ID.contains(&tag) {
            record.u32(NO_ID);
            rest = after;
        } else {
            return None;
        }
    }
    Some(record.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_sorted_entries() {
        let list = from_text(b"other::r--\nuser::rw-,user:1000:r-x,g:adm:r--:4,group::r--,mask::r-x #x")
            .expect("a list");
        let expected = [
            &b"\x02\0\0\0"[..],
            b"\x01\0\x06\0\xff\xff\xff\xff",
            b"\x02\0\x05\0\xe8\x03\0\0",
            b"\x04\0\x04\0\xff\xff\xff\xff",
            b"\x08\0\x04\0\x04\0\0\0",
            b"\x10\0\x05\0\xff\xff\xff\xff",
            b"\x20\0\x04\0\xff\xff\xff\xff",
        ];
        assert_eq!(list, expected.concat());
    }

    #[test]
    fn a_list_goes_to_the_disk_and_comes_back() {
        let list = from_text(b"user::rw-,user:1000:r-x,group::r--,group:4:r--,mask::r-x,other::r--")
            .expect("a list");
        let disk = to_disk(&list).expect("the disk's form");
        assert_eq!(from_disk(&disk), Some(list));
        for length in 1..disk.len() {
            // Cut between two entries, it is a shorter list; cut anywhere else, it is malformed.
            let is_whole = from_disk(&disk[..length])
                .is_none_or(|list| to_disk(&list).as_deref() == Some(&disk[..length]));
            assert!(is_whole, "{length}");
        }
    }

    #[test]
    fn names_that_are_no_numbers_are_refused() {
        for text in ["group:adm:r--", "user:1000", "user:1000:rwq", "mask:5:r--", "nobody::r--"] {
            assert_eq!(from_text(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn damaged_lists_are_refused() {
        for value in [&b""[..], b"\x01\0\0\0", b"\x02\0\0\0\x01", b"\x02\0\0\0\x03\0\x06\0\xff\xff\xff\xff"] {
            assert_eq!(to_disk(value), None, "{}", value.escape_ascii());
        }
    }
}
