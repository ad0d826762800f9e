//! The public interface: takes entries, keeps the tree, and writes all metadata at the end.

use std::borrow::Cow;
use std::path::Path;

use crate::content::{Content, Dense};
use crate::disk::bytes::disk_len;
use crate::disk::geometry::{BLOCK_BYTES, FrontArea, INODE_SIZE, whole_groups};
use crate::entry::{EntryKind, Found, Metadata};
use crate::error::FormatError;
use crate::options::FormatOptions;
use crate::path::shown;
use crate::write::allocator::Allocator;
use crate::write::attributes::Attributes;
use crate::write::block_file::BlockFile;
use crate::write::content;
use crate::write::draft::Draft;
use crate::write::extent::Extent;
use crate::write::finish::{self, Ending, FormatSummary};
use crate::write::tree::{Body, Node, Tree};
use crate::write::xattr::Xattrs;

const LABEL_MAX: usize = 16;
/// 32 MiB, because returning blocks to the host has a cost for each run.
const WASTE_BLOCKS_MAX: u64 = (32 << 20) / BLOCK_BYTES;
const SYMLINK_MAX: usize = 4095;
const MAJOR_MAX: u32 = 0xfff;
const MINOR_MAX: u32 = 0xf_ffff;

/// Makes a new ext4 file system in a sparse file.
///
/// The file is not a file system until [`Self::finish`] or [`Self::finish_shrunk`] has returned.
/// After an error the writer may continue; the entry is left out.
#[derive(Debug)]
pub struct Ext4Writer {
    draft: Draft,
    /// Freed blocks that were not returned to the host yet.
    waste_blocks: u64,
    /// Number of freed runs that were returned to the host.
    punched: usize,
}

impl Ext4Writer {
    /// Creates the file, or truncates it.
    pub fn create(path: &Path, options: FormatOptions) -> Result<Self, FormatError> {
        if options.label.len() > LABEL_MAX {
            return Err(FormatError::LabelTooLong { label: options.label });
        }
        let front = FrontArea::for_size(options.size_bytes)?;
        let blocks = whole_groups(front, options.size_bytes / BLOCK_BYTES);
        let tree = Tree::new(options.created_at);
        let file = BlockFile::create(path)?;
        let allocator = Allocator::new(front, blocks);
        let draft = Draft { options, front, blocks, allocator, file, tree };
        Ok(Self { draft, waste_blocks: 0, punched: 0 })
    }

    /// Adds an entry. Missing parents are made with owner root and mode 0755.
    ///
    /// An existing directory gets the new metadata; any other entry replaces one with the same name, unless exactly one of
    /// the two is a directory.
    pub fn add(&mut self, path: &[u8], metadata: &Metadata, kind: EntryKind<'_>) -> Result<(), FormatError> {
        let attributes = Attributes::of(metadata);
        let body = match kind {
            EntryKind::Directory => {
                let xattrs = Xattrs::parse(path, &metadata.xattrs)?;
                return self.draft.tree.add_directory(path, attributes, xattrs);
            }
            EntryKind::HardLink(target) => {
                let replaced = self.draft.tree.add_hard_link(path, target)?;
                return self.release(replaced.as_slice());
            }
            EntryKind::File { size, content } => {
                return self.add_file(path, metadata, size, &mut Dense(content));
            }
            EntryKind::Symlink(target) => {
                if target.is_empty() || target.len() > SYMLINK_MAX || target.contains(&0) {
                    return Err(FormatError::BadSymlinkTarget { path: shown(path), bytes: target.len() });
                }
                Body::Symlink(target.into())
            }
            EntryKind::CharDevice { major, minor } => {
                check_device(path, major, minor)?;
                Body::CharDevice { major, minor }
            }
            EntryKind::BlockDevice { major, minor } => {
                check_device(path, major, minor)?;
                Body::BlockDevice { major, minor }
            }
            EntryKind::Fifo => Body::Fifo,
            EntryKind::Socket => Body::Socket,
        };
        self.add_node(path, metadata, |_| Ok(body))
    }

    /// Starts a layer: entries that are added from now on lie above the earlier ones, for [`Self::remove_older`] and
    /// [`Self::clear_older`].
    pub fn begin_layer(&mut self) {
        self.draft.tree.begin_layer();
    }

    /// Returns the entry at a path. No symbolic link is followed.
    pub fn look_up(&self, path: &[u8]) -> Result<Option<Found>, FormatError> {
        self.draft.tree.look_up(path)
    }

