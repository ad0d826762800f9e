//! A tar on a stream as a tree. Its entries may come in any order: directories on the way to one are entered as they are.

use std::io::{self, Read};

use banger_tree::{CHUNK_BYTES, EntryName, Item, Metadata, Skipped, batch_bytes};
use bytes::Bytes;
use tar::{Archive, Entry, EntryType};
use tokio::sync::mpsc::Sender;

use super::error::CopyError;
use super::host::Work;
use super::tar_error::TarError;

/// Reads the tree.
pub(super) async fn read(
    work: &Work,
    input: Box<dyn Read + Send>,
    sender: Sender<Vec<Item>>,
) -> Result<(), CopyError> {
    work.run(move || match read_tar(input, Packer::new(sender)) {
        Ok(()) | Err(TarError::SinkGone) => Ok(()),
        Err(error) => Err(error.into()),
    })
    .await
}

fn read_tar(input: impl Read, packer: Packer) -> Result<(), TarError> {
    let mut walk = Walk { packer, levels: Vec::new() };
    let mut archive = Archive::new(input);
    for entry in archive.entries().map_err(TarError::Read)? {
        walk.take(entry.map_err(TarError::Read)?)?;
    }
    walk.go_to(&[])?;
    walk.packer.push(Item::End)?;
    walk.packer.flush()
}

/// Where in the tree we are.
struct Walk {
    packer: Packer,
    levels: Vec<EntryName>,
}

impl Walk {
    fn take(&mut self, entry: Entry<'_, impl Read>) -> Result<(), TarError> {
        let raw = entry.path_bytes().into_owned();
        let path = String::from_utf8_lossy(&raw).into_owned();
        let Some(components) = components(&raw) else { return Err(TarError::LeadsOut { path }) };
        let Some((name, parents)) = components.split_last() else { return Ok(()) };
        self.go_to(parents)?;
        let name = name.clone();
        let metadata = metadata(&entry);
        match entry.header().entry_type() {
            EntryType::Directory => {
                self.levels.push(name.clone());
                self.packer.push(Item::Enter { name: Some(name), metadata: Some(metadata) })
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.file(entry, name, metadata, path)
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                self.packer.push(Item::Link { name, metadata, target })
            }
            EntryType::XGlobalHeader => Ok(()),
            EntryType::Link => self.skip(raw, "is a hard link; write the tar with --hard-dereference", true),
            _ => self.skip(raw, "is neither file, directory nor link", false),
        }
    }

    fn file(
        &mut self,
        mut entry: Entry<'_, impl Read>,
        name: EntryName,
        metadata: Metadata,
        path: String,
    ) -> Result<(), TarError> {
        let size = entry.size();
        self.packer.push(Item::File { name, metadata, size })?;
        let mut offset = 0;
        while offset < size {
            let mut content = Vec::new();
            entry.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut content).map_err(TarError::Read)?;
            if content.is_empty() {
                return Err(TarError::Short { path });
            }
            let count = content.len() as u64;
            self.packer.push(Item::Data { offset, content: Bytes::from(content) })?;
            offset += count;
        }
        self.packer.push(Item::FileEnd { size })
    }

    fn skip(&mut self, path: Vec<u8>, reason: &str, is_failure: bool) -> Result<(), TarError> {
        self.packer.push(Item::Skipped(Skipped { path, reason: reason.to_owned(), is_failure }))
    }

    /// Leaves and enters directories until we are in this one.
    fn go_to(&mut self, directory: &[EntryName]) -> Result<(), TarError> {
        let common = self.levels.iter().zip(directory).take_while(|(ours, theirs)| ours == theirs).count();
        while self.levels.len() > common {
            self.levels.pop();
            self.packer.push(Item::Leave)?;
        }
        for name in directory.iter().skip(common) {
            self.levels.push(name.clone());
            self.packer.push(Item::Enter { name: Some(name.clone()), metadata: None })?;
        }
        Ok(())
    }
}

/// The names on a path, from the top; `None` when it leads out.
fn components(path: &[u8]) -> Option<Vec<EntryName>> {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    parts.map(|part| EntryName::new(part).ok()).collect()
}

