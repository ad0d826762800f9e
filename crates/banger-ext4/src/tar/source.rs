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

/// The decision about a member of a tar stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TarAction {
    /// Add it.
    Keep,
    /// Leave it out; hard links to it fail unless they are left out as well.
    Skip,
}

/// A member of a tar stream before it is added. Changes made here apply to the entry that is added.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names say what the fields are")]
pub struct TarMember {
    /// Path as in the stream, unless the visitor changes it.
    pub path: Vec<u8>,
    /// Target of a hard or symbolic link.
    pub link: Vec<u8>,
    pub kind: TarKind,
    pub metadata: Metadata,
    /// Length of a file, holes included.
    pub size: u64,
    /// Properties that are lost whatever is decided.
    pub lost: Lost,
    device: (u32, u32),
    parts: Option<Vec<Part>>,
}

/// The kind of a member of a tar stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TarKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// Another name of an earlier member, or of a file that existed before.
    HardLink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// An unknown kind, with its letter; it cannot be added.
    Unknown(u8),
}

/// Decides about the members of a tar stream.
pub trait TarVisitor {
    /// The error that ends the work.
    type Error: From<FormatError>;

    /// Called for a member once all earlier ones were added; may read and change the file system.
    ///
    /// # Errors
    /// An error ends the work.
    fn visit(&mut self, writer: &mut Ext4Writer, member: &mut TarMember) -> Result<TarAction, Self::Error>;

    /// Called for a member that cannot be added. It is left out unless this returns an error.
    ///
    /// # Errors
    /// An error ends the work.
    fn refused(&mut self, path: &[u8], fault: EntryFault, error: FormatError) -> Result<(), Self::Error>;
}

/// A visitor that selects members by path only.
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

/// The result of adding a tar stream.
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
    /// Adds all members of a tar stream for which the filter is true. The filter sees paths without a leading `./` or `/`.
    ///
    /// Owners are numeric, also in access control lists (`SCHILY.acl.*`); extended attributes come from `SCHILY.xattr.*`
    /// records; sparse files stay sparse. The stream is read to its end, even after the end of the archive, so that its
    /// writer can finish.
    pub fn add_tar(
        &mut self,
        tar: impl Read,
        filter: impl FnMut(&[u8]) -> TarAction,
    ) -> Result<TarSummary, FormatError> {
        self.add_tar_members(tar, &mut Filter(filter))
    }

    /// Adds the members of a tar stream that the visitor keeps, with the visitor's changes.
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
    /// Removes the extended attributes that ext4 cannot hold, and records their number.
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
