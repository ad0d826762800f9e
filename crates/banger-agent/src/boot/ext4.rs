//! Mounts ext4 drives and grows their file systems: the host makes a small file system on a large drive.

use std::{
    fs, io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use rustix::mount::MountFlags;

use super::kernel_mounts::{MountError, make_directory};
use crate::{console, os::ioctl};

const SECTOR_BYTES: u64 = 512;
const SUPERBLOCK_OFFSET: u64 = 1024;

/// Whether the guest may write to a drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    ReadOnly,
    ReadWrite,
}

/// A file system cannot be grown; it keeps working at its old size.
#[derive(Debug, thiserror::Error)]
#[error("cannot grow the file system on `{}`", device.display())]
struct GrowError {
    device: PathBuf,
    source: io::Error,
}

/// Mounts the drive and, if it is writable, grows its file system.
pub(super) fn mount(device: &Path, place: &Path, access: Access) -> Result<(), MountError> {
    let failed = |source| MountError {
        what: device.display().to_string(),
        place: place.display().to_string(),
        source,
    };
    make_directory(place).map_err(failed)?;
    let (flags, options) = match access {
        // The journal of a shared drive is never replayed, because nobody may write to the drive.
        Access::ReadOnly => (MountFlags::RDONLY | MountFlags::NOATIME, Some(c"noload")),
        // The kernel would zero the inode tables of a grown file system in the background, and so fill a sparse drive with
        // zeros; the group descriptors say that the tables are unused.
        Access::ReadWrite => (MountFlags::NOATIME, Some(c"noinit_itable")),
    };
    rustix::mount::mount(device, place, "ext4", flags, options).map_err(|e| failed(e.into()))?;
    if access == Access::ReadWrite
        && let Err(error) = grow(device, place)
    {
        console::error(&error);
    }
    Ok(())
}

fn grow(device: &Path, place: &Path) -> Result<(), GrowError> {
    let failed = |source| GrowError { device: device.to_owned(), source };
    let name = device.file_name().unwrap_or_default();
    let sectors =
        fs::read_to_string(Path::new("/sys/class/block").join(name).join("size")).map_err(failed)?;
    let sectors: u64 = sectors.trim().parse().map_err(|e| failed(io::Error::other(e)))?;
    let mut superblock = [0; 1024];
    fs::File::open(device)
        .and_then(|file| file.read_exact_at(&mut superblock, SUPERBLOCK_OFFSET))
        .map_err(failed)?;
    let Some(size) = Size::of(&superblock) else { return Ok(()) };
    let wanted = sectors * SECTOR_BYTES / size.block_bytes;
    if wanted <= size.blocks {
        return Ok(());
    }
    let directory = fs::File::open(place).map_err(failed)?;
    ioctl::resize_ext4(&directory, wanted).map_err(failed)
}

#[derive(Debug, PartialEq, Eq)]
struct Size {
    blocks: u64,
    block_bytes: u64,
}

impl Size {
    /// Reads the values from the superblock's fixed offsets.
    fn of(superblock: &[u8]) -> Option<Self> {
        let word = |offset: usize| -> Option<u64> {
            let bytes = superblock.get(offset..offset + 4)?.try_into().ok()?;
            Some(u32::from_le_bytes(bytes).into())
        };
        let is_ext4 = superblock.get(0x38..0x3a)? == [0x53, 0xef];
        let has_64_bit_counts = word(0x60)? & 0x80 != 0;
        let high = if has_64_bit_counts { word(0x150)? } else { 0 };
        let block_bytes = 1024_u64.checked_shl(u32::try_from(word(0x18)?).ok()?)?;
        (is_ext4 && block_bytes > 0).then_some(Self { blocks: high << 32 | word(0x4)?, block_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_read_from_the_superblock() {
        let mut superblock = [0; 1024];
        superblock[0x38..0x3a].copy_from_slice(&[0x53, 0xef]);
        superblock[0x4..0x8].copy_from_slice(&7_u32.to_le_bytes());
        superblock[0x18] = 2;
        superblock[0x150] = 1;
        assert_eq!(Size::of(&superblock), Some(Size { blocks: 7, block_bytes: 4096 }));
        superblock[0x60] = 0x80;
        assert_eq!(Size::of(&superblock), Some(Size { blocks: (1 << 32) + 7, block_bytes: 4096 }));
        assert_eq!(Size::of(&[0; 1024]), None);
        assert_eq!(Size::of(&[]), None);
    }
}
