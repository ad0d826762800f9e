//! Builders of file systems, and the tools that check them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use banger_ext4::{EntryKind, Ext4Writer, FormatOptions, Journal, Metadata};
use ext4_view::Ext4;
use tempfile::TempDir;

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;
pub(crate) const CREATED_AT: i64 = 1_700_000_000;

pub(crate) fn options(size_bytes: u64) -> FormatOptions {
    FormatOptions {
        size_bytes,
        label: "disk".to_owned(),
        uuid: *b"0123456789abcdef",
        hash_seed: *b"fedcba9876543210",
        created_at: CREATED_AT,
        inodes_min: 0,
        journal: Journal::None,
    }
}

pub(crate) fn metadata(mode: u32) -> Metadata {
    Metadata { mode, mtime: CREATED_AT, ..Metadata::default() }
}

/// A disk in a directory of its own.
pub(crate) struct Disk {
    _dir: TempDir,
    pub(crate) path: PathBuf,
}

impl Disk {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let path = dir.path().join("disk.ext4");
        Self { _dir: dir, path }
    }

    pub(crate) fn made(options: FormatOptions, fill: impl FnOnce(&mut Ext4Writer)) -> Self {
        let disk = Self::new();
        let mut writer = Ext4Writer::create(&disk.path, options).expect("the disk is created");
        fill(&mut writer);
        writer.finish().expect("the disk is finished");
        disk
    }

    pub(crate) fn view(&self) -> Ext4 {
        Ext4::load_from_path(&self.path).expect("the reader opens the disk")
    }

    /// Fails if `e2fsck` reports anything at all.
    pub(crate) fn assert_clean(&self) {
        assert_clean(&self.path);
    }

    pub(crate) fn debugfs(&self, request: &str) -> String {
        let output = tool("debugfs", &["-R", request], &self.path);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(crate) fn allocated_bytes(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(&self.path).expect("the disk has metadata").blocks() * 512
    }
}

pub(crate) fn assert_clean(path: &Path) {
    let output = tool("e2fsck", &["-fn"], path);
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    // Five passes, the version and one line of totals; any other line is a complaint.
    let complaints: Vec<&str> = text
        .lines()
        .filter(|line| {
            !line.starts_with("Pass ") && !line.starts_with("e2fsck 1.") && !line.contains(" files (")
        })
        .filter(|line| !line.is_empty())
        .collect();
    assert!(output.status.success() && complaints.is_empty(), "e2fsck of {} says:\n{text}", path.display());
}

pub(crate) fn tool(name: &str, arguments: &[&str], disk: &Path) -> Output {
    let sbin = Path::new("/usr/sbin").join(name);
    let program = if sbin.exists() { sbin } else { PathBuf::from(name) };
    Command::new(program)
        .args(arguments)
        .arg(disk)
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|error| panic!("`{name}` of e2fsprogs is needed for this test: {error}"))
}

/// Shortcuts to add entries.
pub(crate) trait Fill {
    fn file(&mut self, path: impl AsRef<[u8]>, content: impl AsRef<[u8]>);
    fn entry(&mut self, path: impl AsRef<[u8]>, metadata: &Metadata, kind: EntryKind<'_>);
}

impl Fill for Ext4Writer {
    fn file(&mut self, path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) {
        let content = content.as_ref();
        let kind = EntryKind::File { size: content.len() as u64, content: &mut &*content };
        self.entry(path, &metadata(0o644), kind);
    }

    fn entry(&mut self, path: impl AsRef<[u8]>, metadata: &Metadata, kind: EntryKind<'_>) {
        self.add(path.as_ref(), metadata, kind).expect("the entry is added");
    }
}
