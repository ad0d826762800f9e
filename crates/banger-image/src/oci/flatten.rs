//! Layers into one root, in one pass and without a directory in between (OCI image spec, "Image Layer Filesystem
//! Changeset"). Each layer's tar goes straight into the file system that is being made; only names stay in memory.
//!
//! A layer is a stranger's, and read as GNU tar, docker and podman read it: paths begin at the root, with or without a
//! slash; links among the parents are followed inside the root, whose parent is the root. What leaves the root by its
//! name is refused. What a root cannot have is left out and told.

use std::path::Path;
use std::sync::mpsc::sync_channel;

use banger_ext4::{
    EntryFault, EntryKind, Ext4Writer, FormatError, Found, Metadata, TarAction, TarKind, TarMember,
    TarVisitor,
};
use banger_model::Hint;
use banger_sys::blocking::Cancelled;

use super::digest::BlobDigest;
use super::layer::{Chunks, Layer, LayerReadError};
use super::left_out::{LeftOut, Why};
use super::text::plain;
use crate::limits::{Allowance, OverLimit};

const WHITEOUT: &[u8] = b".wh.";
/// Names with this start are about layers and no files; only one of them has a meaning today.
const WHITEOUT_META: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const HOST_KEY: &[u8] = b"etc/ssh/ssh_host_";
/// How an image gets layers that everybody reads.
/// As long as a path of Linux (`PATH_MAX`).
const PATH_BYTES_MAX: usize = 4096;
/// Unpacked chunks that wait to be written.
const CHUNKS_WAITING_MAX: usize = 8;
/// Attributes of a builder's host or of its overlay file system: in a guest they would mean something else.
const FOREIGN_XATTRS: [&[u8]; 3] = [b"trusted.overlay.", b"user.overlay.", b"security.selinux"];
/// Attributes that ext4 can hold.
const KNOWN_XATTRS: [&[u8]; 5] =
    [b"user.", b"trusted.", b"security.", b"system.posix_acl_access", b"system.posix_acl_default"];

/// Why a layer cannot be a part of a root.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum LayerError {
    #[error("it has the entry `{path}`, {reason}")]
    Hostile { path: String, reason: &'static str },
    #[error("it cannot be unpacked")]
    Unpack(#[source] FormatError),
    #[error(transparent)]
    Read(LayerReadError),
    #[error(transparent)]
    Limit(OverLimit),
    #[error("the thread that reads it ended unexpectedly")]
    Thread,
}

impl From<FormatError> for LayerError {
    fn from(error: FormatError) -> Self {
        Self::Unpack(error)
    }
}

/// Adds a layer on top of what is there. Returns how many bytes of files it brought.
pub(crate) fn add_layer(
    writer: &mut Ext4Writer,
    layer: Layer,
    allowance: &Allowance,
    left_out: &mut LeftOut,
    cancelled: &Cancelled,
) -> Result<u64, LayerError> {
    writer.begin_layer();
    let (sender, receiver) = sync_channel(CHUNKS_WAITING_MAX);
    // Unpacking and writing take about as long as each other.
    let (added, unpacked) = std::thread::scope(|scope| {
        let unpacking = scope.spawn(move || layer.unpack(&sender, allowance, cancelled));
        let mut visitor = LayerVisitor { allowance, left_out };
        let added = writer.add_tar_members(Chunks::new(receiver), &mut visitor);
        let added = added.and_then(|added| {
            allowance.check_entries(writer).map_err(LayerError::Limit)?;
            Ok(added)
        });
        (added, unpacking.join())
    });
    match (unpacked, added) {
        // A layer that breaks off breaks its tar as well: the cause is told.
        (Ok(Err(LayerReadError::Stopped) | Ok(())), Err(error)) => Err(error),
        (Ok(Err(error)), _) => Err(LayerError::Read(error)),
        (Err(_panic), _) => Err(LayerError::Thread),
        (Ok(Ok(())), Ok(summary)) => Ok(summary.content_bytes),
    }
}

/// Decides about the members of a layer, one by one.
pub(super) struct LayerVisitor<'v> {
    pub(super) allowance: &'v Allowance,
    pub(super) left_out: &'v mut LeftOut,
}

