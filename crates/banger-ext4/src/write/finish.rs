//! Completes a file system: writes directories and other metadata after the file contents, determines the geometry of the
//! disk, and writes inode tables, bitmaps, descriptors and superblocks.

use crate::disk::bytes::clamp32;
use crate::disk::checksum::Checksum;
use crate::disk::geometry::{
    BLOCK_BYTES, BLOCKS_PER_GROUP, Geometry, INODES_PER_GROUP_MAX, inodes_for, last_group_missing,
};
use crate::disk::numbers::{FLAG_EXTENTS, JOURNAL_INODE, RESIZE_INODE};
use crate::error::FormatError;
use crate::write::allocator::Allocator;
use crate::write::attributes::Attributes;
use crate::write::draft::Draft;
use crate::write::extent;
use crate::write::group::{self, Tables};
use crate::write::inode::{FileType, Inode};
use crate::write::inode_table::InodeTable;
use crate::write::journal;
use crate::write::resize;
use crate::write::superblock::{self, JournalCopy, Totals};

/// The sizes of a finished file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormatSummary {
    /// Size of the file.
    pub size_bytes: u64,
    /// Blocks of 4 KiB in the file system.
    pub blocks: u64,
    /// Blocks in use, including metadata and journal.
    pub blocks_used: u64,
    /// Inodes in the file system.
    pub inodes: u64,
    /// Inodes in use, including the reserved ones.
    pub inodes_used: u64,
}

/// The final size of the file system.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ending {
    FullSize,
    Shrunk { slack_blocks: u64 },
}

pub(crate) fn write(mut draft: Draft, ending: Ending) -> Result<FormatSummary, FormatError> {
    let seed = Checksum::of_file_system(&draft.options.uuid);
    let mut table = InodeTable::write_nodes(&mut draft, seed)?;
    let journal = write_journal(&mut draft, &mut table, ending, seed)?;
    let pointer_block = draft.allocator.take_block()?;
    let geometry = measure(&draft, &table, ending)?;
    let resize_inode = resize::write(&geometry, pointer_block, draft.options.created_at, &mut draft.file)?;
    table.set_reserved(RESIZE_INODE, &resize_inode.encode(RESIZE_INODE, seed));

    let tables = take_tables(&geometry, &mut draft.allocator)?;
    write_inode_tables(&mut draft, &geometry, &tables, &table)?;
    let Draft { options, mut file, allocator, .. } = draft;
    let usage = allocator.into_usage();
    for run in usage.freed() {
        file.punch(run.start, run.blocks)?;
    }
    let mut free_blocks = 0;
    let mut descriptors = Vec::new();
    for (number, tables) in (0..).zip(tables) {
        let group = group::encode(&geometry, number, tables, &usage, table.in_group(&geometry, number), seed);
        if let Some(bitmap) = group.block_bitmap {
            file.write(tables.block_bitmap, &bitmap)?;
        }
        if let Some(bitmap) = group.inode_bitmap {
            file.write(tables.inode_bitmap, &bitmap)?;
        }
        free_blocks += group.free_blocks;
        descriptors.extend(group.descriptor);
    }
    let inodes_used = u64::from(table.count());
    let totals = Totals { free_blocks, free_inodes: geometry.inodes() - inodes_used, journal };
    for number in std::iter::once(0).chain(geometry.backup_groups()) {
        let start = Geometry::group_start(number);
        file.write(start, &superblock::encode_block(&options, &geometry, &totals, number))?;
        file.write(start + 1, &descriptors)?;
    }
    let size_bytes = match ending {
        Ending::FullSize => options.size_bytes,
        Ending::Shrunk { .. } => geometry.blocks * BLOCK_BYTES,
    };
    file.finish(size_bytes)?;
    Ok(FormatSummary {
        size_bytes,
        blocks: geometry.blocks,
        blocks_used: geometry.blocks - free_blocks,
        inodes: geometry.inodes(),
        inodes_used,
    })
}

