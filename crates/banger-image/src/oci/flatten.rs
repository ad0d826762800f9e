//! Layers into one root, in one pass and without a directory in between (OCI image spec, "Image Layer Filesystem
//! Changeset"). Each layer's tar goes straight into the file system that is being made; only names stay in memory.
//!
//! A layer is a stranger's: its paths stay below the root, its links among the parents are followed inside the root and
//! never above it, and what cannot be meant is refused.

use std::path::Path;
use std::sync::mpsc::sync_channel;

use banger_ext4::{EntryKind, Ext4Writer, FormatError, Found, Metadata, TarAction, TarKind, TarMember};

use super::digest::BlobDigest;
use super::layer::{Chunks, Layer, LayerReadError};
use super::text::plain;
use crate::blocking::Cancelled;
use crate::limits::{Allowance, OverLimit};

const WHITEOUT: &[u8] = b".wh.";
/// Names with this start are about layers and no files; only one of them has a meaning today.
const WHITEOUT_META: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
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
    #[error("the thread that read it died")]
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
    cancelled: &Cancelled,
) -> Result<u64, LayerError> {
    writer.begin_layer();
    let (sender, receiver) = sync_channel(CHUNKS_WAITING_MAX);
    // Unpacking and writing take about as long as each other.
    let (added, unpacked) = std::thread::scope(|scope| {
        let unpacking = scope.spawn(move || layer.unpack(&sender, allowance, cancelled));
        let added = writer.add_tar_members(Chunks::new(receiver), |writer, member| {
            allowance.check_entries(writer).map_err(LayerError::Limit)?;
            visit(writer, member)
        });
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

/// Decides about one member of a layer, and makes room for it.
pub(super) fn visit(writer: &mut Ext4Writer, member: &mut TarMember) -> Result<TarAction, LayerError> {
    let path = relative(&member.path, &member.path)?;
    let Some(name) = path.rsplit(|byte| *byte == b'/').next().filter(|name| !name.is_empty()) else {
        member.path.clear();
        return match member.kind {
            TarKind::Directory => {
                keep_xattrs(&mut member.metadata);
                Ok(TarAction::Keep)
            }
            _ => Err(hostile(b"/", "which is the root and no directory")),
        };
    };
    if path.split(|byte| *byte == b'/').any(|name| name.starts_with(WHITEOUT_META)) {
        if name == OPAQUE {
            hide_below(writer, &path)?;
        }
        return Ok(TarAction::Skip);
    }
    if let Some(hidden) = name.strip_prefix(WHITEOUT) {
        if hidden.is_empty() || hidden == b"." || hidden == b".." {
            return Err(hostile(&path, "which hides nothing that can be named"));
        }
        let hidden = [parent(&path), b"/", hidden].concat();
        let hidden = writer.resolve(&hidden)?.into_owned();
        writer.remove_older(&hidden)?;
        return Ok(TarAction::Skip);
    }
    member.path = writer.resolve(&path)?.into_owned();
    if is_identity(&member.path) {
        return Ok(TarAction::Skip);
    }
    make_room(writer, member)?;
    match member.kind {
        // A guest's devices are its kernel's.
        TarKind::CharDevice | TarKind::BlockDevice => return Ok(TarAction::Skip),
        TarKind::HardLink => {
            let link = member.link.strip_prefix(b"/").unwrap_or(&member.link);
            let link = relative(link, &member.path)?;
            member.link = writer.resolve(&link)?.into_owned();
        }
        TarKind::Directory | TarKind::File | TarKind::Symlink | TarKind::Fifo | TarKind::Unknown(_) => {}
    }
    keep_xattrs(&mut member.metadata);
    Ok(TarAction::Keep)
}

/// Returns a path without `.` and empty names, or refuses it. `shown` is the entry that it belongs to.
fn relative(path: &[u8], shown: &[u8]) -> Result<Vec<u8>, LayerError> {
    if path.starts_with(b"/") {
        return Err(hostile(shown, "which starts at the root of whoever unpacks it"));
    }
    if path.len() > PATH_BYTES_MAX {
        return Err(hostile(shown, "whose path is longer than a path can be"));
    }
    if path.contains(&0) {
        return Err(hostile(shown, "whose path has a NUL byte"));
    }
    let names = || path.split(|byte| *byte == b'/');
    if names().any(|name| name == b"..") {
        return Err(hostile(shown, "which leads out of where it stands"));
    }
    let names: Vec<_> = names().filter(|name| !name.is_empty() && *name != b".").collect();
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

/// Removes what cannot be replaced by the member: one of the two is a directory, or the member will not be added.
fn make_room(writer: &mut Ext4Writer, member: &TarMember) -> Result<(), LayerError> {
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

/// What makes a machine itself, and must not be the same in all VMs of an image.
fn is_identity(path: &[u8]) -> bool {
    let is_host_key = path.strip_prefix(b"etc/ssh/ssh_host_").is_some_and(|rest| !rest.contains(&b'/'));
    is_host_key || [&b"var/lib/systemd/random-seed"[..], b".dockerenv"].contains(&path)
}

fn keep_xattrs(metadata: &mut Metadata) {
    metadata.xattrs.retain(|(name, _)| {
        let starts = |prefixes: &[&[u8]]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        starts(&KNOWN_XATTRS) && !starts(&FOREIGN_XATTRS)
    });
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
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Limit(over)
            | Self::Layer {
                source: LayerError::Limit(over) | LayerError::Read(LayerReadError::Limit(over)),
                ..
            } => over.hint(),
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