impl TarVisitor for LayerVisitor<'_> {
    type Error = LayerError;

    fn visit(&mut self, writer: &mut Ext4Writer, member: &mut TarMember) -> Result<TarAction, LayerError> {
        self.allowance.check_entries(writer).map_err(LayerError::Limit)?;
        match visit(writer, member, self.left_out) {
            Err(LayerError::Unpack(error)) => match error.entry_fault() {
                Some(fault) => {
                    self.left_out.note_fault(fault, &member.path);
                    Ok(TarAction::Skip)
                }
                None => Err(LayerError::Unpack(error)),
            },
            decided => decided,
        }
    }

    fn refused(&mut self, path: &[u8], fault: EntryFault, _: FormatError) -> Result<(), LayerError> {
        self.left_out.note_fault(fault, path);
        Ok(())
    }
}

/// Decides about one member of a layer, and makes room for it.
fn visit(
    writer: &mut Ext4Writer,
    member: &mut TarMember,
    left_out: &mut LeftOut,
) -> Result<TarAction, LayerError> {
    let path = relative(&member.path, &member.path)?;
    let Some(name) = path.rsplit(|byte| *byte == b'/').next().filter(|name| !name.is_empty()) else {
        return Ok(visit_root(member, left_out));
    };
    if path.split(|byte| *byte == b'/').any(|name| name.starts_with(WHITEOUT_META)) {
        if name == OPAQUE {
            hide_below(writer, &path)?;
        }
        return Ok(TarAction::Skip);
    }
    if let Some(hidden) = name.strip_prefix(WHITEOUT) {
        hide(writer, &path, hidden, left_out)?;
        return Ok(TarAction::Skip);
    }
    if path.len() > PATH_BYTES_MAX {
        left_out.note(Why::Name, &path, 1);
        return Ok(TarAction::Skip);
    }
    member.path = writer.resolve(&path)?.into_owned();
    if is_identity(&member.path) {
        let is_key = member.path.starts_with(HOST_KEY);
        left_out.note(Why::HostKey, &member.path, usize::from(is_key));
        return Ok(TarAction::Skip);
    }
    take_kind(member, left_out);
    make_room(writer, member)?;
    match member.kind {
        TarKind::CharDevice | TarKind::BlockDevice => {
            // Those in /dev are missed by nobody: the guest's kernel makes its own there.
            left_out.note(Why::Device, &member.path, usize::from(!member.path.starts_with(b"dev/")));
            return Ok(TarAction::Skip);
        }
        // A part of another archive, or the name of this one.
        TarKind::Unknown(_) => return Ok(TarAction::Skip),
        TarKind::HardLink => {
            let link = relative(&member.link, &member.path)?;
            member.link = writer.resolve(&link)?.into_owned();
        }
        TarKind::Directory | TarKind::File | TarKind::Symlink | TarKind::Fifo => {}
    }
    keep_attributes(member, left_out);
    Ok(TarAction::Keep)
}

/// Decides about an entry for the root itself, as kaniko and others put one in front.
fn visit_root(member: &mut TarMember, left_out: &mut LeftOut) -> TarAction {
    member.path.clear();
    if member.kind == TarKind::Directory {
        keep_attributes(member, left_out);
        TarAction::Keep
    } else {
        left_out.note(Why::Root, b"/", 1);
        TarAction::Skip
    }
}

/// Takes a kind that is not one of a file system as GNU tar does: most are files to it.
fn take_kind(member: &mut TarMember, left_out: &mut LeftOut) {
    if let TarKind::Unknown(letter) = member.kind {
        match letter {
            // A directory with the names of what was in it.
            b'D' => (member.kind, member.size) = (TarKind::Directory, 0),
            // Volumes' names, old long names, lists of Solaris.
            b'A' | b'N' | b'V' => {}
            b'M' => left_out.note(Why::UnknownKind, &member.path, 1),
            _ => {
                left_out.note(Why::UnknownKind, &member.path, 1);
                member.kind = TarKind::File;
            }
        }
    }
}

/// Returns a path without `.`, `..` and empty names. One that leaves the root is refused. `shown` is the entry that it
/// belongs to.
fn relative(path: &[u8], shown: &[u8]) -> Result<Vec<u8>, LayerError> {
    let mut names = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                names.pop().ok_or_else(|| hostile(shown, "which leads out of the root"))?;
            }
            name => names.push(name),
        }
    }
    Ok(names.join(&b'/'))
}

fn hostile(path: &[u8], reason: &'static str) -> LayerError {
    LayerError::Hostile { path: plain(&String::from_utf8_lossy(path), 200), reason }
}

fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').and_then(|end| path.get(..end)).unwrap_or_default()
}

