//! Numbers the inodes, and writes the blocks of each one: names, long link targets, extent trees, extended attributes. The
//! inodes themselves are set aside after the end of the disk until the location of their tables is known, because millions
//! of them would take too much memory.

use crate::disk::bytes::{clamp16, clamp32, disk_len};
use crate::disk::checksum::Checksum;
use crate::disk::geometry::{BLOCK_BYTES, BLOCK_SIZE, Geometry, INODE_SIZE};
use crate::disk::numbers::{FLAG_EXTENTS, FLAG_INDEX, RESERVED_INODES, ROOT_INODE};
use crate::error::{FormatError, Resource};
use crate::write::allocator::Run;
use crate::write::attributes::Attributes;
use crate::write::directory;
use crate::write::draft::Draft;
use crate::write::extent::{self, Extent};
use crate::write::group::GroupInodes;
use crate::write::inode::{FileType, Inode, device_map};
use crate::write::name_block::{DirectoryEntry, Dots};
use crate::write::tree::{Body, Directory, Node, NodeId, Tree};

/// Targets of this length or longer have a block of their own.
const FAST_SYMLINK_END: usize = 60;
/// Bytes of inodes that are collected for one write.
const WAITING_BYTES_MAX: usize = 256 << 10;
/// A directory with more links stores 1, which means "many".
const DIRECTORY_LINKS_MAX: u32 = 64999;

/// All inodes, ordered by number.
#[derive(Debug)]
pub(crate) struct InodeTable {
    /// The reserved inodes, which are set in any order.
    reserved: Vec<u8>,
    /// Later inodes that were not set aside yet.
    waiting: Vec<u8>,
    /// The offset at which the reserved inodes would be if they were set aside as well.
    aside_at: u64,
    count: u32,
    /// Indexes (numbers less one) of directories, in order.
    directories: Vec<u32>,
}

impl InodeTable {
    /// Writes the blocks of all nodes of the tree.
    pub(crate) fn write_nodes(draft: &mut Draft, seed: Checksum) -> Result<Self, FormatError> {
        let tree = std::mem::replace(&mut draft.tree, Tree::new(0));
        let numbers = Numbers::assign(&tree, draft.options.size_bytes)?;
        let mut table = Self {
            reserved: vec![0; RESERVED_INODES as usize * INODE_SIZE],
            waiting: Vec::with_capacity(WAITING_BYTES_MAX),
            aside_at: draft.options.size_bytes.next_multiple_of(BLOCK_BYTES),
            count: numbers.count,
            directories: Vec::new(),
        };
        let mut next = RESERVED_INODES + 1;
        for (id, node) in tree.nodes().filter(|(_, node)| node.is_live()) {
            let number = numbers.of(id);
            if matches!(node.body, Body::Directory(_)) {
                table.directories.push(number - 1);
            }
            let inode = NodeBlocks { draft, tree: &tree, numbers: &numbers, number, seed }.write(node)?;
            let bytes = inode.encode(number, seed);
            if number <= RESERVED_INODES {
                table.set_reserved(number, &bytes);
                continue;
            }
            debug_assert_eq!(number, next, "inodes come in the order of their numbers");
            if table.waiting.len() + bytes.len() > WAITING_BYTES_MAX {
                table.set_aside(draft, next)?;
            }
            table.waiting.extend_from_slice(&bytes);
            next += 1;
        }
        table.set_aside(draft, next)?;
        table.directories.sort_unstable();
        Ok(table)
    }

    /// Sets one of the reserved inodes.
    pub(crate) fn set_reserved(&mut self, number: u32, inode: &[u8]) {
        let start = (number as usize).saturating_sub(1) * INODE_SIZE;
        let slot = self.reserved.get_mut(start..start + INODE_SIZE);
        debug_assert!(slot.is_some(), "{number} is the number of a reserved inode");
        if let Some(slot) = slot {
            slot.copy_from_slice(inode);
        }
    }

    /// Sets the collected inodes aside; they end before the number `next`.
    fn set_aside(&mut self, draft: &Draft, next: u32) -> Result<(), FormatError> {
        let end = self.aside_at + u64::from(next - 1) * disk_len(INODE_SIZE);
        draft.file.set_aside(end - disk_len(self.waiting.len()), &self.waiting)?;
        self.waiting.clear();
        Ok(())
    }

    /// Returns the bytes of up to `count` inodes from the index `first`.
    pub(crate) fn read(&self, draft: &Draft, first: u32, count: u32) -> Result<Vec<u8>, FormatError> {
        let count = count.min(self.count.saturating_sub(first));
        let mut bytes = vec![0; count as usize * INODE_SIZE];
        let of_reserved = self.reserved.get(first as usize * INODE_SIZE..).unwrap_or_default();
        let split = of_reserved.len().min(bytes.len());
        let (front, rest) = bytes.split_at_mut(split);
        front.copy_from_slice(of_reserved.get(..split).unwrap_or_default());
        let offset = u64::from(first) * disk_len(INODE_SIZE) + disk_len(split);
        draft.file.take_back(self.aside_at + offset, rest)?;
        Ok(bytes)
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Returns the inodes of a group that are in use.
    pub(crate) fn in_group(&self, geometry: &Geometry, group: u64) -> GroupInodes {
        let first = group.saturating_mul(geometry.inodes_per_group.into());
        let used = u64::from(self.count()).saturating_sub(first).min(geometry.inodes_per_group.into());
        let directories_before =
            |index: u64| self.directories.partition_point(|directory| u64::from(*directory) < index);
        let directories = directories_before(first + used) - directories_before(first);
        GroupInodes { used: clamp32(used), directories: clamp32(disk_len(directories)) }
    }
}

/// The numbers of the inodes, in the order in which entries were added, without gaps.
struct Numbers {
    by_node: Vec<u32>,
    count: u32,
}

impl Numbers {
    fn assign(tree: &Tree, size_bytes: u64) -> Result<Self, FormatError> {
        let mut by_node = Vec::with_capacity(tree.len());
        let mut count = RESERVED_INODES;
        for (id, node) in tree.nodes() {
            if id == NodeId::ROOT {
                by_node.push(ROOT_INODE);
            } else if node.is_live() {
                count = count
                    .checked_add(1)
                    .ok_or(FormatError::NoSpace { resource: Resource::Inodes, size_bytes })?;
                by_node.push(count);
            } else {
                by_node.push(0);
            }
        }
        Ok(Self { by_node, count })
    }

