//! The index of large directories: blocks of names ordered by hash, and one or two levels of blocks that map hashes to them
//! (kernel `ext4/directory.rst`, "Hash Tree Directories").

use crate::disk::bytes::{Record, clamp16, clamp32, disk_len};
use crate::disk::checksum::Checksum;
use crate::disk::geometry::BLOCK_SIZE;
use crate::error::FormatError;
use crate::write::inode::FileType;
use crate::write::name_block::{DirectoryEntry, Dots, NameBlock, put_entry};
use crate::write::name_hash::half_md4;

const HALF_MD4: u8 = 1;
const ROOT_HEADER: usize = 32;
const NODE_HEADER: usize = 8;
/// The last eight bytes of a block hold its checksum.
const ROOT_ENTRIES: usize = (BLOCK_SIZE - ROOT_HEADER - 8) / 8;
const NODE_ENTRIES: usize = (BLOCK_SIZE - NODE_HEADER - 8) / 8;

/// Names with this hash or a larger one are in this block of the directory, up to the hash of the next pointer.
#[derive(Debug, Clone, Copy)]
struct Pointer {
    hash: u32,
    block: u32,
}

/// Encodes the blocks of a directory with an index.
pub(crate) fn encode(
    dots: Dots,
    entries: &[DirectoryEntry<'_>],
    hash_seed: &[u8; 16],
    seed: Checksum,
) -> Result<Vec<u8>, FormatError> {
    let leaves = pack(entries, hash_seed, seed);
    let nodes = if leaves.len() <= ROOT_ENTRIES { 0 } else { leaves.len().div_ceil(NODE_ENTRIES) };
    if nodes > ROOT_ENTRIES {
        return Err(FormatError::DirectoryTooLarge { inode: dots.own });
    }
    // The root is block 0; the nodes of the index follow, then the names.
    let to_leaves = point_to(leaves.iter().map(|leaf| leaf.hash), 1 + nodes);
    let mut bytes = Vec::with_capacity((1 + nodes + leaves.len()) * BLOCK_SIZE);
    if nodes == 0 {
        bytes.extend(root(dots, &to_leaves, 0, seed));
    } else {
        let children = to_leaves.chunks(NODE_ENTRIES);
        let first_hashes = children.clone().filter_map(|pointers| Some(pointers.first()?.hash));
        bytes.extend(root(dots, &point_to(first_hashes, 1), 1, seed));
        for pointers in children {
            bytes.extend(node(pointers, seed));
        }
    }
    for leaf in leaves {
        bytes.extend(leaf.bytes);
    }
    Ok(bytes)
}

/// Returns pointers to consecutive blocks that begin with these hashes.
fn point_to(hashes: impl Iterator<Item = u32>, first_block: usize) -> Vec<Pointer> {
    let blocks = clamp32(disk_len(first_block))..;
    hashes.zip(blocks).map(|(hash, block)| Pointer { hash, block }).collect()
}

struct Leaf {
    hash: u32,
    bytes: Vec<u8>,
}

/// Packs names into blocks, in the order of their hashes.
fn pack(entries: &[DirectoryEntry<'_>], hash_seed: &[u8; 16], seed: Checksum) -> Vec<Leaf> {
    let mut sorted: Vec<(u32, &DirectoryEntry<'_>)> =
        entries.iter().map(|entry| (half_md4(entry.name, hash_seed), entry)).collect();
    sorted.sort_by_key(|(hash, entry)| (*hash, entry.name));
    let mut leaves = Vec::new();
    let mut block = NameBlock::default();
    let mut block_hash = 0;
    let mut last_hash = 0;
    for (hash, entry) in sorted {
        if !block.push(*entry) {
            leaves.push(Leaf { hash: block_hash, bytes: std::mem::take(&mut block).finish(seed) });
            block.push(*entry);
            // The lowest bit says that names with this hash are also in the previous block.
            block_hash = hash | u32::from(hash == last_hash);
        }
        last_hash = hash;
    }
    leaves.push(Leaf { hash: block_hash, bytes: block.finish(seed) });
    leaves
}

fn root(dots: Dots, pointers: &[Pointer], levels: u8, seed: Checksum) -> Vec<u8> {
    let mut record = Record::with_capacity(BLOCK_SIZE);
    let dot = DirectoryEntry { name: b".", inode: dots.own, file_type: FileType::Directory };
    put_entry(&mut record, &dot, 12);
    let dot_dot = DirectoryEntry { name: b"..", inode: dots.parent, file_type: FileType::Directory };
    put_entry(&mut record, &dot_dot, BLOCK_SIZE - 12);
    record.u32(0).u8(HALF_MD4).u8(8).u8(levels).u8(0);
    debug_assert_eq!(record.len(), ROOT_HEADER, "pointers follow the header");
    put_pointers(record, pointers, ROOT_ENTRIES, seed)
}

fn node(pointers: &[Pointer], seed: Checksum) -> Vec<u8> {
    let mut record = Record::with_capacity(BLOCK_SIZE);
    record.u32(0).u16(clamp16(BLOCK_SIZE)).u16(0);
    debug_assert_eq!(record.len(), NODE_HEADER, "pointers follow the header");
    put_pointers(record, pointers, NODE_ENTRIES, seed)
}

/// Adds the pointers, the first of which has counters in place of a hash, and the checksum over the used part.
fn put_pointers(mut record: Record, pointers: &[Pointer], capacity: usize, seed: Checksum) -> Vec<u8> {
    record.u16(clamp16(capacity)).u16(clamp16(pointers.len()));
    for (index, pointer) in pointers.iter().enumerate() {
        if index > 0 {
            record.u32(pointer.hash);
        }
        record.u32(pointer.block);
    }
    let checksum = seed.with(record.as_slice()).with_u32(0).with_u32(0);
    record.at(BLOCK_SIZE - 4).u32(checksum.value());
    record.into_bytes()
}
