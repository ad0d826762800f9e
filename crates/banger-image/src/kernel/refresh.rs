//! Puts another agent into a kernel's initramfs: after an update of banger, before the next VM boots.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use banger_sys::files::{FileError, StagedDirectory};

use crate::artifact::digest::{FileRecord, sha256_hex};
use crate::artifact::{MANIFEST_FILE, manifest_bytes};
use crate::kernel::initramfs::initramfs;
use crate::kernel::manifest::{INITRAMFS, Kernel, MODULES_PART};

/// Why the initramfs keeps its agent.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum RefreshError {
    #[error("cannot read the agent `{}`", path.display())]
    ReadAgent { path: PathBuf, source: io::Error },
    #[error("cannot copy `{}`", path.display())]
    Copy { path: PathBuf, source: io::Error },
    #[error("cannot write the manifest of the kernel")]
    Manifest(#[source] serde_json::Error),
    #[error("cannot publish the kernel")]
    Publish(#[source] FileError),
}

/// The agent's program file. Its digest is remembered for as long as the file is the same one.
#[derive(Debug)]
pub(crate) struct AgentProgram {
    path: PathBuf,
    known: Mutex<Option<(FileStamp, String)>>,
}

/// What changes when a file is replaced or written: inode, size, time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileStamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl AgentProgram {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, known: Mutex::default() }
    }

    /// Returns the program and its sha256.
    pub(crate) fn read(&self) -> Result<(Vec<u8>, String), RefreshError> {
        let stamp = self.stamp()?;
        let content = fs::read(&self.path)
            .map_err(|source| RefreshError::ReadAgent { path: self.path.clone(), source })?;
        let sha256 = sha256_hex(&content);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((stamp, sha256.clone()));
        Ok((content, sha256))
    }

    fn sha256(&self) -> Result<String, RefreshError> {
        let stamp = self.stamp()?;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some((of, sha256)) if of == stamp => Ok(sha256),
            _ => Ok(self.read()?.1),
        }
    }

    fn stamp(&self) -> Result<FileStamp, RefreshError> {
        let found = fs::metadata(&self.path)
            .map_err(|source| RefreshError::ReadAgent { path: self.path.clone(), source })?;
        let modified = (found.mtime(), found.mtime_nsec());
        Ok(FileStamp { inode: found.ino(), size: found.len(), modified })
    }
}

/// Tells whether the kernel carries another agent than this one.
pub(crate) fn is_stale(kernel: &Kernel, agent: &AgentProgram) -> Result<bool, RefreshError> {
    Ok(agent.sha256()? != kernel.manifest.agent_sha256)
}

/// Returns the kernel with this agent in its initramfs. The other files are linked, not copied; a reader finds the
/// old kernel or the new one.
pub(crate) fn refresh_initramfs(kernel: Kernel, agent: &AgentProgram) -> Result<Kernel, RefreshError> {
    if !is_stale(&kernel, agent)? {
        return Ok(kernel);
    }
    let (program, sha256) = agent.read()?;
    let Kernel { directory, mut manifest } = kernel;
    let staged = StagedDirectory::create(&directory).map_err(RefreshError::Publish)?;
    for name in manifest.files.keys().filter(|name| *name != INITRAMFS) {
        let path = directory.join(name);
        fs::hard_link(&path, staged.path().join(name))
            .map_err(|source| RefreshError::Copy { path, source })?;
    }
    let copy = |name: &'static str| {
        let path = directory.join(name);
        move |source| RefreshError::Copy { path, source }
    };
    let part = fs::read(directory.join(MODULES_PART)).map_err(copy(MODULES_PART))?;
    let archive = initramfs(&program, &part);
    fs::write(staged.path().join(INITRAMFS), &archive).map_err(copy(INITRAMFS))?;
    manifest.files.insert(INITRAMFS.to_owned(), FileRecord::of_bytes(&archive));
    manifest.agent_sha256 = sha256;
    let text = manifest_bytes(&manifest).map_err(RefreshError::Manifest)?;
    fs::write(staged.path().join(MANIFEST_FILE), text).map_err(copy(MANIFEST_FILE))?;
    staged.publish().map_err(RefreshError::Publish)?;
    Ok(Kernel { directory, manifest })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::artifact::store::Store;
    use crate::kernel::KernelManifest;

    fn kernel(home: &Path) -> Kernel {
        let directory = home.join("debian-12");
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("vmlinuz"), "kernel").unwrap();
        fs::write(directory.join(MODULES_PART), "modules").unwrap();
        fs::write(directory.join(INITRAMFS), "old").unwrap();
        let record = |text: &str| FileRecord::of_bytes(text.as_bytes());
        let manifest = KernelManifest {
            format_version: 1,
            name: "debian-12".parse().unwrap(),
            distro: String::new(),
            arch: String::new(),
            version: String::new(),
            has_pvh_entry: true,
            files: BTreeMap::from([
                ("vmlinuz".to_owned(), record("kernel")),
                (MODULES_PART.to_owned(), record("modules")),
                (INITRAMFS.to_owned(), record("old")),
            ]),
            source: String::new(),
            created_at: String::new(),
            agent_sha256: sha256_hex(b"old agent"),
        };
        fs::write(directory.join(MANIFEST_FILE), manifest_bytes(&manifest).unwrap()).unwrap();
        Kernel { directory, manifest }
    }

    #[test]
    fn another_agent_gives_another_initramfs_and_the_same_one_gives_none() {
        let home = tempfile::tempdir().unwrap();
        let kernel = kernel(home.path());
        let store = Store::<KernelManifest>::new(home.path().to_owned());
        let path = home.path().join("banger-agent");
        let agent = AgentProgram::new(path.clone());
        fs::write(&path, "old agent").unwrap();
        let same = refresh_initramfs(kernel.clone(), &agent).unwrap();
        assert_eq!(same.manifest, kernel.manifest);

        fs::write(&path, "the newer agent").unwrap();
        let newer = refresh_initramfs(kernel, &agent).unwrap();
        assert_eq!(newer.manifest.agent_sha256, sha256_hex(b"the newer agent"));
        store.verify_content(&newer).unwrap();
        let read = store.get(&"debian-12".parse().unwrap()).unwrap().unwrap();
        assert_eq!(read.manifest, newer.manifest);
        let archive = fs::read(read.initramfs()).unwrap();
        assert!(archive.windows(15).any(|window| window == b"the newer agent"));
    }

    #[test]
    fn a_missing_agent_is_named() {
        let agent = AgentProgram::new("/no/such/agent".into());
        assert_eq!(agent.read().unwrap_err().to_string(), "cannot read the agent `/no/such/agent`");
    }
}