    #[expect(clippy::indexing_slicing, reason = "every node of the tree got a number above")]
    fn of(&self, id: NodeId) -> u32 {
        self.by_node[id.index()]
    }
}

/// Writes the blocks of one node.
struct NodeBlocks<'w> {
    draft: &'w mut Draft,
    tree: &'w Tree,
    numbers: &'w Numbers,
    number: u32,
    seed: Checksum,
}

impl NodeBlocks<'_> {
    fn write(mut self, node: &Node) -> Result<Inode, FormatError> {
        let mut inode = self.write_body(node)?;
        inode.inline_xattrs = node.xattrs.encode_inline();
        if node.xattrs.needs_block() {
            let block = self.draft.allocator.take_block()?;
            self.draft.file.write(block, &node.xattrs.encode_block(block, self.seed))?;
            inode.xattr_block = Some(block);
            inode.blocks += 1;
        }
        Ok(inode)
    }

    fn write_body(&mut self, node: &Node) -> Result<Inode, FormatError> {
        let links = clamp16(node.names as usize);
        let plain = |file_type| Inode {
            file_type,
            attributes: node.attributes,
            created_at: self.draft.options.created_at,
            links,
            size: 0,
            blocks: 0,
            flags: 0,
            block_map: Vec::new(),
            xattr_block: None,
            inline_xattrs: Vec::new(),
        };
        let inode = plain(file_type(&node.body));
        match &node.body {
            Body::Directory(directory) => self.write_directory(directory, inode),
            Body::File { size, extents } => {
                self.with_extents(Inode { size: *size, ..inode }, extents.as_slice())
            }
            Body::Symlink(target) => self.write_symlink(target, inode),
            Body::CharDevice { major, minor } | Body::BlockDevice { major, minor } => {
                Ok(Inode { block_map: device_map(*major, *minor), ..inode })
            }
            Body::Fifo | Body::Socket => Ok(inode),
        }
    }

    fn write_directory(&mut self, directory: &Directory, inode: Inode) -> Result<Inode, FormatError> {
        let entries: Vec<DirectoryEntry<'_>> = directory
            .entries
            .iter()
            .map(|(name, link)| DirectoryEntry {
                name,
                inode: self.numbers.of(link.node),
                file_type: file_type(&self.tree.node(link.node).body),
            })
            .collect();
        let dots = Dots { own: self.number, parent: self.numbers.of(directory.parent) };
        let seed = self.seed.of_inode(self.number);
        let blocks = directory::encode(dots, &entries, &self.draft.options.hash_seed, seed)?;
        let extents = self.write_blocks(&blocks.bytes)?;
        let links = directory.subdirectories.saturating_add(2);
        let inode = Inode {
            size: disk_len(blocks.bytes.len()),
            flags: if blocks.has_index { FLAG_INDEX } else { 0 },
            links: if links > DIRECTORY_LINKS_MAX { 1 } else { clamp16(links as usize) },
            ..inode
        };
        self.with_extents(inode, &extents)
    }

    fn write_symlink(&mut self, target: &[u8], inode: Inode) -> Result<Inode, FormatError> {
        let inode = Inode {
            size: disk_len(target.len()),
            attributes: Attributes { permissions: 0o777, ..inode.attributes },
            ..inode
        };
        if target.len() < FAST_SYMLINK_END {
            return Ok(Inode { block_map: target.to_vec(), ..inode });
        }
        let extents = self.write_blocks(target)?;
        self.with_extents(inode, &extents)
    }

    fn write_blocks(&mut self, bytes: &[u8]) -> Result<Vec<Extent>, FormatError> {
        let mut extents = Vec::new();
        let blocks = bytes.chunks(BLOCK_SIZE);
        for (file_block, bytes) in (0..).zip(blocks) {
            let block = self.draft.allocator.take_block()?;
            self.draft.file.write(block, bytes)?;
            extent::append(&mut extents, file_block, Run { start: block, blocks: 1 });
        }
        Ok(extents)
    }

    fn with_extents(&mut self, inode: Inode, extents: &[Extent]) -> Result<Inode, FormatError> {
        let seed = self.seed.of_inode(self.number);
        let tree = extent::write_tree(extents, seed, &mut self.draft.allocator, &mut self.draft.file)?;
        Ok(Inode {
            blocks: inode.blocks + extent::total_blocks(extents) + tree.blocks,
            flags: inode.flags | FLAG_EXTENTS,
            block_map: tree.root,
            ..inode
        })
    }
}

fn file_type(body: &Body) -> FileType {
    match body {
        Body::Directory(_) => FileType::Directory,
        Body::File { .. } => FileType::Regular,
        Body::Symlink(_) => FileType::Symlink,
        Body::CharDevice { .. } => FileType::CharDevice,
        Body::BlockDevice { .. } => FileType::BlockDevice,
        Body::Fifo => FileType::Fifo,
        Body::Socket => FileType::Socket,
    }
}
