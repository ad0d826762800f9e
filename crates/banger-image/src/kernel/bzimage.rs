//! Takes the ELF kernel out of an x86 bzImage.
//! Source: Documentation/arch/x86/boot.rst of the kernel (fields `setup_sects`, `payload_offset`, `payload_length`).

use std::io::{self, Read};

const HEADER_MAGIC: (usize, &[u8]) = (0x202, b"HdrS");
const SETUP_SECTORS: usize = 0x1f1;
const VERSION: usize = 0x206;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
/// The first version of the boot protocol with the payload's place.
const VERSION_MIN: u16 = 0x0208;
const SECTOR_BYTES: usize = 512;

const GZIP: &[u8] = &[0x1f, 0x8b];
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const LZ4_LEGACY: &[u8] = &[0x02, 0x21, 0x4c, 0x18];
/// Most bytes that one block of the legacy LZ4 form unpacks to.
const LZ4_BLOCK_BYTES_MAX: usize = 8 << 20;
/// No kernel is larger; a damaged one must not eat the host's memory.
const KERNEL_BYTES_MAX: u64 = 512 << 20;

/// Why there is no ELF kernel in a bzImage.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum BzImageError {
    #[error("the kernel is no bzImage")]
    NotBzImage,
    #[error("the kernel has boot protocol {}.{:02}, and 2.08 is the oldest with a payload", .0 >> 8, .0 & 0xff)]
    TooOld(u16),
    #[error("the kernel is cut: its payload goes past its end")]
    Cut,
    #[error("the kernel's payload is compressed in a way that is not known (it starts with {0:02x?})")]
    UnknownCompression(Vec<u8>),
    #[error("cannot unpack the kernel's {how} payload")]
    Unpack { how: &'static str, source: io::Error },
    #[error("the kernel's payload is no ELF program")]
    NotElf,
}

/// Returns the ELF kernel.
pub(crate) fn extract_vmlinux(image: &[u8]) -> Result<Vec<u8>, BzImageError> {
    let payload = payload(image)?;
    let vmlinux = if payload.starts_with(LZ4_LEGACY) {
        unpack_lz4_legacy(payload).map_err(|source| BzImageError::Unpack { how: "LZ4", source })?
    } else if payload.starts_with(ZSTD) {
        let decoder = ruzstd::decoding::StreamingDecoder::new(payload).map_err(io::Error::other);
        read("zstd", decoder)?
    } else if payload.starts_with(XZ) {
        read("xz", Ok(liblzma::read::XzDecoder::new(payload)))?
    } else if payload.starts_with(GZIP) {
        read("gzip", Ok(flate2::read::GzDecoder::new(payload)))?
    } else {
        return Err(BzImageError::UnknownCompression(payload.iter().take(6).copied().collect()));
    };
    if vmlinux.starts_with(b"\x7fELF") { Ok(vmlinux) } else { Err(BzImageError::NotElf) }
}

fn payload(image: &[u8]) -> Result<&[u8], BzImageError> {
    let (place, magic) = HEADER_MAGIC;
    if image.get(place..place + magic.len()) != Some(magic) {
        return Err(BzImageError::NotBzImage);
    }
    let version = u16::from_le_bytes(field(image, VERSION)?);
    if version < VERSION_MIN {
        return Err(BzImageError::TooOld(version));
    }
    // 0 means 4, for the sake of very old boot loaders.
    let [setup_sectors] = field::<1>(image, SETUP_SECTORS)?;
    let setup_sectors = if setup_sectors == 0 { 4 } else { usize::from(setup_sectors) };
    let offset = u32::from_le_bytes(field(image, PAYLOAD_OFFSET)?) as usize;
    let length = u32::from_le_bytes(field(image, PAYLOAD_LENGTH)?) as usize;
    let start = (setup_sectors + 1) * SECTOR_BYTES + offset;
    image.get(start..start.saturating_add(length)).ok_or(BzImageError::Cut)
}

fn field<const N: usize>(image: &[u8], place: usize) -> Result<[u8; N], BzImageError> {
    image.get(place..).and_then(|rest| rest.first_chunk()).copied().ok_or(BzImageError::Cut)
}

fn read(how: &'static str, decoder: io::Result<impl Read>) -> Result<Vec<u8>, BzImageError> {
    let mut vmlinux = Vec::new();
    decoder
        .and_then(|decoder| decoder.take(KERNEL_BYTES_MAX).read_to_end(&mut vmlinux))
        .map_err(|source| BzImageError::Unpack { how, source })?;
    Ok(vmlinux)
}

