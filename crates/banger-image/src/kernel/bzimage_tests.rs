use proptest::prelude::*;

use super::*;
use crate::formats::compression::tests::pack;

fn elf(numbers: u32) -> Vec<u8> {
    let mut elf = b"\x7fELF".to_vec();
    elf.extend((0..numbers).flat_map(|number| (number / 200).to_le_bytes()));
    elf
}

/// A bzImage of this release around a payload.
pub(crate) fn bzimage(release: &str, payload: &[u8]) -> Vec<u8> {
    const RELEASE_PLACE: usize = 0x300;
    let mut image = vec![0; 3 * SECTOR_BYTES];
    image[SETUP_SECTORS] = 2;
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[VERSION..VERSION + 2].copy_from_slice(&0x020f_u16.to_le_bytes());
    let place = u16::try_from(RELEASE_PLACE - SECTOR_BYTES).unwrap();
    image[KERNEL_VERSION..KERNEL_VERSION + 2].copy_from_slice(&place.to_le_bytes());
    let text = format!("{release} (builder@host) #1 SMP");
    image[RELEASE_PLACE..RELEASE_PLACE + text.len()].copy_from_slice(text.as_bytes());
    image[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 4].copy_from_slice(&100_u32.to_le_bytes());
    let length = u32::try_from(payload.len()).unwrap();
    image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&length.to_le_bytes());
    image.extend([0xcc; 100]);
    image.extend(payload);
    image.extend([0xcc; 50]);
    image
}

/// Compresses a kernel as the kernel's own build does (`scripts/Makefile.lib`): the unpacked length comes last, except
/// after gzip, whose own trailer it is.
pub(crate) fn pack_kernel(how: &str, elf: &[u8]) -> Vec<u8> {
    let (tool, arguments): (&str, &[&str]) = match how {
        "gzip" => return pack("gzip", &["-n", "-f", "-9", "-c"], elf),
        "lz4" => ("lz4", &["-l", "-9", "-c", "-q"]),
        "xz" => ("xz", &["--check=crc32", "--x86", "--lzma2=,dict=32MiB", "-c"]),
        "lzma" => ("xz", &["--format=lzma", "-9", "-c"]),
        "zstd" => ("zstd", &["-22", "--ultra", "-q", "-c"]),
        other => panic!("{other}"),
    };
    let mut packed = pack(tool, arguments, elf);
    packed.extend(u32::try_from(elf.len()).unwrap().to_le_bytes());
    packed
}

#[test]
fn the_elf_kernel_comes_out_of_every_compression() {
    for how in ["gzip", "lz4", "xz", "lzma", "zstd"] {
        // More than one block of LZ4.
        let elf = elf(if how == "lz4" { 2_200_000 } else { 50_000 });
        let image = bzimage("6.1", &pack_kernel(how, &elf));
        assert!(extract_vmlinux(&image).unwrap_or_else(|error| panic!("{how}: {error}")) == elf, "{how}");
    }
    let elf = elf(1000);
    assert!(extract_vmlinux(&bzimage("6.1", &elf)).unwrap() == elf);
}

#[test]
fn the_release_is_the_first_word_that_the_header_points_to() {
    for release in ["6.1.0-56-cloud-amd64", "6.12.68_1", "6.6.100-0-virt"] {
        assert_eq!(super::release(&bzimage(release, b"")).unwrap(), release);
    }
    let mut none = bzimage("6.1", b"");
    none[KERNEL_VERSION..KERNEL_VERSION + 2].fill(0);
    assert!(matches!(super::release(&none), Err(BzImageError::NoRelease)));
    none[KERNEL_VERSION..KERNEL_VERSION + 2].fill(0xff);
    assert!(matches!(super::release(&none), Err(BzImageError::NoRelease)));
}

#[test]
fn what_is_no_bzimage_is_refused() {
    assert!(matches!(extract_vmlinux(b""), Err(BzImageError::NotBzImage)));
    assert!(matches!(extract_vmlinux(&[0; 4096]), Err(BzImageError::NotBzImage)));
    let mut old = bzimage("6.1", &pack_kernel("lz4", b"\x7fELF"));
    old[VERSION] = 0x07;
    assert_eq!(
        extract_vmlinux(&old).unwrap_err().to_string(),
        "the kernel has boot protocol 2.07; at least 2.08 is needed"
    );
    let not_elf = bzimage("6.1", &pack_kernel("lz4", b"no elf"));
    assert!(matches!(extract_vmlinux(&not_elf), Err(BzImageError::NotElf)));
    let unknown = bzimage("6.1", &pack("bzip2", &["-c"], b"\x7fELF"));
    assert!(matches!(extract_vmlinux(&unknown), Err(BzImageError::UnknownCompression(_))));
}

#[test]
fn a_cut_kernel_is_an_error_wherever_it_is_cut() {
    for how in ["gzip", "lz4", "xz", "zstd"] {
        let whole = bzimage("6.1", &pack_kernel(how, b"\x7fELF and more"));
        for length in (0..whole.len() - 50).rev().step_by(if how == "lz4" { 1 } else { 37 }) {
            assert!(extract_vmlinux(&whole[..length]).is_err(), "{how} {length}");
        }
    }
}

proptest! {
    #[test]
    fn no_image_makes_it_panic(setup: Vec<u8>, payload: Vec<u8>, cut in 0_usize..2000) {
        let mut image = bzimage("6.1", &payload);
        for (place, byte) in setup.iter().enumerate() {
            image[0x206 + place % 0x80] ^= byte;
        }
        image.truncate(cut);
        let _ = (extract_vmlinux(&image), super::release(&image));
    }
}
