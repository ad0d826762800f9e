//! Writes cpio archives of the kind that the kernel unpacks as its first root ("newc").
//! Source: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.
//!
//! The same entries give the same bytes: no times, no owners, inode numbers by position.

const TRAILER: &str = "TRAILER!!!";
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// An archive in the making.
#[derive(Debug)]
pub(crate) struct CpioWriter {
    bytes: Vec<u8>,
    inode: u32,
}

impl CpioWriter {
    /// An empty archive whose entries are numbered from here.
    pub(crate) fn new(first_inode: u32) -> Self {
        Self { bytes: Vec::new(), inode: first_inode }
    }

    pub(crate) fn directory(&mut self, path: &str, mode: u32) {
        self.entry(path, DIRECTORY | mode, (0, 0), &[]);
    }

    pub(crate) fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entry(path, REGULAR | mode, (0, 0), content);
    }

    pub(crate) fn character_device(&mut self, path: &str, mode: u32, device: (u32, u32)) {
        self.entry(path, CHARACTER_DEVICE | mode, device, &[]);
    }

    /// The bytes so far, to be followed by another archive.
    pub(crate) fn into_part(self) -> Vec<u8> {
        self.bytes
    }

    /// The whole archive, with its trailer.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.inode = 0;
        self.entry(TRAILER, 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        let links: u32 = if mode & DIRECTORY == DIRECTORY && mode & REGULAR != REGULAR { 2 } else { 1 };
        let name_bytes = path.len() + 1;
        let header = format!(
            "070701{ino:08x}{mode:08x}{uid:08x}{gid:08x}{links:08x}{mtime:08x}{size:08x}\
             {dev_major:08x}{dev_minor:08x}{rdev_major:08x}{rdev_minor:08x}{name_bytes:08x}{check:08x}",
            ino = self.inode,
            uid = 0,
            gid = 0,
            mtime = 0,
            size = content.len(),
            dev_major = 0,
            dev_minor = 0,
            rdev_major = device.0,
            rdev_minor = device.1,
            check = 0,
        );
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
        self.inode += 1;
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// Returns what `cpio` finds in an archive: permissions, number of a device, path.
#[cfg(test)]
pub(crate) fn list(archive: &[u8]) -> Vec<String> {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    let mut cpio = Command::new("cpio")
        .args(["--list", "--verbose", "--numeric-uid-gid", "--quiet"])
        .env("TZ", "UTC")
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    cpio.stdin.take().unwrap().write_all(archive).unwrap();
    let output = cpio.wait_with_output().unwrap();
    assert!(output.status.success());
    let listing = String::from_utf8(output.stdout).unwrap();
    listing
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .map(|words| match words.as_slice() {
            // A device has two numbers where a file has its size.
            [mode, _, _, _, major, minor, .., path] if mode.starts_with('c') => {
                format!("{mode} {major}{minor} {path}")
            }
            [mode, .., path] => format!("{mode} {path}"),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut modules = CpioWriter::new(1000);
        modules.directory("modules", 0o755);
        modules.file("modules/load.list", 0o644, b"a.ko\n");
        let mut archive = CpioWriter::new(1);
        archive.directory("dev", 0o755);
        archive.character_device("dev/console", 0o600, (5, 1));
        archive.file("init", 0o755, b"#!");
        let mut bytes = archive.into_part();
        bytes.extend(modules.finish());
        bytes
    }

    #[test]
    fn the_bytes_depend_on_the_entries_only() {
        let bytes = sample();
        assert_eq!(bytes, sample());
        assert_eq!(bytes.len() % 4, 0);
        let first = "07070100000001000041ed000000000000000000000002000000000000000000000000000000000000\
                     0000000000000000000400000000dev\0";
        assert!(bytes.starts_with(first.as_bytes()));
    }

    #[test]
    fn two_parts_are_one_archive_for_cpio() {
        assert_eq!(
            list(&sample()),
            [
                "drwxr-xr-x dev",
                "crw------- 5,1 dev/console",
                "-rwxr-xr-x init",
                "drwxr-xr-x modules",
                "-rw-r--r-- modules/load.list",
            ]
        );
    }
}