/// The legacy form: a magic, then blocks with their packed length before them. The kernel's build adds the unpacked
/// length as the last four bytes.
fn unpack_lz4_legacy(payload: &[u8]) -> io::Result<Vec<u8>> {
    let damaged = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text);
    let (blocks, size) = payload.split_last_chunk::<4>().ok_or_else(|| damaged("no length"))?;
    let size = u32::from_le_bytes(*size) as usize;
    if size as u64 > KERNEL_BYTES_MAX {
        return Err(damaged("too large"));
    }
    let mut rest = blocks.strip_prefix(LZ4_LEGACY).ok_or_else(|| damaged("no magic"))?;
    let mut vmlinux = Vec::with_capacity(size);
    let mut block = vec![0; LZ4_BLOCK_BYTES_MAX];
    while let Some((packed_bytes, after)) = rest.split_first_chunk::<4>() {
        let packed_bytes = u32::from_le_bytes(*packed_bytes) as usize;
        let (packed, after) = after.split_at_checked(packed_bytes).ok_or_else(|| damaged("cut block"))?;
        let count = lz4_flex::block::decompress_into(packed, &mut block).map_err(io::Error::other)?;
        vmlinux.extend_from_slice(block.get(..count).unwrap_or_default());
        rest = after;
    }
    if vmlinux.len() == size { Ok(vmlinux) } else { Err(damaged("another length than promised")) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn elf() -> Vec<u8> {
        // Larger than one LZ4 block, and not all the same.
        let mut elf = b"\x7fELF".to_vec();
        elf.extend((0..3_000_000_u32).flat_map(u32::to_le_bytes));
        elf
    }

    fn bzimage(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 3 * SECTOR_BYTES];
        image[SETUP_SECTORS] = 2;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[VERSION..VERSION + 2].copy_from_slice(&0x020f_u16.to_le_bytes());
        image[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 4].copy_from_slice(&100_u32.to_le_bytes());
        let length = u32::try_from(payload.len()).unwrap();
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&length.to_le_bytes());
        image.extend([0xcc; 100]);
        image.extend(payload);
        image.extend([0xcc; 50]);
        image
    }

    fn with_size(mut packed: Vec<u8>, size: usize) -> Vec<u8> {
        packed.extend(u32::try_from(size).unwrap().to_le_bytes());
        packed
    }

    fn lz4(content: &[u8]) -> Vec<u8> {
        let mut packed = LZ4_LEGACY.to_vec();
        for block in content.chunks(LZ4_BLOCK_BYTES_MAX) {
            let block = lz4_flex::block::compress(block);
            packed.extend(u32::try_from(block.len()).unwrap().to_le_bytes());
            packed.extend(block);
        }
        with_size(packed, content.len())
    }

    fn zstd(content: &[u8]) -> Vec<u8> {
        let level = ruzstd::encoding::CompressionLevel::Uncompressed;
        with_size(ruzstd::encoding::compress_to_vec(content, level), content.len())
    }

    fn xz(content: &[u8]) -> Vec<u8> {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
        encoder.write_all(content).unwrap();
        with_size(encoder.finish().unwrap(), content.len())
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_elf_kernel_comes_out_of_every_compression() {
        let elf = elf();
        for packed in [lz4(&elf), zstd(&elf), xz(&elf), gzip(&elf)] {
            assert!(extract_vmlinux(&bzimage(&packed)).unwrap() == elf);
        }
    }

    #[test]
    fn what_is_no_bzimage_is_refused() {
        assert!(matches!(extract_vmlinux(b""), Err(BzImageError::NotBzImage)));
        assert!(matches!(extract_vmlinux(&[0; 4096]), Err(BzImageError::NotBzImage)));
        let mut old = bzimage(&lz4(b"\x7fELF"));
        old[VERSION] = 0x07;
        assert_eq!(
            extract_vmlinux(&old).unwrap_err().to_string(),
            "the kernel has boot protocol 2.07, and 2.08 is the oldest with a payload"
        );
        assert!(matches!(extract_vmlinux(&bzimage(&lz4(b"no elf"))), Err(BzImageError::NotElf)));
        assert!(matches!(extract_vmlinux(&bzimage(b"BZh91")), Err(BzImageError::UnknownCompression(_))));
    }

    #[test]
    fn a_cut_kernel_is_an_error_wherever_it_is_cut() {
        let whole = bzimage(&lz4(b"\x7fELF and more"));
        for length in 0..whole.len() - 50 {
            assert!(extract_vmlinux(&whole[..length]).is_err(), "{length}");
        }
    }
}
