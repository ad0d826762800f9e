//! What a pull may take: of the disk, of memory, of time. What strangers pack is small where it lies and large where it is
//! unpacked, so it is measured while it grows. All limits stand in [`PullLimits::default`]; `docs/images.md` has the table.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use banger_ext4::Ext4Writer;
use banger_model::{BelowFloor, DiskFloor, DiskRoom, Hint, display_rounded};
use banger_sys::host::disk_space;

/// How much may be written before the free space is looked at again.
const LOOK_BYTES: u64 = 64 << 20;

/// The limits of one pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PullLimits {
    /// Files, directories and everything else in the root.
    pub entries_max: u64,
    /// Bytes that all layers, or the root of a bundle, unpack to.
    pub unpacked_bytes_max: u64,
    /// What is unpacked may be so many times as large as it was...
    pub ratio_max: u64,
    /// ...once it is larger than this.
    pub ratio_free_bytes: u64,
}

impl Default for PullLimits {
    fn default() -> Self {
        Self {
            entries_max: 1_000_000,
            unpacked_bytes_max: 64 << 30,
            ratio_max: 200,
            ratio_free_bytes: 1 << 30,
        }
    }
}

impl PullLimits {
    /// The same with another number of bytes, where there is one.
    pub(crate) fn with_bytes_max(self, bytes_max: Option<u64>) -> Self {
        Self { unpacked_bytes_max: bytes_max.unwrap_or(self.unpacked_bytes_max), ..self }
    }

    /// Memory for the entries while the root is written: 224 bytes each, and something for a few large ones.
    #[must_use]
    pub fn memory_bytes_max(&self) -> u64 {
        self.entries_max.saturating_mul(224).saturating_add(8 << 20)
    }
}

/// Why a pull is ended: it would take more than it may.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum OverLimit {
    #[error("it has more than {entries_max} files and directories")]
    Entries { entries_max: u64 },
    #[error("its names, links and attributes take more than {} of memory", display_rounded(*bytes_max))]
    Memory { bytes_max: u64 },
    #[error("it unpacks to more than {}", display_rounded(*bytes_max))]
    Bytes { bytes_max: u64 },
    #[error("it is {} but unpacks to more than {}, which is not plausible for an image", display_rounded(*packed_bytes), display_rounded(*bytes_max))]
    Ratio { packed_bytes: u64, bytes_max: u64 },
    #[error(transparent)]
    Floor(BelowFloor),
}

impl OverLimit {
    /// What to type or do next.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::Entries { .. } | Self::Memory { .. } => {
                Some(Hint::advice("if it is right so, raise max_entries under [pulls] in the configuration"))
            }
            Self::Bytes { .. } => Some(Hint::RaiseMaxSize),
            Self::Ratio { .. } => None,
            Self::Floor(_) => Some(Hint::FreeSpace),
        }
    }
}

/// Refuses to write so many bytes where too little would stay free. A file system that does not tell has room.
pub(crate) fn check_floor(floor: DiskFloor, path: &Path, needed_bytes: u64) -> Result<(), BelowFloor> {
    let Ok(space) = disk_space(path) else { return Ok(()) };
    let room = DiskRoom { path, free_bytes: space.free_bytes, total_bytes: space.total_bytes };
    floor.check(&room, needed_bytes)
}

/// What one pull has taken so far. Shared by those who work on it.
#[derive(Debug)]
pub(crate) struct Allowance {
    limits: PullLimits,
    floor: DiskFloor,
    /// Where is written.
    path: PathBuf,
    packed_bytes: u64,
    unpacked_bytes: AtomicU64,
}

impl Allowance {
    /// For something of this size before it is unpacked.
    pub(crate) fn new(limits: PullLimits, floor: DiskFloor, path: PathBuf, packed_bytes: u64) -> Self {
        Self { limits, floor, path, packed_bytes, unpacked_bytes: AtomicU64::new(0) }
    }