fn metadata(entry: &Entry<'_, impl Read>) -> Metadata {
    let header = entry.header();
    let id = |id: io::Result<u64>| id.ok().and_then(|id| u32::try_from(id).ok()).unwrap_or(0);
    Metadata {
        mode: header.mode().unwrap_or(0o644) & 0o7777,
        uid: id(header.uid()),
        gid: id(header.gid()),
        modified_seconds: header.mtime().ok().and_then(|time| i64::try_from(time).ok()).unwrap_or(0),
        modified_nanos: 0,
    }
}

/// Sends items when a chunk is full.
struct Packer {
    sender: Sender<Vec<Item>>,
    batch: Vec<Item>,
    bytes: usize,
}

impl Packer {
    fn new(sender: Sender<Vec<Item>>) -> Self {
        Self { sender, batch: Vec::new(), bytes: 0 }
    }

    fn push(&mut self, item: Item) -> Result<(), TarError> {
        self.bytes += batch_bytes(&item);
        self.batch.push(item);
        if self.bytes < CHUNK_BYTES { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), TarError> {
        self.bytes = 0;
        self.sender.blocking_send(std::mem::take(&mut self.batch)).map_err(|_gone| TarError::SinkGone)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tar::{Builder, Header};
    use tokio::sync::mpsc;

    use super::*;

    fn tar(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (kind, path, content) in entries {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o640);
            // As a hostile tar has it: the library itself would refuse some.
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            if *kind == EntryType::Regular {
                header.set_size(content.len() as u64);
            } else {
                header.set_size(0);
                if *kind != EntryType::Directory && !content.is_empty() {
                    header.set_link_name(Path::new(content)).unwrap();
                }
            }
            header.set_cksum();
            let content = if *kind == EntryType::Regular { content.as_bytes() } else { b"" };
            builder.append(&header, content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn read(tar: &[u8]) -> Result<Vec<String>, TarError> {
        let (sender, mut receiver) = mpsc::channel(1000);
        read_tar(tar, Packer::new(sender))?;
        let mut told = Vec::new();
        while let Ok(batch) = receiver.try_recv() {
            told.extend(batch.into_iter().map(|item| match item {
                Item::Enter { name, metadata } => format!("enter {name:?} {}", metadata.is_some()),
                Item::Leave => "leave".to_owned(),
                Item::File { name, size, .. } => format!("file {name:?} {size}"),
                Item::Data { content, .. } => format!("data {}", content.len()),
                Item::FileEnd { size } => format!("end {size}"),
                Item::Link { name, target, .. } => format!("link {name:?} {}", target.escape_ascii()),
                Item::Skipped(skipped) => format!("skipped {}", skipped.path.escape_ascii()),
                Item::FileBroken => "broken".to_owned(),
                Item::End => "END".to_owned(),
            }));
        }
        Ok(told)
    }

    #[test]
    fn entries_in_any_order_are_a_walk() {
        use EntryType::{Directory, Fifo, Link, Regular, Symlink};
        let tar = tar(&[
            (Directory, "./", ""),
            (Directory, "a/", ""),
            (Regular, "./a/file", "xyz"),
            (Regular, "b/c/deep", ""),
            (Symlink, "b/link", "../../etc/passwd"),
            (Link, "b/hard", "a/file"),
            (Fifo, "fifo", ""),
            (Regular, "/absolute", "x"),
        ]);
        insta::assert_snapshot!(read(&tar).unwrap().join("\n"), @r#"
        enter Some("a") true
        file "file" 3
        data 3
        end 3
        leave
        enter Some("b") false
        enter Some("c") false
        file "deep" 0
        end 0
        leave
        link "link" ../../etc/passwd
        skipped b/hard
        leave
        skipped fifo
        file "absolute" 1
        data 1
        end 1
        END
        "#);
    }

    #[test]
    fn what_leads_out_or_is_cut_off_is_refused() {
        for path in ["../x", "a/../../x", "a/.."] {
            let tar = tar(&[(EntryType::Regular, path, "x")]);
            assert!(matches!(read(&tar), Err(TarError::LeadsOut { .. })), "{path}");
        }
        let whole = tar(&[(EntryType::Regular, "file", &"x".repeat(2000))]);
        assert!(read(&whole[..1500]).is_err());
        assert!(matches!(read(&[b'x'; 1024]), Err(TarError::Read(_))));
        assert_eq!(read(b"").unwrap(), ["END"]);
    }
}
