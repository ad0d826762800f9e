//! Tells from the first bytes whether a stream may be an archive, so that an endless one of something else is not kept until
//! the disk is full. The daemon reads what is in it.

/// Bytes that decide: the header of a tar's first entry.
pub(crate) const START_BYTES: usize = 512;

/// How compressed files begin: gzip, bzip2, xz, zstd; and lz4, lzip, 7z and compress, which the daemon refuses by their names.
const MAGIC: [&[u8]; 8] = [
    &[0x1f, 0x8b],
    b"BZh",
    b"\xfd7zXZ\0",
    &[0x28, 0xb5, 0x2f, 0xfd],
    b"\x04\x22\x4d\x18",
    b"LZIP",
    b"7z\xbc\xaf",
    b"\x1f\x9d",
];
/// Skippable frames of zstd (RFC 8878, section 3.1.2): `0x184D2A50` to `0x184D2A5F`.
const ZSTD_SKIPPABLE: &[u8] = &[0x2a, 0x4d, 0x18];
/// Where the header of a tar has its checksum (`tar(5)`).
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// Tells whether what begins so may be a tar, or one that is compressed. Pass [`START_BYTES`] where there are so many.
pub(crate) fn may_be_archive(start: &[u8]) -> bool {
    MAGIC.iter().any(|magic| start.starts_with(magic)) || is_skippable(start) || is_tar(start)
}

fn is_skippable(start: &[u8]) -> bool {
    start.first().is_some_and(|byte| byte & 0xf0 == 0x50) && start.get(1..4) == Some(ZSTD_SKIPPABLE)
}

/// Tells whether the checksum of a header is right. Zeros have none: they are the end of a tar, and one that begins with them
/// has no image and may never end.
fn is_tar(start: &[u8]) -> bool {
    let Some(header) = start.get(..START_BYTES) else { return false };
    let field = String::from_utf8_lossy(header.get(CHECKSUM).unwrap_or_default()).into_owned();
    let Ok(wanted) = i64::from_str_radix(field.trim_matches([' ', '\0']), 8) else { return false };
    let bytes = || {
        let counts_as = |(index, byte): (usize, &u8)| if CHECKSUM.contains(&index) { b' ' } else { *byte };
        header.iter().enumerate().map(counts_as)
    };
    // Some old programs add signed characters.
    let unsigned: i64 = bytes().map(i64::from).sum();
    let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
    wanted == unsigned || wanted == signed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(name: &str) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_cksum();
        tar.append_data(&mut header, name, &[][..]).unwrap();
        tar.into_inner().unwrap()
    }

    #[test]
    fn tars_and_compressed_files_may_be_archives_and_endless_text_is_none() {
        assert!(may_be_archive(header("manifest.json").get(..START_BYTES).unwrap()));
        for start in [&b"\x1f\x8b\x08"[..], b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"\x5e\x2a\x4d\x18"]
        {
            assert!(may_be_archive(start), "{start:?}");
        }
        for start in ["y\n".repeat(256), String::new(), "{}".to_owned(), "PK\u{3}\u{4}".to_owned()] {
            assert!(!may_be_archive(start.as_bytes()), "{start:?}");
        }
        assert!(!may_be_archive(&[0; START_BYTES]), "a tar of nothing, or /dev/zero");
        assert!(!may_be_archive(&[0; START_BYTES - 1]), "cut off");
    }

    proptest! {
        #[test]
        fn a_changed_header_is_no_tar(index in 0..START_BYTES, change in 1_u8..) {
            let mut start = header("a").get(..START_BYTES).unwrap().to_vec();
            start[index] = start[index].wrapping_add(change);
            // A field of the checksum may say the same in another way.
            prop_assume!(!CHECKSUM.contains(&index));
            prop_assert!(!is_tar(&start));
        }
    }
}
