//! A tree as a tar on a stream.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use banger_tree::{Item, Metadata};
use bytes::{Buf as _, Bytes};
use tar::{Builder, EntryType, Header};
use tokio::sync::mpsc::Receiver;

use super::error::CopyError;
use super::host::Work;

/// Bytes of a file that claims to have none, as those of `/proc` do: a tar must know a size beforehand.
const UNKNOWN_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Writes the tree. Bits for set-user-id, set-group-id and sticky come along only where owners are kept: whoever
/// unpacks it with the rights of root would make them true.
pub(super) async fn write(
    work: &Work,
    output: Box<dyn io::Write + Send>,
    special_bits: bool,
    receiver: Receiver<Vec<Item>>,
) -> Result<(), CopyError> {
    let mode_bits = if special_bits { 0o7777 } else { 0o777 };
    let items = Items { receiver, batch: VecDeque::new(), mode_bits };
    work.run(move || write_tar(items, output)).await
}

fn write_tar(mut items: Items, output: impl io::Write) -> Result<(), CopyError> {
    let mut tar = Builder::new(Gate { output, is_closed: false });
    if let Err(error) = append_all(&mut tar, &mut items) {
        // A builder writes a tar's end when it is dropped, and half a tar must not look like a whole one.
        tar.get_mut().is_closed = true;
        return Err(error);
    }
    let mut gate = tar.into_inner().map_err(CopyError::Stream)?;
    gate.output.flush().map_err(CopyError::Stream)
}

/// Appends everything up to the tree's end.
fn append_all(tar: &mut Builder<impl io::Write>, items: &mut Items) -> Result<(), CopyError> {
    let mut path = PathBuf::new();
    // Whether each level that was entered has a name.
    let mut levels = Vec::new();
    while let Some(item) = items.next() {
        match item {
            Item::Enter { name, metadata } => {
                levels.push(name.is_some());
                let Some(name) = name else { continue };
                path.push(os(name.as_bytes()));
                if let Some(metadata) = metadata {
                    let mut header = header(EntryType::Directory, &metadata, 0);
                    tar.append_data(&mut header, &path, io::empty()).map_err(CopyError::Stream)?;
                }
            }
            Item::Leave => {
                if levels.pop() == Some(true) {
                    path.pop();
                }
            }
            Item::File { name, metadata, size } => {
                let path = path.join(os(name.as_bytes()));
                append_file(tar, &path, &metadata, size, items).map_err(CopyError::Stream)?;
            }
            Item::Link { name, metadata, target } => {
                let mut header = header(EntryType::Symlink, &metadata, 0);
                tar.append_link(&mut header, path.join(os(name.as_bytes())), os(&target))
                    .map_err(CopyError::Stream)?;
            }
            Item::End => return Ok(()),
            Item::Data { .. } | Item::FileEnd { .. } | Item::FileBroken | Item::Skipped(_) => {}
        }
    }
    Err(CopyError::CutOff { what: "-".to_owned() })
}

/// An output that can be closed to whatever still comes.
struct Gate<W> {
    output: W,
    is_closed: bool,
}

impl<W: io::Write> io::Write for Gate<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_closed { Ok(bytes.len()) } else { self.output.write(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

fn append_file(
    tar: &mut Builder<impl io::Write>,
    path: &Path,
    metadata: &Metadata,
    size: u64,
    items: &mut Items,
) -> io::Result<()> {
    let mut content = Content { items, size, position: 0, piece: None, is_ended: false };
    if size == 0 {
        let mut bytes = Vec::new();
        while let Some((_, piece)) = content.next_piece() {
            if bytes.len() + piece.len() > UNKNOWN_BYTES_MAX {
                return Err(io::Error::other(format!(
                    "`{}` is large, and its size is unknown",
                    path.display()
                )));
            }
            bytes.extend_from_slice(&piece);
        }
        let mut header = header(EntryType::Regular, metadata, bytes.len() as u64);
        return tar.append_data(&mut header, path, bytes.as_slice());
    }
    let mut header = header(EntryType::Regular, metadata, size);
    tar.append_data(&mut header, path, &mut content)?;
    // Whatever it has grown by has no place in the tar.
    while content.next_piece().is_some() {}
    Ok(())
}

fn header(kind: EntryType, metadata: &Metadata, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(metadata.mode);
    header.set_uid(metadata.uid.into());
    header.set_gid(metadata.gid.into());
    header.set_mtime(u64::try_from(metadata.modified_seconds).unwrap_or(0));
    header.set_size(size);
    header
}

fn os(bytes: &[u8]) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(bytes)
}

/// The items, one by one.
struct Items {
    receiver: Receiver<Vec<Item>>,
    batch: VecDeque<Item>,
    /// What is kept of permissions.
    mode_bits: u32,
}

impl Items {
    fn next(&mut self) -> Option<Item> {
        while self.batch.is_empty() {
            self.batch = self.receiver.blocking_recv()?.into();
        }
        let mut item = self.batch.pop_front()?;
        match &mut item {
            Item::Enter { metadata: Some(metadata), .. }
            | Item::File { metadata, .. }
            | Item::Link { metadata, .. } => metadata.mode &= self.mode_bits,
            _ => {}
        }
        Some(item)
    }
}

/// The content of one file, exactly as long as was said: holes and what is missing are zeros.
struct Content<'a> {
    items: &'a mut Items,
    size: u64,
    position: u64,
    piece: Option<(u64, Bytes)>,
    is_ended: bool,
}

