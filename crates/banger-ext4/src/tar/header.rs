//! Headers of tar members (POSIX `ustar`, GNU tar, and their predecessors), read as GNU tar and Go's `archive/tar` read
//! them: fields may be blank, numbers may be octal text or binary, and old writers computed checksums with signed bytes.

use std::ops::Range;

use tar::EntryType;

use crate::tar::sparse::Part;

const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const KIND: usize = 156;
const LINK: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..265;
const MAJOR: Range<usize> = 329..337;
const MINOR: Range<usize> = 337..345;
const PREFIX: Range<usize> = 345..500;
const GNU_SPARSE: Range<usize> = 386..482;
const GNU_IS_EXTENDED: usize = 482;
const GNU_REAL_SIZE: Range<usize> = 483..495;
const EXTENSION_SPARSE: Range<usize> = 0..504;
const EXTENSION_IS_EXTENDED: usize = 504;

/// A block of 512 bytes: a header, or a continuation of a sparse file's map.
#[derive(Debug, Clone)]
pub(crate) struct Block(pub(crate) [u8; 512]);

impl Block {
    fn field(&self, range: Range<usize>) -> &[u8] {
        self.0.get(range).unwrap_or_default()
    }

    fn byte(&self, index: usize) -> u8 {
        self.0.get(index).copied().unwrap_or_default()
    }

    /// Tells whether the header's checksum is right, computed with unsigned or with signed bytes.
    pub(crate) fn has_right_sum(&self) -> bool {
        let summed = |(index, byte): (usize, &u8)| if CHECKSUM.contains(&index) { b' ' } else { *byte };
        let bytes = || self.0.iter().enumerate().map(summed);
        let unsigned: i64 = bytes().map(i64::from).sum();
        let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
        let stored = self.field(CHECKSUM);
        !is_blank(stored) && number(stored).is_some_and(|sum| sum == unsigned || sum == signed)
    }

    pub(crate) fn kind(&self) -> EntryType {
        EntryType::new(self.byte(KIND))
    }

    pub(crate) fn path(&self) -> Vec<u8> {
        let name = until_nul(self.field(NAME));
        let prefix = until_nul(self.field(PREFIX));
        // GNU tar stores times where `ustar` has the prefix.
        if self.field(MAGIC).starts_with(b"ustar\0") && !prefix.is_empty() {
            return [prefix, name].join(&b'/');
        }
        name.to_vec()
    }

    pub(crate) fn link(&self) -> Vec<u8> {
        until_nul(self.field(LINK)).to_vec()
    }

    pub(crate) fn mode(&self) -> Option<i64> {
        number(self.field(MODE))
    }

    pub(crate) fn uid(&self) -> Option<i64> {
        number(self.field(UID))
    }

    pub(crate) fn gid(&self) -> Option<i64> {
        number(self.field(GID))
    }

    pub(crate) fn mtime(&self) -> Option<i64> {
        number(self.field(MTIME))
    }

    pub(crate) fn size(&self) -> Option<u64> {
        unsigned(self.field(SIZE))
    }

    /// Returns a device's numbers. Numbers that ext4 cannot hold are refused when the device is added.
    pub(crate) fn device(&self) -> (u32, u32) {
        let part = |range| number(self.field(range)).and_then(|part| u32::try_from(part).ok());
        (part(MAJOR).unwrap_or(u32::MAX), part(MINOR).unwrap_or(u32::MAX))
    }

    pub(crate) fn is_gnu(&self) -> bool {
        self.field(MAGIC) == b"ustar  \0"
    }

    /// Returns the size of a sparse file of old GNU tar, holes included.
    pub(crate) fn real_size(&self) -> Option<u64> {
        unsigned(self.field(GNU_REAL_SIZE))
    }

    /// Returns the parts that a header of old GNU tar has space for, and whether more blocks of them follow.
    pub(crate) fn parts(&self) -> Option<(Vec<Part>, bool)> {
        Some((parts(self.field(GNU_SPARSE))?, self.byte(GNU_IS_EXTENDED) != 0))
    }

    /// Returns the same for a block that follows.
    pub(crate) fn more_parts(&self) -> Option<(Vec<Part>, bool)> {
        Some((parts(self.field(EXTENSION_SPARSE))?, self.byte(EXTENSION_IS_EXTENDED) != 0))
    }
}