fn write_journal(
    draft: &mut Draft,
    table: &mut InodeTable,
    ending: Ending,
    seed: Checksum,
) -> Result<Option<JournalCopy>, FormatError> {
    let disk_blocks = match ending {
        Ending::FullSize => draft.blocks,
        Ending::Shrunk { slack_blocks } => draft.allocator.next().saturating_add(slack_blocks),
    };
    let blocks = journal::blocks_for(draft.options.journal, disk_blocks)?;
    if blocks == 0 {
        return Ok(None);
    }
    let mut extents = Vec::new();
    let mut taken = 0;
    while taken < blocks {
        let run = draft.allocator.take_some(blocks - taken)?;
        if taken == 0 {
            draft.file.write(run.start, &journal::encode_superblock(blocks))?;
        }
        extent::append(&mut extents, clamp32(taken), run);
        taken += run.blocks;
    }
    let tree =
        extent::write_tree(&extents, seed.of_inode(JOURNAL_INODE), &mut draft.allocator, &mut draft.file)?;
    let size = blocks * BLOCK_BYTES;
    let created_at = draft.options.created_at;
    let inode = Inode {
        file_type: FileType::Regular,
        attributes: Attributes::of_root(0o600, created_at),
        created_at,
        links: 1,
        size,
        blocks: blocks + tree.blocks,
        flags: FLAG_EXTENTS,
        block_map: tree.root.clone(),
        xattr_block: None,
        inline_xattrs: Vec::new(),
    };
    table.set_reserved(JOURNAL_INODE, &inode.encode(JOURNAL_INODE, seed));
    Ok(Some(JournalCopy { block_map: tree.root, size }))
}

/// Determines the number of blocks, groups and inodes.
fn measure(draft: &Draft, table: &InodeTable, ending: Ending) -> Result<Geometry, FormatError> {
    let wanted = draft.options.inodes_min;
    match ending {
        Ending::FullSize => {
            let wanted = wanted.max(inodes_for(draft.blocks));
            Geometry::new(draft.front, draft.blocks, table.count(), wanted)
        }
        Ending::Shrunk { slack_blocks } => {
            let inodes = table.count().max(wanted);
            let mut blocks = draft.allocator.next().max(
                u64::from(inodes).div_ceil(INODES_PER_GROUP_MAX.into()).saturating_sub(1) * BLOCKS_PER_GROUP
                    + 1,
            );
            // Tables add blocks, and blocks may add a group with tables of its own, so this repeats until both fit.
            loop {
                blocks += last_group_missing(draft.front, blocks);
                let blocks_allowed = blocks.min(draft.blocks);
                let geometry = Geometry::new(draft.front, blocks_allowed, table.count(), inodes)?;
                let mut allocator = draft.allocator.clone();
                take_tables(&geometry, &mut allocator)?;
                let needed = allocator.next().saturating_add(slack_blocks).min(draft.blocks);
                if needed <= blocks_allowed {
                    return Ok(geometry);
                }
                blocks = needed;
            }
        }
    }
}

fn take_tables(geometry: &Geometry, allocator: &mut Allocator) -> Result<Vec<Tables>, FormatError> {
    let mut block_bitmaps = Vec::new();
    for _ in 0..geometry.groups() {
        block_bitmaps.push(allocator.take_block()?);
    }
    let mut inode_bitmaps = Vec::new();
    for _ in 0..geometry.groups() {
        inode_bitmaps.push(allocator.take_block()?);
    }
    block_bitmaps
        .into_iter()
        .zip(inode_bitmaps)
        .map(|(block_bitmap, inode_bitmap)| {
            let inode_table = allocator.take_neighbours(geometry.inode_table_blocks())?;
            Ok(Tables { block_bitmap, inode_bitmap, inode_table })
        })
        .collect()
}

fn write_inode_tables(
    draft: &mut Draft,
    geometry: &Geometry,
    tables: &[Tables],
    table: &InodeTable,
) -> Result<(), FormatError> {
    for (group, tables) in (0..).zip(tables) {
        let first = geometry.inodes_per_group.saturating_mul(group);
        if first >= table.count() {
            break;
        }
        let bytes = table.read(draft, first, geometry.inodes_per_group)?;
        draft.file.write(tables.inode_table, &bytes)?;
    }
    Ok(())
}
