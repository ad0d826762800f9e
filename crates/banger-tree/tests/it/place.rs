//! A working directory, and the copy under test.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use banger_tree::{
    Arrival, EntryName, Item, Metadata, Summary, Tops, TreeReader, TreeWriter, WriteError, WriterOptions,
    to_wire,
};

pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub fn directory(&self, path: &str) -> PathBuf {
        fs::create_dir_all(self.at(path)).unwrap();
        self.at(path)
    }

    /// Lists all entries, with kind, mode, time and content.
    pub fn list(&self, path: &str) -> Vec<String> {
        let mut lines = Vec::new();
        walk(&self.at(path), "", &mut lines);
        lines.sort();
        lines
    }
}

fn walk(directory: &Path, prefix: &str, lines: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().as_encoded_bytes().escape_ascii());
        let metadata = entry.path().symlink_metadata().unwrap();
        let what = if metadata.is_symlink() {
            format!(
                "-> {}",
                fs::read_link(entry.path()).unwrap().as_os_str().as_encoded_bytes().escape_ascii()
            )
        } else if metadata.is_dir() {
            walk(&entry.path(), &format!("{name}/"), lines);
            "dir".to_owned()
        } else {
            fs::read(entry.path()).unwrap().escape_ascii().to_string()
        };
        let mode = metadata.permissions().mode();
        lines.push(format!("{name} {mode:o} {}.{:09} {what}", metadata.mtime(), metadata.mtime_nsec()));
    }
}

/// Writes items as they arrive from a host. Items that the arrival refuses are passed to the writer, which trusts nobody
/// either.
pub fn write(
    items: impl IntoIterator<Item = Item>,
    to: &Path,
    options: WriterOptions,
) -> Result<Summary, WriteError> {
    let mut writer = TreeWriter::open(to, options)?;
    let mut arrival = Arrival::new(Tops::OfSender);
    for item in items {
        let arrived = arrival.take(to_wire(item.clone()));
        writer.take(arrived.unwrap_or(item))?;
    }
    writer.finish()
}

pub fn read(from: &Path) -> Vec<Item> {
    TreeReader::open(from, false).unwrap().chain([Item::End]).collect()
}

pub fn copy(from: &Path, to: &Path) -> Result<Summary, WriteError> {
    write(read(from), to, WriterOptions::default())
}

pub fn name(name: &str) -> EntryName {
    EntryName::new(name.as_bytes()).unwrap()
}

pub fn enter(directory: &str) -> Item {
    Item::Enter { name: Some(name(directory)), metadata: Some(metadata(0o755)) }
}

pub fn metadata(mode: u32) -> Metadata {
    Metadata { mode, uid: 0, gid: 0, modified_seconds: 1_000_000_000, modified_nanos: 5 }
}

/// The items of a complete file.
pub fn file(file: &str, mode: u32, content: &'static [u8]) -> Vec<Item> {
    let size = content.len() as u64;
    vec![
        Item::File { name: name(file), metadata: metadata(mode), size },
        Item::Data { offset: 0, content: content.into() },
        Item::FileEnd { size },
    ]
}

pub fn link(link: &str, target: impl AsRef<Path>) -> Item {
    let target = target.as_ref().as_os_str().as_encoded_bytes().to_vec();
    Item::Link { name: name(link), metadata: metadata(0o777), target }
}
