//! The disk floor: how many bytes of the host's disk stay free, so that stopping, deleting and the host itself always have
//! space. Work that would go below it (a create, a start, a pull) is refused before it begins.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::size::{SizeError, display_rounded, parse_bytes};

const MIB: u64 = 1024 * 1024;

/// The disk space that must stay free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiskFloor {
    /// 2 % of the disk, at least 512 MiB, at most 4 GiB, but never more than a tenth, so that small disks remain usable.
    #[default]
    Share,
    /// A fixed number of bytes; 0 turns the floor off.
    Bytes(u64),
}

/// Free space of the file system that holds a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskRoom<'a> {
    /// A path on that file system.
    pub path: &'a Path,
    /// Bytes that this user may still write.
    pub free_bytes: u64,
    /// Size of the whole file system.
    pub total_bytes: u64,
}

/// A refusal: the request would leave too little free space.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.sentence())]
#[expect(missing_docs, reason = "every field is plain")]
pub struct BelowFloor {
    pub path: PathBuf,
    pub free_bytes: u64,
    pub floor_bytes: u64,
    /// Bytes that the request would write at once; 0 if that is not known.
    pub needed_bytes: u64,
}

impl DiskFloor {
    /// Returns how many bytes must stay free on a file system of this size.
    #[must_use]
    pub fn bytes(self, total_bytes: u64) -> u64 {
        match self {
            Self::Share => (total_bytes / 50).clamp(512 * MIB, 4096 * MIB).min(total_bytes / 10),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// Tells whether a guest that was paused by a full disk may resume. An eighth of the floor is enough: with a higher
    /// limit the guest would wait for ever on a disk that stays nearly full; with a lower one it would be paused again at
    /// once.
    #[must_use]
    pub fn has_room_again(self, room: &DiskRoom<'_>) -> bool {
        room.free_bytes >= (self.bytes(room.total_bytes) / 8).max(4 * MIB)
    }

    /// Refuses to write `needed_bytes` if less than the floor would stay free, and anything on a disk without a free byte.
    ///
    /// # Errors
    /// [`BelowFloor`].
    pub fn check(self, room: &DiskRoom<'_>, needed_bytes: u64) -> Result<(), BelowFloor> {
        let floor_bytes = self.bytes(room.total_bytes);
        // A file system that tells no size has no limit that could be seen.
        let is_full = room.free_bytes == 0 && room.total_bytes > 0;
        if !is_full && room.free_bytes >= floor_bytes.saturating_add(needed_bytes) {
            return Ok(());
        }
        Err(BelowFloor { path: room.path.to_owned(), free_bytes: room.free_bytes, floor_bytes, needed_bytes })
    }
}

impl FromStr for DiskFloor {
    type Err = SizeError;

    /// Parses `auto`, or a size such as `2G`; `0` turns the floor off.
    fn from_str(text: &str) -> Result<Self, SizeError> {
        if text.trim() == "auto" {
            return Ok(Self::Share);
        }
        let bad = |_error| SizeError::NotASize { text: text.to_owned(), example: "2G" };
        u64::try_from(parse_bytes(text, 1, "2G")?).map(Self::Bytes).map_err(bad)
    }
}

impl BelowFloor {
    fn sentence(&self) -> String {
        let [free, floor, needed] =
            [self.free_bytes, self.floor_bytes, self.needed_bytes].map(display_rounded);
        let path = self.path.display();
        if self.free_bytes == 0 && self.floor_bytes == 0 {
            format!("the disk of `{path}` is full")
        } else if self.needed_bytes == 0 {
            format!("the disk of `{path}` has {free} free, and {floor} must stay free")
        } else if self.floor_bytes == 0 {
            format!("the disk of `{path}` has {free} free, and {needed} are needed")
        } else {
            format!("the disk of `{path}` has {free} free, {needed} are needed, and {floor} must stay free")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn room(free_bytes: u64, total_bytes: u64) -> DiskRoom<'static> {
        DiskRoom { path: Path::new("/state"), free_bytes, total_bytes }
    }

    #[test]
    fn the_floor_is_a_share_of_the_disk_within_bounds() {
        let mib = |total_mib: u64| DiskFloor::Share.bytes(total_mib * MIB) / MIB;
        // The disks of a tmpfs, an old laptop, a new machine and a server.
        assert_eq!([mib(760), mib(20_480), mib(102_400), mib(4_194_304)], [76, 512, 2048, 4096]);
        assert_eq!(DiskFloor::Bytes(7).bytes(u64::MAX), 7);
    }

    #[test]
    fn what_would_go_below_the_floor_is_refused_with_its_sizes() {
        let floor = DiskFloor::Bytes(100 * MIB);
        assert_eq!(floor.check(&room(100 * MIB, 1000 * MIB), 0), Ok(()));
        assert_eq!(floor.check(&room(150 * MIB, 1000 * MIB), 50 * MIB), Ok(()));
        let told = |free, needed| floor.check(&room(free, 1000 * MIB), needed).unwrap_err().to_string();
        assert_eq!(told(100 * MIB - 1, 0), "the disk of `/state` has 99M free, and 100M must stay free");
        assert_eq!(
            told(150 * MIB, 51 * MIB),
            "the disk of `/state` has 150M free, 51M are needed, and 100M must stay free"
        );
        let refused = DiskFloor::Bytes(0).check(&room(376_832, 1000 * MIB), 64 * MIB).unwrap_err();
        assert_eq!(refused.to_string(), "the disk of `/state` has 368K free, and 64M are needed");
        assert_eq!(DiskFloor::Bytes(0).check(&room(0, 0), 0), Ok(()));
        assert_eq!(DiskFloor::Bytes(0).check(&room(1, MIB), 0), Ok(()));
    }

    #[test]
    fn a_full_disk_is_refused_without_a_floor_too() {
        let refused = DiskFloor::Bytes(0).check(&room(0, MIB), 0).unwrap_err();
        assert_eq!(refused.to_string(), "the disk of `/state` is full");
    }

    #[test]
    fn a_guest_goes_on_with_an_eighth_of_the_floor() {
        let goes_on =
            |floor: DiskFloor, free_mib: u64| floor.has_room_again(&room(free_mib * MIB, 20_480 * MIB));
        assert_eq!([63, 64].map(|free| goes_on(DiskFloor::Share, free)), [false, true]);
        assert_eq!([3, 4].map(|free| goes_on(DiskFloor::Bytes(0), free)), [false, true]);
    }

    #[test]
    fn a_floor_is_auto_or_a_size() {
        assert_eq!("auto".parse(), Ok(DiskFloor::Share));
        assert_eq!("2G".parse(), Ok(DiskFloor::Bytes(2 << 30)));
        assert_eq!("0".parse(), Ok(DiskFloor::Bytes(0)));
        for text in ["", "-1", "2%", "much"] {
            let error = text.parse::<DiskFloor>().unwrap_err().to_string();
            assert!(error.contains("is not a valid size"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn a_disk_that_is_empty_takes_something_and_a_full_one_nothing(total in 1024u64..) {
            prop_assert!(DiskFloor::Share.check(&room(total, total), total / 2).is_ok());
            prop_assert!(DiskFloor::Share.check(&room(0, total), 0).is_err());
        }

        #[test]
        fn nothing_is_refused_that_leaves_the_floor(free in 1u64.., total in any::<u64>(), needed in any::<u64>()) {
            let refused = DiskFloor::Share.check(&room(free, total), needed).is_err();
            let stays = i128::from(free) - i128::from(needed);
            prop_assert_eq!(refused, stays < i128::from(DiskFloor::Share.bytes(total)));
        }
    }
}