/// Hides what lower layers have in the directory of an opaque mark, and makes the directory if it is not there.
fn hide_below(writer: &mut Ext4Writer, mark: &[u8]) -> Result<(), LayerError> {
    let mark = writer.resolve(mark)?.into_owned();
    let directory = parent(&mark);
    if writer.look_up(directory)?.is_none() {
        let metadata = Metadata { mode: 0o755, ..Metadata::default() };
        writer.add(directory, &metadata, EntryKind::Directory)?;
    }
    Ok(writer.clear_older(directory)?)
}

/// Hides what lower layers have under the name that a whiteout carries.
fn hide(
    writer: &mut Ext4Writer,
    whiteout: &[u8],
    hidden: &[u8],
    left_out: &mut LeftOut,
) -> Result<(), LayerError> {
    match hidden {
        b"" | b"." => left_out.note(Why::Whiteout, whiteout, 1),
        b".." => return Err(hostile(whiteout, "which would hide the directory that it is in")),
        hidden => {
            let hidden = [parent(whiteout), b"/", hidden].concat();
            let hidden = writer.resolve(&hidden)?.into_owned();
            writer.remove_older(&hidden)?;
        }
    }
    Ok(())
}

/// Removes what cannot be replaced by the member: one of the two is a directory, or the member will not be added; and what
/// stands where it needs a directory, because not every builder writes an entry for each.
fn make_room(writer: &mut Ext4Writer, member: &TarMember) -> Result<(), LayerError> {
    let directory = parent(&member.path);
    if !matches!(writer.look_up(directory)?, Some(Found::Directory)) {
        for end in directory.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end) {
            remove_other(writer, directory.get(..end).unwrap_or_default())?;
        }
        remove_other(writer, directory)?;
    }
    let is_in_the_way = match (writer.look_up(&member.path)?, member.kind) {
        (None, _) | (Some(Found::Directory), TarKind::Directory) => false,
        (Some(_), TarKind::CharDevice | TarKind::BlockDevice) => true,
        (Some(found), kind) => (found == Found::Directory) != (kind == TarKind::Directory),
    };
    if is_in_the_way {
        writer.remove(&member.path)?;
    }
    Ok(())
}

/// Removes what is at a path unless it is a directory.
fn remove_other(writer: &mut Ext4Writer, path: &[u8]) -> Result<(), LayerError> {
    match writer.look_up(path)? {
        None | Some(Found::Directory) => Ok(()),
        Some(_) => Ok(writer.remove(path)?),
    }
}

/// What makes a machine itself, and must not be the same in all VMs of an image.
fn is_identity(path: &[u8]) -> bool {
    let is_host_key = path.strip_prefix(HOST_KEY).is_some_and(|rest| !rest.contains(&b'/'));
    is_host_key || [&b"var/lib/systemd/random-seed"[..], b".dockerenv"].contains(&path)
}

/// Keeps the attributes that mean something in a guest and that ext4 can hold, and notes what is lost of the member.
fn keep_attributes(member: &mut TarMember, left_out: &mut LeftOut) {
    member.metadata.xattrs.retain(|(name, _)| {
        let starts = |prefixes: &[&[u8]]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        starts(&KNOWN_XATTRS) && !starts(&FOREIGN_XATTRS)
    });
    member.keep_storable_attributes();
    left_out.note(Why::Attributes, &member.path, member.lost.attributes);
    left_out.note(Why::Owner, &member.path, usize::from(member.lost.has_no_owner));
}

/// Why layers do not become a root.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum FlattenError {
    #[error("cannot use the layer {layer}")]
    Layer { layer: BlobDigest, source: LayerError },
    #[error("the image is too large")]
    Limit(#[source] OverLimit),
    #[error("cannot write the image's root `{}`", path.display())]
    Write { path: std::path::PathBuf, source: FormatError },
}

impl FlattenError {
    /// What to type or do next, where that is known.
    pub(crate) fn hint(&self) -> Option<Hint> {
        match self {
            Self::Limit(over)
            | Self::Layer {
                source: LayerError::Limit(over) | LayerError::Read(LayerReadError::Limit(over)),
                ..
            } => over.hint(),
            Self::Layer { source: LayerError::Read(LayerReadError::UnknownCompression { .. }), .. } => {
                Some(Hint::ConvertLayers)
            }
            Self::Layer { .. } | Self::Write { .. } => None,
        }
    }

    pub(crate) fn write(path: &Path, source: FormatError) -> Self {
        Self::Write { path: path.to_owned(), source }
    }
}

#[cfg(test)]
#[path = "flatten_tests.rs"]
mod tests;
