//! Extended headers of tar members (POSIX `pax`, "pax Extended Header"): records of `length key=value\n`.
//!
//! The values are bytes: a capability or a file name may contain a newline, so records are split by their length.

use crate::disk::acl;

const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

/// The information of extended headers about a member. For absent fields the plain header applies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pax {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<i64>,
    pub(crate) gid: Option<i64>,
    pub(crate) mtime: Option<(i64, u32)>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Access control lists that cannot be converted, by attribute name.
    pub(crate) unknown_lists: Vec<&'static [u8]>,
    pub(crate) sparse: SparseKeys,
}

/// The keys with which GNU tar describes sparse files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SparseKeys {
    /// Version 1.0 stores the map in front of the content.
    pub(crate) major: Option<u64>,
    /// Version 0.1 stores the map here, as alternating offsets and lengths.
    pub(crate) map: Option<Vec<u64>>,
    /// Version 0.0 stores them in repeated keys, which are collected in the same list.
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) real_size: Option<u64>,
}

impl Pax {
    /// Adds the records of an extended header; later records win. Returns `None` if it is malformed.
    pub(crate) fn add(&mut self, records: &[u8]) -> Option<()> {
        let mut rest = records;
        while !rest.is_empty() && rest.first() != Some(&0) {
            let space = rest.iter().position(|byte| *byte == b' ')?;
            let length = usize::try_from(number(rest.get(..space)?)?).ok()?;
            let record = rest.get(space + 1..length)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|byte| *byte == b'=')?;
            let (key, value) = (record.get(..equals)?, record.get(equals + 1..)?);
            self.set(key, value)?;
            rest = rest.get(length..)?;
        }
        Some(())
    }

    /// Applies one record. An empty value revokes an earlier record, so that the plain header applies; a time or an owner
    /// that is not a number is ignored.
    fn set(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match key {
            b"path" => self.path = text(value),
            b"linkpath" => self.link = text(value),
            b"size" => self.size = optional(value, number)?,
            b"uid" => self.uid = owner(value),
            b"gid" => self.gid = owner(value),
            b"mtime" => self.mtime = time(value),
            b"GNU.sparse.major" => self.sparse.major = optional(value, number)?,
            b"GNU.sparse.map" => self.sparse.map = optional(value, numbers)?,
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                self.sparse.map.get_or_insert_default().push(number(value)?);
            }
            b"GNU.sparse.name" => self.sparse.name = text(value),
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => self.sparse.real_size = optional(value, number)?,
            b"SCHILY.acl.access" => self.set_list(acl::ACCESS, value),
            b"SCHILY.acl.default" => self.set_list(acl::DEFAULT, value),
            key => {
                if let Some(name) = key.strip_prefix(XATTR_PREFIX) {
                    self.set_xattr(name, value.to_vec());
                }
            }
        }
        Some(())
    }

    /// Reads an access control list, as text or in the form of system calls.
    fn set_list(&mut self, name: &'static [u8], value: &[u8]) {
        self.unknown_lists.retain(|unknown| *unknown != name);
        self.xattrs.retain(|(known, _)| known != name);
        let is_binary = acl::to_disk(value).is_some();
        match if is_binary { Some(value.to_vec()) } else { acl::from_text(value) } {
            _ if value.is_empty() => {}
            Some(list) => self.set_xattr(name, list),
            None => self.unknown_lists.push(name),
        }
    }

    fn set_xattr(&mut self, name: &[u8], value: Vec<u8>) {
        self.xattrs.retain(|(known, _)| known != name);
        self.xattrs.push((name.to_vec(), value));
    }
}

/// Parses a decimal number.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    str::from_utf8(text).ok()?.parse().ok()
}

/// Returns the parsed value, or an inner `None` if the value is empty; `None` if it is malformed.
#[expect(clippy::option_option, reason = "the outer one is about the header, the inner one about the value")]
fn optional<T>(value: &[u8], read: impl FnOnce(&[u8]) -> Option<T>) -> Option<Option<T>> {
    if value.is_empty() { Some(None) } else { read(value).map(Some) }
}

fn numbers(value: &[u8]) -> Option<Vec<u64>> {
    value.split(|byte| *byte == b',').map(number).collect()
}

