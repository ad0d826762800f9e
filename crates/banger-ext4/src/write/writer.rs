//! The public face: takes entries, keeps the tree, and ends by writing all metadata.

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
/// 32 MiB: giving back has a price for each run.
const WASTE_BLOCKS_MAX: u64 = (32 << 20) / BLOCK_BYTES;
const SYMLINK_MAX: usize = 4095;
const MAJOR_MAX: u32 = 0xfff;
const MINOR_MAX: u32 = 0xf_ffff;

/// Makes a new ext4 file system in a sparse file.
///
/// The file is not a file system before [`Self::finish`] or [`Self::finish_shrunk`] has returned.
/// After an error the writer may go on: the entry is left out.
#[derive(Debug)]
pub struct Ext4Writer {
    draft: Draft,
    /// Blocks that were let go and that the host has not got back yet.
    waste_blocks: u64,
    /// How many of the freed runs it has got back.
    punched: usize,
}

impl Ext4Writer {
    /// Creates the file, or empties it.
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

    /// Adds an entry. Missing parents are made as 0755 of root.
    ///
    /// A directory that exists gets the new metadata; anything else replaces what has the same name, unless one of the
    /// two is a directory.
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

    /// Begins a layer: what is added from now on lies over what was added before, for [`Self::remove_older`] and
    /// [`Self::clear_older`].
    pub fn begin_layer(&mut self) {
        self.draft.tree.begin_layer();
    }

    /// Returns what is at a path. No symbolic link is followed.
    pub fn look_up(&self, path: &[u8]) -> Result<Option<Found>, FormatError> {
        self.draft.tree.look_up(path)
    }

    /// Returns a path that means the same without a symbolic link among its parents. Links are followed as by a process
    /// whose root this is: the parent of the root is the root.
    pub fn resolve<'p>(&self, path: &'p [u8]) -> Result<Cow<'p, [u8]>, FormatError> {
        self.draft.tree.resolve(path)
    }

    /// Removes what is at a path, with all below it; `lost+found` stays. Nothing there is fine.
    pub fn remove(&mut self, path: &[u8]) -> Result<(), FormatError> {
        let freed = self.draft.tree.remove(path)?;
        self.release(&freed)
    }

    /// Removes what earlier layers have at a path and below it. What the current layer has added stays, in parents that
    /// are 0755 of root.
    pub fn remove_older(&mut self, path: &[u8]) -> Result<(), FormatError> {
        let freed = self.draft.tree.remove_older(path)?;
        self.release(&freed)
    }

    /// Removes what earlier layers have below a directory; the directory itself stays as it is.
    pub fn clear_older(&mut self, path: &[u8]) -> Result<(), FormatError> {
        let freed = self.draft.tree.clear_older(path)?;
        self.release(&freed)
    }

    /// Returns how many entries there are, parents that nobody described among them.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.draft.tree.entries()
    }

    /// Returns about how many bytes of memory the entries take.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.draft.tree.memory_bytes()
    }

    /// Returns about how many bytes of the disk the end of the work takes at most: inodes, twice while they wait for their place,
    /// and directories with their names.
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

    /// Like [`Self::finish`], but trims the file system to what is in use and this much free space.
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

    /// Lets blocks go that nobody has any more. They are given back to the host while the work goes on: what replaces
    /// itself again and again must not fill its disk.
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

/// Makes an empty file system with `lost+found`. Takes milliseconds whatever the size.
pub fn format_empty(path: &Path, options: FormatOptions) -> Result<FormatSummary, FormatError> {
    Ext4Writer::create(path, options)?.finish()
}

fn check_device(path: &[u8], major: u32, minor: u32) -> Result<(), FormatError> {
    if major > MAJOR_MAX || minor > MINOR_MAX {
        return Err(FormatError::BadDevice { path: shown(path), major, minor });
    }
    Ok(())
}
