//! Layers and images for tests: tars entry by entry, roots made of them and read back.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use banger_ext4::{Ext4Writer, FormatOptions, Journal};
use banger_sys::blocking::Cancelled;
use ext4_view::{Ext4, FileType};
use serde_json::{Value, json};

use super::digest::BlobDigest;
use super::flatten::{LayerError, add_layer};
use super::layer::Layer;
use super::left_out::LeftOut;
use super::platform::Platform;
use crate::limits::Allowance;

/// A tar that grows.
pub(crate) struct Tar(tar::Builder<Vec<u8>>);

impl Tar {
    pub(crate) fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    /// Adds an entry as it is, also one that a good builder would not make.
    pub(crate) fn raw(
        mut self,
        kind: tar::EntryType,
        path: &[u8],
        link: &[u8],
        mode: u32,
        content: &[u8],
    ) -> Self {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(u64::from(mode) * 3);
        header.set_gid(u64::from(mode));
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
        let mut records = Vec::new();
        for (key, value) in [("path", path), ("linkpath", link)] {
            if !value.is_empty() {
                records.extend(pax_record(key, value));
            }
        }
        header.as_old_mut().name[..4].copy_from_slice(b"name");
        self.pax(&records);
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    fn pax(&mut self, records: &[u8]) {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::XHeader);
        header.set_size(records.len() as u64);
        header.set_cksum();
        self.0.append(&header, records).unwrap();
    }

    pub(crate) fn file(self, path: &str, content: &str) -> Self {
        self.raw(tar::EntryType::Regular, path.as_bytes(), b"", 0o644, content.as_bytes())
    }

    pub(crate) fn directory(self, path: &str, mode: u32) -> Self {
        self.raw(tar::EntryType::Directory, path.as_bytes(), b"", mode, b"")
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.raw(tar::EntryType::Symlink, path.as_bytes(), target.as_bytes(), 0o777, b"")
    }

    pub(crate) fn hard_link(self, path: &str, target: &str) -> Self {
        self.raw(tar::EntryType::Link, path.as_bytes(), target.as_bytes(), 0o644, b"")
    }

    /// Adds a file with extended attributes.
    pub(crate) fn with_xattrs(mut self, path: &str, xattrs: &[(&str, &[u8])]) -> Self {
        let mut records = pax_record("path", path.as_bytes());
        for (name, value) in xattrs {
            records.extend(pax_record(&format!("SCHILY.xattr.{name}"), value));
        }
        self.pax(&records);
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o755);
        header.set_size(0);
        header.set_cksum();
        self.0.append(&header, &b""[..]).unwrap();
        self
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
    let mut length = rest.len() + 1;
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    [length.to_string().as_bytes(), &rest].concat()
}

/// Returns a tar as a layer that is here.
pub(crate) fn layer(tar: &[u8]) -> Layer {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(tar).unwrap();
    let (size, diff_id) = (tar.len() as u64, BlobDigest::of(tar));
    Layer { file, offset: 0, size, unchecked: None, diff_id, read: Arc::default() }
}

/// What is at a path of a root: kind with content or target, and permission bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Directory(u32),
    File(u32, Vec<u8>),
    Symlink(Vec<u8>),
    Fifo(u32),
}

/// A root made of layers.
pub(crate) struct Root {
    _directory: tempfile::TempDir,
    pub(crate) path: PathBuf,
    pub(crate) left_out: LeftOut,
}

impl Root {
    pub(crate) fn of(layers: &[Vec<u8>]) -> Result<Self, LayerError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rootfs.ext4");
        let options = FormatOptions {
            size_bytes: 1 << 30,
            label: String::new(),
            uuid: [1; 16],
            hash_seed: [2; 16],
            created_at: 1_500_000_000,
            inodes_min: 0,
            journal: Journal::None,
        };
        let mut writer = Ext4Writer::create(&path, options).unwrap();
        let (allowance, mut left_out) = (Allowance::endless(), LeftOut::default());
        for tar in layers {
            add_layer(&mut writer, layer(tar), &allowance, &mut left_out, &Cancelled::default())?;
        }
        writer.finish_shrunk(0).unwrap();
        assert_clean(&path);
        Ok(Self { _directory: directory, path, left_out })
    }

    pub(crate) fn view(&self) -> Ext4 {
        Ext4::load_from_path(&self.path).unwrap()
    }

    /// Returns everything below the root by path, without `lost+found`.
    pub(crate) fn nodes(&self) -> BTreeMap<String, Node> {
        let view = self.view();
        let mut nodes = BTreeMap::new();
        let mut waiting = vec![String::new()];
        while let Some(directory) = waiting.pop() {
            for entry in view.read_dir(format!("/{directory}").as_str()).unwrap() {
                let name = entry.unwrap().file_name().as_str().unwrap().to_owned();
                if [".", "..", "lost+found"].contains(&name.as_str()) {
                    continue;
                }
                let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
                let place = format!("/{path}");
                let metadata = view.symlink_metadata(place.as_str()).unwrap();
                let mode = u32::from(metadata.mode()) & 0o7777;
                let node = match metadata.file_type() {
                    FileType::Directory => Node::Directory(mode),
                    FileType::Symlink => {
                        Node::Symlink(view.read_link(place.as_str()).unwrap().as_ref().to_vec())
                    }
                    FileType::Regular => Node::File(mode, view.read(place.as_str()).unwrap()),
                    _ => Node::Fifo(mode),
                };
                if matches!(node, Node::Directory(_)) {
                    waiting.push(path.clone());
                }
                nodes.insert(path, node);
            }
        }
        nodes
    }

    /// Returns the paths, and the content of files.
    pub(crate) fn listing(&self) -> Vec<String> {
        let line = |(path, node): (String, Node)| match node {
            Node::Directory(_) => format!("{path}/"),
            Node::File(_, content) => format!("{path}={}", String::from_utf8(content).unwrap()),
            Node::Symlink(target) => format!("{path} -> {}", String::from_utf8(target).unwrap()),
            Node::Fifo(_) => format!("{path}|"),
        };
        self.nodes().into_iter().map(line).collect()
    }

    pub(crate) fn debugfs(&self, request: &str) -> String {
        let output =
            Command::new("/usr/sbin/debugfs").args(["-R", request]).arg(&self.path).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

fn assert_clean(path: &Path) {
    let output = Command::new("/usr/sbin/e2fsck").arg("-fn").arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Returns an archive of `docker save` with one image of one layer and these names.
pub(crate) fn saved(names: &Value) -> Vec<u8> {
    let layer = Tar::new().file("a", &"1".repeat(3000)).bytes();
    let config = json!({
        "os": "linux", "architecture": Platform::of_guests().architecture(), "config": {},
        "rootfs": {"diff_ids": [BlobDigest::of(&layer).to_string()]}
    });
    let list = json!([{"Config": "c.json", "RepoTags": names, "Layers": ["layer.tar"]}]);
    let member = |tar: Tar, path: &str, content: &[u8]| {
        tar.raw(tar::EntryType::Regular, path.as_bytes(), b"", 0o644, content)
    };
    let tar = member(Tar::new(), "layer.tar", &layer);
    let tar = member(tar, "c.json", config.to_string().as_bytes());
    member(tar, "manifest.json", list.to_string().as_bytes()).bytes()
}