/// Returns a name without the NUL bytes that some writers append.
fn text(value: &[u8]) -> Option<Vec<u8>> {
    let end = value.iter().rposition(|byte| *byte != 0)?;
    value.get(..=end).map(<[u8]>::to_vec)
}

fn owner(value: &[u8]) -> Option<i64> {
    str::from_utf8(value).ok()?.parse().ok().map(saturated)
}

fn saturated(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })
}

/// Returns seconds, rounded down, and the remaining nanoseconds.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let text = str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds = saturated(whole.parse().ok()?);
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanos: u32 = digits.parse().ok()?;
    if whole.starts_with('-') && nanos > 0 {
        return Some((seconds.checked_sub(1)?, 1_000_000_000 - nanos));
    }
    Some((seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(records: &[u8]) -> Pax {
        let mut pax = Pax::default();
        pax.add(records).expect("well-formed records");
        pax
    }

    #[test]
    fn values_may_have_newlines_and_equals_signs() {
        let pax = parsed(b"11 path=a\n\n27 SCHILY.xattr.user.a=\n=\0\n".as_slice());
        assert_eq!(pax.path.as_deref(), Some(&b"a\n"[..]));
        assert_eq!(pax.xattrs, [(b"user.a".to_vec(), b"\n=\0".to_vec())]);
    }

    #[test]
    fn times_before_1970_round_down() {
        assert_eq!(parsed(b"15 mtime=-1.25\n").mtime, Some((-2, 750_000_000)));
        assert_eq!(parsed(b"15 mtime=-0.25\n").mtime, Some((-1, 750_000_000)));
        assert_eq!(parsed(b"18 mtime=7.000001\n").mtime, Some((7, 1000)));
        assert_eq!(parsed(b"11 mtime=7\n").mtime, Some((7, 0)));
    }

    #[test]
    fn a_record_without_a_value_takes_back_what_was_said() {
        let mut pax = parsed(b"9 path=a\n11 mtime=7\n8 uid=5\n9 size=4\n");
        pax.add(b"8 path=\n9 mtime=\n7 uid=\n8 size=\n22 SCHILY.acl.access=\n24 SCHILY.xattr.user.a=\n")
            .expect("well-formed records");
        assert_eq!(pax, Pax { xattrs: vec![(b"user.a".to_vec(), Vec::new())], ..Pax::default() });
    }

    #[test]
    fn what_is_not_understood_beside_the_bytes_and_the_name_is_left_alone() {
        let pax = parsed(b"11 uid=ada\n15 mtime=never\n35 SCHILY.acl.access=group:adm:r--\n");
        assert_eq!(pax, Pax { unknown_lists: vec![acl::ACCESS], ..Pax::default() });
    }

    #[test]
    fn numbers_may_be_negative_or_beyond_what_we_count() {
        let pax = parsed(b"9 uid=-2\n28 gid=99999999999999999999\n31 mtime=-99999999999999999999\n");
        assert_eq!((pax.uid, pax.gid, pax.mtime), (Some(-2), Some(i64::MAX), Some((i64::MIN, 0))));
    }

    #[test]
    fn names_may_end_with_nul() {
        let pax = parsed(b"12 path=a\0\0\n15 linkpath=b\0\n");
        assert_eq!((pax.path.as_deref(), pax.link.as_deref()), (Some(&b"a"[..]), Some(&b"b"[..])));
    }

    #[test]
    fn a_list_of_the_kernels_bytes_is_taken_as_it_is() {
        let list =
            acl::from_text(b"user::rwx,user:1000:r-x,group::r-x,mask::rwx,other::r-x").expect("a list");
        let mut pax = Pax::default();
        pax.set(b"SCHILY.acl.default", &list).expect("a record");
        assert_eq!(pax.xattrs, [(acl::DEFAULT.to_vec(), list)]);
    }

    #[test]
    fn damaged_records_are_refused() {
        for records in [&b"99 path=a\n"[..], b"path=a\n", b"5 a=b", b"7 patha\n", b"2 =\n", b"0 a=b\n"] {
            assert_eq!(Pax::default().add(records), None, "{}", records.escape_ascii());
        }
    }
}
