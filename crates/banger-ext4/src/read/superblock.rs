//! Reading of the superblock (kernel `ext4/super.rst`): geometry, features, and whether the file system is clean.

use super::fields::Fields;
use crate::disk::checksum::Checksum;

pub(super) const OFFSET: u64 = 1024;
pub(super) const SIZE: usize = 1024;

const MAGIC: u16 = 0xef53;
const CHECKSUM_OFFSET: usize = 0x3fc;
const IS_CLEAN: u16 = 1;
const HAS_ERRORS: u16 = 2;
const BLOCK_SIZE_LOG_MAX: u32 = 6;
const OLD_INODE_SIZE: u16 = 128;
const OLD_DESCRIPTOR_SIZE: u16 = 32;

const INCOMPAT_RECOVER: u32 = 0x4;
const INCOMPAT_64BIT: u32 = 0x80;
const INCOMPAT_CHECKSUM_SEED: u32 = 0x2000;
/// `filetype`, `recover`, `extent`, `64bit`, `mmp`, `flex_bg`, `metadata_csum_seed`, `large_dir`.
const INCOMPAT_KNOWN: u32 = 0x2 | 0x4 | 0x40 | 0x80 | 0x100 | 0x200 | 0x2000 | 0x4000;
const RO_COMPAT_CHECKSUMS: u32 = 0x400;
/// Names of the features that change how a file system is read.
const INCOMPAT_NAMES: [(u32, &str); 8] = [
    (0x1, "compression"),
    (0x8, "journal_dev"),
    (0x10, "meta_bg"),
    (0x400, "ea_inode"),
    (0x1000, "dirdata"),
    (0x8000, "inline_data"),
    (0x1_0000, "encrypt"),
    (0x2_0000, "casefold"),
];

/// The properties of the whole file system that reading needs.
#[derive(Debug, Clone)]
pub(super) struct Superblock {
    pub(super) block_size: u32,
    pub(super) blocks: u64,
    pub(super) inodes: u32,
    pub(super) inodes_per_group: u32,
    pub(super) inode_size: u16,
    pub(super) descriptor_size: u16,
    pub(super) descriptors_block: u64,
    /// Seed of the checksums; absent if there are none.
    pub(super) seed: Option<Checksum>,
    pub(super) label: Vec<u8>,
}

/// The reason why a superblock cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    NotExt4,
    NotClean,
    Feature(String),
    Damaged(&'static str),
}

impl Superblock {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Unusable> {
        let fields = Fields::of(bytes);
        if fields.u16(0x38) != Some(MAGIC) {
            return Err(Unusable::NotExt4);
        }
        Self::parse_fields(fields).unwrap_or(Err(Unusable::Damaged("the superblock is invalid")))
    }

    /// Returns `None` if it contains an impossible number.
    fn parse_fields(fields: Fields<'_>) -> Option<Result<Self, Unusable>> {
        let (incompat, ro_compat) = (fields.u32(0x60)?, fields.u32(0x64)?);
        if let Some(feature) = unknown_feature(incompat) {
            return Some(Err(Unusable::Feature(feature)));
        }
        let has_checksums = ro_compat & RO_COMPAT_CHECKSUMS != 0;
        let expected = Checksum::start().with(fields.slice(0, CHECKSUM_OFFSET)?).value();
        if has_checksums && fields.u32(CHECKSUM_OFFSET)? != expected {
            return Some(Err(Unusable::Damaged("the checksum of the superblock is wrong")));
        }
        let state = fields.u16(0x3a)?;
        if incompat & INCOMPAT_RECOVER != 0 || state & IS_CLEAN == 0 || state & HAS_ERRORS != 0 {
            return Some(Err(Unusable::NotClean));
        }
        let is_64bit = incompat & INCOMPAT_64BIT != 0;
        let is_old = fields.u32(0x4c)? == 0;
        let block_size = 1024_u32 << Some(fields.u32(0x18)?).filter(|log| *log <= BLOCK_SIZE_LOG_MAX)?;
        let seed = if incompat & INCOMPAT_CHECKSUM_SEED != 0 {
            Checksum::continued_from(fields.u32(0x270)?)
        } else {
            Checksum::of_file_system(fields.slice(0x68, 16)?.first_chunk()?)
        };
        let label = fields.slice(0x78, 16)?;
        let superblock = Self {
            block_size,
            blocks: u64::from(fields.u32(0x4)?)
                | if is_64bit { u64::from(fields.u32(0x150)?) << 32 } else { 0 },
            inodes: fields.u32(0x0)?,
            inodes_per_group: fields.u32(0x28)?,
            inode_size: if is_old { OLD_INODE_SIZE } else { fields.u16(0x58)? },
            descriptor_size: if is_64bit { fields.u16(0xfe)? } else { OLD_DESCRIPTOR_SIZE },
            descriptors_block: u64::from(fields.u32(0x14)?) + 1,
            seed: has_checksums.then_some(seed),
            label: label.split(|byte| *byte == 0).next().unwrap_or_default().to_vec(),
        };
        superblock.makes_sense().then_some(Ok(superblock))
    }

    fn makes_sense(&self) -> bool {
        let is_size = |size: u16, least: u16| {
            size.is_power_of_two() && size >= least && u32::from(size) <= self.block_size
        };
        self.blocks > 0
            && self.inodes > 0
            && self.inodes_per_group > 0
            && is_size(self.inode_size, OLD_INODE_SIZE)
            && is_size(self.descriptor_size, OLD_DESCRIPTOR_SIZE)
    }
}

fn unknown_feature(incompat: u32) -> Option<String> {
    let unknown = incompat & !INCOMPAT_KNOWN;
    let name = INCOMPAT_NAMES.iter().find(|(bit, _)| unknown & bit != 0).map(|(_, name)| (*name).to_owned());
    (unknown != 0).then(|| name.unwrap_or_else(|| format!("incompat {unknown:#x}")))
}