    /// Takes note of unpacked bytes that are about to be written.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), OverLimit> {
        let bytes = bytes as u64;
        let before = self.unpacked_bytes.fetch_add(bytes, Ordering::Relaxed);
        let all = before.saturating_add(bytes);
        let bytes_max = self.limits.unpacked_bytes_max;
        if all > bytes_max {
            return Err(OverLimit::Bytes { bytes_max });
        }
        let of_ratio = self.packed_bytes.saturating_mul(self.limits.ratio_max);
        let bytes_max = of_ratio.max(self.limits.ratio_free_bytes);
        if all > bytes_max {
            return Err(OverLimit::Ratio { packed_bytes: self.packed_bytes, bytes_max });
        }
        if before / LOOK_BYTES != all / LOOK_BYTES {
            check_floor(self.floor, &self.path, LOOK_BYTES).map_err(OverLimit::Floor)?;
        }
        Ok(())
    }

    /// Looks at how many entries there are, and at what they hold.
    pub(crate) fn check_entries(&self, writer: &Ext4Writer) -> Result<(), OverLimit> {
        let (entries_max, bytes_max) = (self.limits.entries_max, self.limits.memory_bytes_max());
        if writer.entries() > entries_max {
            Err(OverLimit::Entries { entries_max })
        } else if writer.memory_bytes() > bytes_max {
            Err(OverLimit::Memory { bytes_max })
        } else {
            Ok(())
        }
    }

    /// Looks whether there is room for what is written at the end: inodes and directories.
    pub(crate) fn check_end(&self, writer: &Ext4Writer) -> Result<(), OverLimit> {
        check_floor(self.floor, &self.path, writer.metadata_bytes()).map_err(OverLimit::Floor)
    }
}

#[cfg(any(test, fuzzing))]
impl Allowance {
    /// One that refuses nothing.
    pub(crate) fn endless() -> Self {
        let all = u64::MAX;
        let limits =
            PullLimits { entries_max: all, unpacked_bytes_max: all, ratio_max: all, ratio_free_bytes: all };
        Self::new(limits, DiskFloor::Bytes(0), PathBuf::from("/"), all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowance(limits: PullLimits, packed_bytes: u64) -> Allowance {
        Allowance::new(limits, DiskFloor::Bytes(0), PathBuf::from("/"), packed_bytes)
    }

    #[test]
    fn the_last_byte_that_is_allowed_is_allowed() {
        let limits = PullLimits {
            unpacked_bytes_max: 1000,
            ratio_free_bytes: 100,
            ratio_max: 10,
            ..PullLimits::default()
        };
        let by_size = allowance(limits, 500);
        assert_eq!((by_size.take(999), by_size.take(1)), (Ok(()), Ok(())));
        assert_eq!(by_size.take(1), Err(OverLimit::Bytes { bytes_max: 1000 }));
        let by_ratio = allowance(limits, 20);
        assert_eq!((by_ratio.take(200), by_ratio.take(0)), (Ok(()), Ok(())));
        assert_eq!(by_ratio.take(1), Err(OverLimit::Ratio { packed_bytes: 20, bytes_max: 200 }));
        let small = allowance(limits, 1);
        assert_eq!(small.take(100), Ok(()), "what is small may be packed as well as it likes");
        assert!(small.take(1).is_err());
    }

    #[test]
    fn the_floor_is_looked_at_while_it_grows() {
        let all = Allowance::new(
            PullLimits::default(),
            DiskFloor::Bytes(u64::MAX / 2),
            PathBuf::from("/"),
            1 << 30,
        );
        let look = usize::try_from(LOOK_BYTES).unwrap();
        assert_eq!(all.take(look - 1), Ok(()));
        assert!(matches!(all.take(1), Err(OverLimit::Floor(_))));
    }

    #[test]
    fn a_million_entries_fit_into_256_mib_of_memory() {
        assert!(PullLimits::default().memory_bytes_max() <= 256 << 20);
    }

    #[test]
    fn every_limit_is_told_with_its_size_and_what_to_do() {
        let ratio = OverLimit::Ratio { packed_bytes: 2 << 20, bytes_max: 1 << 30 };
        assert_eq!(
            ratio.to_string(),
            "it is 2M but unpacks to more than 1024M, which is not plausible for an image"
        );
        assert_eq!(ratio.hint(), None);
        let bytes = OverLimit::Bytes { bytes_max: 1 << 30 };
        assert_eq!(bytes.to_string(), "it unpacks to more than 1024M");
        assert_eq!(bytes.hint(), Some(Hint::RaiseMaxSize));
        let entries = OverLimit::Entries { entries_max: 7 };
        assert_eq!(entries.to_string(), "it has more than 7 files and directories");
        assert!(matches!(entries.hint(), Some(Hint::Advice { text }) if text.contains("max_entries")));
    }
}
