//! Adds the members of a tar stream to a file system.

use std::io::{BufReader, Read};

use tar::EntryType;

use crate::entry::{EntryKind, Metadata};
use crate::error::{EntryFault, FormatError};
use crate::path::{names, shown};
use crate::tar::member::{Lost, Member, TarStream};
use crate::tar::sparse::{Expanded, Part};
use crate::write::writer::Ext4Writer;
use crate::write::xattr::keep_storable;

const STREAM_BUFFER: usize = 128 << 10;

/// What to do with a member of a tar stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TarAction {
    /// Add it.
    Keep,
    /// Leave it out; hard links to it fail unless they are left out as well.
    Skip,
}

/// A member of a tar stream, before it is added. What is changed here is what is added.
#[derive(Debug)]
pub struct TarMember {
    /// Its path as the stream has it, until somebody makes another one of it.
    pub path: Vec<u8>,
    /// Target of a link of either sort.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: TarKind,
    /// Owner, mode, time and extended attributes.
    pub metadata: Metadata,
    /// Length of a file, holes included.
    pub size: u64,
    /// What is lost of it, whatever is done with it.
    pub lost: Lost,
    device: (u32, u32),
    parts: Option<Vec<Part>>,
}

/// What a member of a tar stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TarKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// Another name of a member before it, or of a file that was there already.
    HardLink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// Nothing that is known, with its letter; it cannot be added.
    Unknown(u8),
}

/// Decides what becomes of the members of a tar stream.
pub trait TarVisitor {
    /// Why the work ends.
    type Error: From<FormatError>;

    /// Sees a member when those before it are there, and may look at the file system and change it.
    ///
    /// # Errors
    /// What ends the work.
    fn visit(&mut self, writer: &mut Ext4Writer, member: &mut TarMember) -> Result<TarAction, Self::Error>;

    /// Hears that a member cannot be added; unless that ends the work, it is left out.
    ///
    /// # Errors
    /// What ends the work.
    fn refused(&mut self, path: &[u8], fault: EntryFault, error: FormatError) -> Result<(), Self::Error>;
}

/// Keeps members by their paths alone.
struct Filter<F>(F);

impl<F: FnMut(&[u8]) -> TarAction> TarVisitor for Filter<F> {
    type Error = FormatError;

    fn visit(&mut self, _: &mut Ext4Writer, member: &mut TarMember) -> Result<TarAction, FormatError> {
        member.path = names(&member.path)?.join(&b'/');
        Ok((self.0)(&member.path))
    }

    fn refused(&mut self, _: &[u8], _: EntryFault, error: FormatError) -> Result<(), FormatError> {
        Err(error)
    }
}

/// What came from a tar stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TarSummary {
    /// Members that were added.
    pub entries: u64,
    /// Members that were left out.
    pub skipped: u64,
    /// Bytes of the files that were added, holes included.
    pub content_bytes: u64,
}

impl Ext4Writer {
    /// Adds all members of a tar stream that the filter keeps. The filter sees paths without `./` or `/` in front.
    ///
    /// Owners are numeric, also in access control lists (`SCHILY.acl.*`); extended attributes come from `SCHILY.xattr.*` records; sparse files stay sparse. The stream
    /// is read to its end, also behind the end of the archive, so that whoever feeds it can finish.
    pub fn add_tar(
        &mut self,
        tar: impl Read,
        filter: impl FnMut(&[u8]) -> TarAction,
    ) -> Result<TarSummary, FormatError> {
        self.add_tar_members(tar, &mut Filter(filter))
    }

    /// Adds the members of a tar stream that the visitor keeps, as the visitor leaves them.
    ///
    /// Otherwise as [`Self::add_tar`].
    pub fn add_tar_members<V: TarVisitor>(
        &mut self,
        tar: impl Read,
        visitor: &mut V,
    ) -> Result<TarSummary, V::Error> {
        let mut tar = TarStream::new(BufReader::with_capacity(STREAM_BUFFER, tar));
        let mut summary = TarSummary::default();
        while let Some(member) = tar.next()? {
            let mut member = TarMember::of(member);
            if visitor.visit(self, &mut member)? == TarAction::Skip {
                summary.skipped += 1;
                continue;
            }
            let (path, size) = (member.path.clone(), member.size);
            let Err(error) = self.add_member(member, &mut tar) else {
                summary.entries += 1;
                summary.content_bytes = summary.content_bytes.saturating_add(size);
                continue;
            };
            summary.skipped += 1;
            match error.entry_fault() {
                Some(fault) => visitor.refused(&path, fault, error)?,
                None => return Err(error.into()),
            }
        }
        tar.drain()?;
        Ok(summary)
    }

    fn add_member(&mut self, member: TarMember, tar: &mut TarStream<impl Read>) -> Result<(), FormatError> {
        let TarMember { path, link, kind, metadata, size, lost: _, device: (major, minor), parts } = member;
        match kind {
            TarKind::File => match parts {
                None => self.add(&path, &metadata, EntryKind::File { size, content: &mut tar.content() }),
                Some(parts) => {
                    let refused = tar.damaged("malformed sparse map");
                    let mut content = Expanded::new(tar.content(), parts, size).ok_or(refused)?;
                    self.add_file(&path, &metadata, size, &mut content)
                }
            },
            TarKind::Directory => self.add(&path, &metadata, EntryKind::Directory),
            TarKind::Symlink => self.add(&path, &metadata, EntryKind::Symlink(&link)),
            TarKind::HardLink => self.add(&path, &metadata, EntryKind::HardLink(&link)),
            TarKind::CharDevice => self.add(&path, &metadata, EntryKind::CharDevice { major, minor }),
            TarKind::BlockDevice => self.add(&path, &metadata, EntryKind::BlockDevice { major, minor }),
            TarKind::Fifo => self.add(&path, &metadata, EntryKind::Fifo),
            TarKind::Unknown(kind) => {
                Err(FormatError::TarEntryUnknown { path: shown(&path), kind: char::from(kind) })
            }
        }
    }
}

impl TarMember {
    /// Takes away the extended attributes that ext4 cannot hold, and notes how many are lost.
    pub fn keep_storable_attributes(&mut self) {
        self.lost.attributes += keep_storable(&mut self.metadata.xattrs);
    }

    fn of(member: Member) -> Self {
        let (mtime, mtime_nanos) = member.mtime;
        Self {
            path: member.path,
            link: member.link,
            kind: match member.kind {
                EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => TarKind::File,
                EntryType::Directory => TarKind::Directory,
                EntryType::Symlink => TarKind::Symlink,
                EntryType::Link => TarKind::HardLink,
                EntryType::Char => TarKind::CharDevice,
                EntryType::Block => TarKind::BlockDevice,
                EntryType::Fifo => TarKind::Fifo,
                kind => TarKind::Unknown(kind.as_byte()),
            },
            metadata: Metadata {
                mode: member.mode,
                uid: member.uid,
                gid: member.gid,
                mtime,
                mtime_nanos,
                xattrs: member.xattrs,
            },
            size: member.size,
            lost: member.lost,
            device: member.device,
            parts: member.parts,
        }
    }
}
