//! Adds the members of a tar stream to a file system.

use std::io::{BufReader, Read};

use tar::EntryType;

use crate::entry::{EntryKind, Metadata};
use crate::error::FormatError;
use crate::path::{names, shown};
use crate::sparse::Expanded;
use crate::tar_member::{Member, TarStream};
use crate::writer::Ext4Writer;

const STREAM_BUFFER: usize = 128 << 10;

/// What to do with a member of a tar stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TarAction {
    /// Add it.
    Keep,
    /// Leave it out; hard links to it fail unless they are left out as well.
    Skip,
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
        mut filter: impl FnMut(&[u8]) -> TarAction,
    ) -> Result<TarSummary, FormatError> {
        let mut tar = TarStream::new(BufReader::with_capacity(STREAM_BUFFER, tar));
        let mut summary = TarSummary::default();
        while let Some(mut member) = tar.next()? {
            member.path = names(&member.path)?.join(&b'/');
            match filter(&member.path) {
                TarAction::Skip => summary.skipped += 1,
                TarAction::Keep => {
                    summary.entries += 1;
                    summary.content_bytes = summary.content_bytes.saturating_add(member.size);
                    self.add_member(member, &mut tar)?;
                }
            }
        }
        tar.drain()?;
        Ok(summary)
    }

    fn add_member(&mut self, member: Member, tar: &mut TarStream<impl Read>) -> Result<(), FormatError> {
        let Member { kind, path, link, size, device: (major, minor), parts, .. } = member;
        let (mtime, mtime_nanos) = member.mtime;
        let metadata = Metadata {
            mode: member.mode,
            uid: member.uid,
            gid: member.gid,
            mtime,
            mtime_nanos,
            xattrs: member.xattrs,
        };
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => match parts {
                None => self.add(&path, &metadata, EntryKind::File { size, content: &mut tar.content() }),
                Some(parts) => {
                    let refused = tar.damaged("malformed sparse map");
                    let mut content = Expanded::new(tar.content(), parts, size).ok_or(refused)?;
                    self.add_file(&path, &metadata, size, &mut content)
                }
            },
            EntryType::Directory => self.add(&path, &metadata, EntryKind::Directory),
            EntryType::Symlink => self.add(&path, &metadata, EntryKind::Symlink(&link)),
            EntryType::Link => self.add(&path, &metadata, EntryKind::HardLink(&link)),
            EntryType::Char => self.add(&path, &metadata, EntryKind::CharDevice { major, minor }),
            EntryType::Block => self.add(&path, &metadata, EntryKind::BlockDevice { major, minor }),
            EntryType::Fifo => self.add(&path, &metadata, EntryKind::Fifo),
            kind => {
                Err(FormatError::TarEntryUnknown { path: shown(&path), kind: char::from(kind.as_byte()) })
            }
        }
    }
}