fn parts(fields: &[u8]) -> Option<Vec<Part>> {
    let (pairs, _) = fields.as_chunks::<24>();
    let used = pairs.iter().take_while(|[first, ..]| *first != 0);
    used.map(|pair| {
        let (offset, size) = pair.split_at(12);
        Some(Part { offset: unsigned(offset)?, size: unsigned(size)? })
    })
    .collect()
}

/// Returns the number in a field: octal text, or base 256 if the first bit is set. An omitted number, as some old writers
/// leave it, is 0; a number that is too large becomes the largest one; any other text gives `None`.
pub(crate) fn number(field: &[u8]) -> Option<i64> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => Some(binary(field)),
        Some(_) | None => octal(field),
    }
}

/// As [`number`]; `None` for negative numbers.
fn unsigned(field: &[u8]) -> Option<u64> {
    number(field).and_then(|number| u64::try_from(number).ok())
}

/// Two's complement, with the first bit as a mark and the second as the sign.
fn binary(field: &[u8]) -> i64 {
    let is_negative = field.first().is_some_and(|first| first & 0x40 != 0);
    let mut value: i128 = if is_negative { -1 } else { 0 };
    for (index, byte) in field.iter().take(16).enumerate() {
        let byte = if index == 0 && !is_negative { byte & 0x7f } else { *byte };
        value = value.wrapping_shl(8) | i128::from(byte);
    }
    i64::try_from(value).unwrap_or(if is_negative { i64::MIN } else { i64::MAX })
}

fn octal(field: &[u8]) -> Option<i64> {
    let is_filling = |byte: &u8| matches!(byte, 0 | b' ');
    let start = field.iter().position(|byte| !is_filling(byte)).unwrap_or(field.len());
    let text = field.get(start..)?;
    let end = text.iter().position(is_filling).unwrap_or(text.len());
    let text = str::from_utf8(text.get(..end)?).ok()?;
    if text.is_empty() { Some(0) } else { i64::from_str_radix(text, 8).ok() }
}

fn is_blank(field: &[u8]) -> bool {
    field.iter().all(|byte| matches!(byte, 0 | b' '))
}

pub(crate) fn until_nul(name: &[u8]) -> &[u8] {
    name.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_read_as_tars_write_them() {
        for (field, expected) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"644 \0\0\0\0", Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\x00644\0junk", Some(0o644)),
            (b"00000644", Some(0o644)),
            (b"        ", Some(0)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"-0000001", Some(-1)),
            (b"0000x44\0", None),
            (b"0000899\0", None),
            (b"\x80\0\0\0\0\0\x01\0", Some(256)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", Some(i64::MAX)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xc0\0\0\0\0\0\0\0\0\0\0\0", Some(i64::MIN)),
        ] {
            assert_eq!(number(field), expected, "{}", field.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn every_number_in_base_256_comes_back(value in any::<i64>()) {
            let mark = if value < 0 { 0xff } else { 0x80 };
            let filling = if value < 0 { 0xff } else { 0 };
            let field = [&[mark, filling, filling, filling][..], &value.to_be_bytes()].concat();
            prop_assert_eq!(number(&field), Some(value));
        }

        #[test]
        fn no_field_panics(field in prop::collection::vec(any::<u8>(), 0..20)) {
            let _any = number(&field);
        }
    }

    #[test]
    fn a_sum_of_signed_bytes_is_right_as_well() {
        let mut block = Block([0; 512]);
        block.0[..3].copy_from_slice(b"\xe9t\xe9");
        let put = |block: &mut Block, sum: i64| {
            block.0[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        };
        let (unsigned, signed) = (8 * 32 + 0xe9 * 2 + i64::from(b't'), 8 * 32 - 23 * 2 + i64::from(b't'));
        for (sum, is_right) in [(unsigned, true), (signed, true), (signed + 1, false)] {
            put(&mut block, sum);
            assert_eq!(block.has_right_sum(), is_right, "{sum}");
        }
        block.0[148..156].fill(0);
        assert!(!block.has_right_sum());
    }

    #[test]
    fn the_prefix_is_a_part_of_the_name_in_ustar_only() {
        let mut block = Block([0; 512]);
        block.0[..4].copy_from_slice(b"name");
        block.0[345..348].copy_from_slice(b"a/b");
        assert_eq!(block.path(), b"name");
        block.0[257..265].copy_from_slice(b"ustar  \0");
        assert_eq!(block.path(), b"name");
        for version in [b"00", b"\0\0", b"  "] {
            block.0[257..263].copy_from_slice(b"ustar\0");
            block.0[263..265].copy_from_slice(version);
            assert_eq!(block.path(), b"a/b/name");
        }
    }
}
