//! Takes the ELF kernel out of an x86 bzImage, and reads its release.
//! Source: Documentation/arch/x86/boot.rst of the kernel (fields `setup_sects`, `kernel_version`, `payload_offset`,
//! `payload_length`). Debian compresses with LZ4 or xz, Void and Alpine with gzip, others with zstd.

use std::io::{self, Read};

use crate::formats::compression::{lzma, xz};

const HEADER_MAGIC: (usize, &[u8]) = (0x202, b"HdrS");
const SETUP_SECTORS: usize = 0x1f1;
const VERSION: usize = 0x206;
/// Place of the release's text, counted from the second sector.
const KERNEL_VERSION: usize = 0x20e;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
/// The first version of the boot protocol with the payload's place.
const VERSION_MIN: u16 = 0x0208;
const SECTOR_BYTES: usize = 512;

const GZIP: &[u8] = &[0x1f, 0x8b];
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const LZ4_LEGACY: &[u8] = &[0x02, 0x21, 0x4c, 0x18];
/// The form before xz: a byte of properties, as `lzma` always sets them.
const LZMA: &[u8] = &[0x5d, 0, 0];
const ELF: &[u8] = b"\x7fELF";
/// How much of a bzImage is enough to read its release.
pub(crate) const SETUP_BYTES_MAX: usize = 128 << 10;
/// Most bytes that one block of the legacy LZ4 form unpacks to.
const LZ4_BLOCK_BYTES_MAX: usize = 8 << 20;
/// No kernel is larger; a damaged one must not eat the host's memory.
pub(crate) const KERNEL_BYTES_MAX: u64 = 512 << 20;

/// Why there is no ELF kernel in a bzImage.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum BzImageError {
    #[error("the kernel is not a bzImage")]
    NotBzImage,
    #[error("the kernel has boot protocol {}.{:02}; at least 2.08 is needed", .0 >> 8, .0 & 0xff)]
    TooOld(u16),
    #[error("the kernel is truncated: its payload goes past its end")]
    Cut,
    #[error("the kernel's payload has an unknown compression (it starts with {0:02x?})")]
    UnknownCompression(Vec<u8>),
    #[error("cannot unpack the kernel's {how} payload")]
    Unpack { how: &'static str, source: io::Error },
    #[error("the kernel's payload is not an ELF program")]
    NotElf,
    #[error("the kernel's header does not contain its release")]
    NoRelease,
}

/// Returns the kernel's release as its header tells it, from the beginning of a bzImage.
pub(crate) fn release(image: &[u8]) -> Result<String, BzImageError> {
    check_header(image)?;
    let place = usize::from(u16::from_le_bytes(field(image, KERNEL_VERSION)?));
    let text = image.get(place + SECTOR_BYTES..).filter(|_| place != 0).ok_or(BzImageError::NoRelease)?;
    let text = text.split(|byte| *byte == 0 || *byte == b' ').next().unwrap_or_default();
    let is_release = !text.is_empty() && text.iter().all(u8::is_ascii_graphic);
    let text = std::str::from_utf8(text).ok().filter(|_| is_release);
    text.map(str::to_owned).ok_or(BzImageError::NoRelease)
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
        read("xz", xz(payload))?
    } else if payload.starts_with(GZIP) {
        read("gzip", Ok(flate2::read::GzDecoder::new(payload)))?
    } else if payload.starts_with(LZMA) {
        read("LZMA", lzma(payload))?
    } else if payload.starts_with(ELF) {
        payload.to_vec()
    } else {
        return Err(BzImageError::UnknownCompression(payload.iter().take(6).copied().collect()));
    };
    if vmlinux.starts_with(ELF) { Ok(vmlinux) } else { Err(BzImageError::NotElf) }
}

fn check_header(image: &[u8]) -> Result<(), BzImageError> {
    let (place, magic) = HEADER_MAGIC;
    if image.get(place..place + magic.len()) != Some(magic) {
        return Err(BzImageError::NotBzImage);
    }
    let version = u16::from_le_bytes(field(image, VERSION)?);
    if version < VERSION_MIN { Err(BzImageError::TooOld(version)) } else { Ok(()) }
}

fn payload(image: &[u8]) -> Result<&[u8], BzImageError> {
    check_header(image)?;
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
        if vmlinux.len() + count > size {
            return Err(damaged("another length than promised"));
        }
        vmlinux.extend_from_slice(block.get(..count).unwrap_or_default());
        rest = after;
    }
    if vmlinux.len() == size { Ok(vmlinux) } else { Err(damaged("another length than promised")) }
}

#[cfg(test)]
#[path = "bzimage_tests.rs"]
pub(crate) mod tests;
