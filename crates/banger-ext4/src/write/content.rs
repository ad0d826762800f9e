//! Streams the content of a file to the disk, leaving out blocks of zeros.

use std::io::{self, Read as _};

use crate::content::Content;
use crate::disk::bytes::{clamp32, disk_len};
use crate::disk::geometry::{BLOCK_BYTES, BLOCK_SIZE};
use crate::error::FormatError;
use crate::path::shown;
use crate::write::allocator::Allocator;
use crate::write::block_file::BlockFile;
use crate::write::extent::{self, Extent, Extents};

const CHUNK_BYTES: u64 = 256 << 10;
const ZEROS: [u8; BLOCK_SIZE] = [0; BLOCK_SIZE];
/// Block numbers within a file have 32 bits.
const FILE_BYTES_MAX: u64 = (u32::MAX as u64) * BLOCK_BYTES;

/// Writes exactly `size` bytes of content. Returns their location.
pub(crate) fn store(
    path: &[u8],
    size: u64,
    content: &mut dyn Content,
    allocator: &mut Allocator,
    file: &mut BlockFile,
) -> Result<Extents, FormatError> {
    if size > FILE_BYTES_MAX {
        return Err(FormatError::FileTooLarge { path: shown(path), size });
    }
    let mut extents = Vec::new();
    let stored = store_chunks(path, size, content, allocator, file, &mut extents);
    if let Err(error) = stored {
        // The caller may continue without this file, so its blocks must be freed.
        for extent in extents {
            allocator.release(extent.run());
        }
        return Err(error);
    }
    Ok(extents.into())
}

fn store_chunks(
    path: &[u8],
    size: u64,
    content: &mut dyn Content,
    allocator: &mut Allocator,
    file: &mut BlockFile,
    extents: &mut Vec<Extent>,
) -> Result<(), FormatError> {
    let mut chunk = Vec::with_capacity(usize::try_from(size.min(CHUNK_BYTES)).unwrap_or(0));
    let mut offset = 0;
    while offset < size {
        offset += content.skip_zeros().min(size - offset);
        let wanted = (size - offset).min(CHUNK_BYTES);
        chunk.clear();
        content
            .take(wanted)
            .read_to_end(&mut chunk)
            .map_err(|source: io::Error| FormatError::ReadContent { path: shown(path), source })?;
        if disk_len(chunk.len()) < wanted {
            return Err(FormatError::ContentEndsEarly { path: shown(path), size });
        }
        store_data(&chunk, offset / BLOCK_BYTES, allocator, file, extents)?;
        offset += wanted;
    }
    Ok(())
}

fn store_data(
    chunk: &[u8],
    file_block: u64,
    allocator: &mut Allocator,
    file: &mut BlockFile,
    extents: &mut Vec<Extent>,
) -> Result<(), FormatError> {
    let mut file_block = file_block;
    let mut rest = chunk;
    while !rest.is_empty() {
        let (hole, from_data) = split_blocks(rest, is_zero);
        file_block += disk_len(hole.len()).div_ceil(BLOCK_BYTES);
        let (mut data, after) = split_blocks(from_data, |block| !is_zero(block));
        while !data.is_empty() {
            let run = allocator.take_some(disk_len(data.len()).div_ceil(BLOCK_BYTES))?;
            let run_bytes = usize::try_from(run.blocks * BLOCK_BYTES).unwrap_or(usize::MAX);
            let (now, later) = data.split_at(run_bytes.min(data.len()));
            extent::append(extents, clamp32(file_block), run);
            file.write(run.start, now)?;
            file_block += run.blocks;
            data = later;
        }
        rest = after;
    }
    Ok(())
}

/// Splits off the leading blocks that satisfy `wanted`.
fn split_blocks(bytes: &[u8], wanted: impl Fn(&[u8]) -> bool) -> (&[u8], &[u8]) {
    let blocks = bytes.chunks(BLOCK_SIZE).take_while(|block| wanted(block)).count();
    bytes.split_at((blocks * BLOCK_SIZE).min(bytes.len()))
}

fn is_zero(block: &[u8]) -> bool {
    ZEROS.get(..block.len()).is_some_and(|zeros| zeros == block)
}