    /// Returns an equivalent path without symbolic links among its parents. Links are followed as for a process with this
    /// root: the parent of the root is the root.
    pub fn resolve<'p>(&self, path: &'p [u8]) -> Result<Cow<'p, [u8]>, FormatError> {
        self.draft.tree.resolve(path)
    }

    /// Removes the entry at a path and everything below it; `lost+found` stays. It is not an error if there is none.
    pub fn remove(&mut self, path: &[u8]) -> Result<(), FormatError> {
        let freed = self.draft.tree.remove(path)?;
        self.release(&freed)
    }

    /// Removes the entries of earlier layers at a path and below it. Entries of the current layer stay; their parents then
    /// belong to root, with mode 0755.
    pub fn remove_older(&mut self, path: &[u8]) -> Result<(), FormatError> {
        let freed = self.draft.tree.remove_older(path)?;
        self.release(&freed)
    }

    /// Removes the entries of earlier layers below a directory; the directory itself stays.
    pub fn clear_older(&mut self, path: &[u8]) -> Result<(), FormatError> {
        let freed = self.draft.tree.clear_older(path)?;
        self.release(&freed)
    }

    /// Returns the number of entries, including parents that were made implicitly.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.draft.tree.entries()
    }

    /// Returns approximately how many bytes of memory the entries take.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.draft.tree.memory_bytes()
    }

    /// Returns an upper estimate of the disk space that completion takes: inodes, counted twice because they are set aside
    /// first, and directories with their names.
    #[must_use]
    pub fn metadata_bytes(&self) -> u64 {
        let inodes = self.draft.tree.entries().saturating_mul(2 * disk_len(INODE_SIZE));
        let directories = self.draft.tree.directories().saturating_mul(BLOCK_BYTES);
        inodes.saturating_add(directories).saturating_add(self.draft.tree.memory_bytes())
    }

    /// Writes all metadata for a file system of the full size, and syncs the file.
    pub fn finish(self) -> Result<FormatSummary, FormatError> {
        finish::write(self.draft, Ending::FullSize)
    }

    /// Like [`Self::finish`], but shrinks the file system to the used size plus `slack_bytes` of free space.
    pub fn finish_shrunk(self, slack_bytes: u64) -> Result<FormatSummary, FormatError> {
        finish::write(self.draft, Ending::Shrunk { slack_blocks: slack_bytes.div_ceil(BLOCK_BYTES) })
    }

    pub(crate) fn add_file(
        &mut self,
        path: &[u8],
        metadata: &Metadata,
        size: u64,
        content: &mut dyn Content,
    ) -> Result<(), FormatError> {
        self.add_node(path, metadata, |writer| {
            let extents =
                content::store(path, size, content, &mut writer.draft.allocator, &mut writer.draft.file)?;
            Ok(Body::File { size, extents })
        })
    }

    fn add_node(
        &mut self,
        path: &[u8],
        metadata: &Metadata,
        body: impl FnOnce(&mut Self) -> Result<Body, FormatError>,
    ) -> Result<(), FormatError> {
        let xattrs = Xattrs::parse(path, &metadata.xattrs)?;
        let place = self.draft.tree.prepare(path)?;
        let body = body(self)?;
        let node = Node { attributes: Attributes::of(metadata), xattrs, names: 1, body };
        let replaced = self.draft.tree.place(&place, node);
        self.release(replaced.as_slice())
    }

    /// Frees blocks that are no longer used. They are returned to the host during the work, so that content that is replaced
    /// again and again does not fill the host's disk.
    fn release(&mut self, extents: &[Extent]) -> Result<(), FormatError> {
        for extent in extents {
            self.draft.allocator.release(extent.run());
            self.waste_blocks += u64::from(extent.blocks);
        }
        if self.waste_blocks < WASTE_BLOCKS_MAX {
            return Ok(());
        }
        self.waste_blocks = 0;
        for run in self.draft.allocator.freed_since(&mut self.punched) {
            self.draft.file.punch(run.start, run.blocks)?;
        }
        Ok(())
    }
}

/// Makes an empty file system with `lost+found`. Takes milliseconds for any size.
pub fn format_empty(path: &Path, options: FormatOptions) -> Result<FormatSummary, FormatError> {
    Ext4Writer::create(path, options)?.finish()
}

fn check_device(path: &[u8], major: u32, minor: u32) -> Result<(), FormatError> {
    if major > MAJOR_MAX || minor > MINOR_MAX {
        return Err(FormatError::BadDevice { path: shown(path), major, minor });
    }
    Ok(())
}