impl Content<'_> {
    fn next_piece(&mut self) -> Option<(u64, Bytes)> {
        if self.is_ended {
            return None;
        }
        let Some(Item::Data { offset, content }) = self.items.next() else {
            self.is_ended = true;
            return None;
        };
        Some((offset, content))
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = self.size - self.position;
            let room = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            if room == 0 {
                return Ok(0);
            }
            let gap = match &mut self.piece {
                Some((offset, content)) if *offset <= self.position => {
                    let count = room.min(content.len());
                    content.split_to(count).copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
                    *offset += count as u64;
                    if content.is_empty() {
                        self.piece = None;
                    }
                    self.position += count as u64;
                    if count == 0 {
                        continue;
                    }
                    return Ok(count);
                }
                Some((offset, _)) => *offset - self.position,
                None if self.is_ended => left,
                None => {
                    self.piece = self.next_piece();
                    continue;
                }
            };
            let count = usize::try_from(gap).unwrap_or(usize::MAX).min(room);
            buffer.get_mut(..count).unwrap_or_default().fill(0);
            self.position += count as u64;
            return Ok(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use banger_tree::{EntryName, Skipped};
    use tokio::sync::mpsc;

    use super::*;

    fn name(name: &str) -> EntryName {
        EntryName::new(name.as_bytes()).unwrap()
    }

    fn write(items: Vec<Item>) -> Result<Vec<u8>, CopyError> {
        let (sender, receiver) = mpsc::channel(1);
        sender.try_send(items).unwrap();
        drop(sender);
        let mut output = Vec::new();
        write_tar(Items { receiver, batch: VecDeque::new(), mode_bits: 0o777 }, &mut output)?;
        Ok(output)
    }

    #[test]
    fn a_tree_is_a_tar_with_holes_filled_and_sizes_kept() {
        let metadata = Metadata { mode: 0o6640, modified_seconds: 7, ..Metadata::default() };
        let long = "n".repeat(200);
        let data = |offset, content: &'static str| Item::Data { offset, content: content.into() };
        let file = |name: EntryName, size| Item::File { name, metadata, size };
        let items = vec![
            Item::Enter { name: Some(name("dir")), metadata: Some(metadata) },
            file(name(&long), 10),
            data(2, "ab"),
            data(6, "c"),
            Item::FileEnd { size: 10 },
            file(name("grown"), 2),
            data(0, "abcd"),
            Item::FileEnd { size: 4 },
            file(name("broken"), 3),
            data(0, "a"),
            Item::FileBroken,
            Item::Skipped(Skipped { path: Vec::new(), reason: String::new(), is_failure: true }),
            file(name("unknown"), 0),
            data(0, "xyz"),
            Item::FileEnd { size: 3 },
            Item::Link { name: name("link"), metadata, target: b"/else/where".to_vec() },
            Item::Leave,
            Item::End,
        ];
        let tar = write(items).unwrap();
        let mut archive = tar::Archive::new(tar.as_slice());
        let told: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                let link =
                    entry.link_name().unwrap().map(|link| link.display().to_string()).unwrap_or_default();
                let path = entry.path().unwrap().display().to_string().replace(&long, "long");
                format!("{path} {:o} {}{link}", entry.header().mode().unwrap(), content.escape_ascii())
            })
            .collect();
        let told = told.join("\n");
        insta::assert_snapshot!(told.replace("640 \n", "640\n"), @r"
        dir 640
        dir/long 640 \x00\x00ab\x00\x00c\x00\x00\x00
        dir/grown 640 ab
        dir/broken 640 a\x00\x00
        dir/unknown 640 xyz
        dir/link 640 /else/where
        ");
    }

    #[test]
    fn a_tree_that_is_cut_off_leaves_half_a_tar_and_not_a_short_one() {
        let (sender, receiver) = mpsc::channel(1);
        sender.try_send(vec![Item::Leave]).unwrap();
        drop(sender);
        let mut output = Vec::new();
        let items = Items { receiver, batch: VecDeque::new(), mode_bits: 0o777 };
        assert!(matches!(write_tar(items, &mut output), Err(CopyError::CutOff { .. })));
        assert_eq!(output, b"");
    }
}
