//! Extended headers of tar members (POSIX `pax`, "pax Extended Header"): records of `length key=value\n`.
//!
//! The values are bytes: a capability or a file name may well have a newline in it, so records are cut by their length.

use crate::acl;

const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

/// What extended headers say about a member; absent fields are in the plain header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pax {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) mtime: Option<(i64, u32)>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) sparse: SparseKeys,
}

/// The keys by which GNU tar describes sparse files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SparseKeys {
    /// Version 1.0 has the map in front of the content.
    pub(crate) major: Option<u64>,
    /// Version 0.1 has the map here: offsets and lengths by turns.
    pub(crate) map: Option<Vec<u64>>,
    /// Version 0.0 has them in repeated keys, which lands in the same list.
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) real_size: Option<u64>,
}

impl Pax {
    /// Adds the records of an extended header; later records win. Returns nothing when it is malformed.
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

    fn set(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(number(value)?),
            b"uid" => self.uid = Some(u32::try_from(number(value)?).ok()?),
            b"gid" => self.gid = Some(u32::try_from(number(value)?).ok()?),
            b"mtime" => self.mtime = Some(time(value)?),
            b"GNU.sparse.major" => self.sparse.major = Some(number(value)?),
            b"GNU.sparse.map" => {
                self.sparse.map = Some(value.split(|byte| *byte == b',').map(number).collect::<Option<_>>()?);
            }
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                self.sparse.map.get_or_insert_default().push(number(value)?);
            }
            b"GNU.sparse.name" => self.sparse.name = Some(value.to_vec()),
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => self.sparse.real_size = Some(number(value)?),
            b"SCHILY.acl.access" => self.set_xattr(b"system.posix_acl_access", acl::from_text(value)?),
            b"SCHILY.acl.default" => self.set_xattr(b"system.posix_acl_default", acl::from_text(value)?),
            key => {
                if let Some(name) = key.strip_prefix(XATTR_PREFIX) {
                    self.set_xattr(name, value.to_vec());
                }
            }
        }
        Some(())
    }

    fn set_xattr(&mut self, name: &[u8], value: Vec<u8>) {
        self.xattrs.retain(|(known, _)| known != name);
        self.xattrs.push((name.to_vec(), value));
    }
}

/// Returns a decimal number.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    str::from_utf8(text).ok()?.parse().ok()
}

/// Returns seconds, rounded down, and the nanoseconds after them.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let text = str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
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
    fn damaged_records_are_refused() {
        for records in [&b"99 path=a\n"[..], b"path=a\n", b"5 a=b", b"7 patha\n", b"2 =\n", b"0 a=b\n"] {
            assert_eq!(Pax::default().add(records), None, "{}", records.escape_ascii());
        }
    }
}
