//! The local kernels or images: one directory each, read without a lock, because each appears and changes in one step.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::marker::PhantomData;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use banger_model::ArtifactKind;
use banger_sys::files::{is_staging, remove_any};
use rustix::fs::{Mode, OFlags, openat};
use serde::Deserialize;

use crate::artifact::digest::FileRecord;
use crate::artifact::{Artifact, MANIFEST_FILE, Manifest};

/// Why a local kernel or image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory of all of them cannot be read.
    #[error("cannot list the {kind}s in `{}`", path.display())]
    List {
        /// Kernels or images.
        kind: ArtifactKind,
        /// Where they are.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The manifest is there and cannot be read.
    #[error("cannot read the {kind} manifest `{}`", path.display())]
    ReadManifest {
        /// Kernel or image.
        kind: ArtifactKind,
        /// The manifest.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The manifest is not what was written.
    #[error("the {kind} manifest `{}` is damaged", path.display())]
    DamagedManifest {
        /// Kernel or image.
        kind: ArtifactKind,
        /// Whose.
        name: String,
        /// The manifest.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The manifest is of a later banger.
    #[error("the {kind} manifest `{}` has format {version}, but this banger supports {known}", path.display())]
    NewerManifest {
        /// Kernel or image.
        kind: ArtifactKind,
        /// The manifest.
        path: PathBuf,
        /// Its format.
        version: u32,
        /// The latest that this banger knows.
        known: u32,
    },
    /// The directory has another name than its manifest.
    #[error("the {kind} manifest `{}` belongs to `{found}`", path.display())]
    OtherName {
        /// Kernel or image.
        kind: ArtifactKind,
        /// The directory's name.
        name: String,
        /// The manifest.
        path: PathBuf,
        /// The name in it.
        found: String,
    },
    /// A file is missing or cannot be read.
    #[error("cannot read `{}` of the {kind} `{name}`", path.display())]
    ReadFile {
        /// Kernel or image.
        kind: ArtifactKind,
        /// Whose.
        name: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file was cut or has grown.
    #[error("`{}` of the {kind} `{name}` has {found} bytes instead of {expected}", path.display())]
    WrongSize {
        /// Kernel or image.
        kind: ArtifactKind,
        /// Whose.
        name: String,
        /// The file.
        path: PathBuf,
        /// What the manifest says.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// A file of the host is not what was registered.
    #[error("`{}` of the {kind} `{name}` has changed since it was registered", path.display())]
    LinkedFileChanged {
        /// Kernel or image.
        kind: ArtifactKind,
        /// Whose.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// A file of the host is gone.
    #[error("cannot find `{}`, which the {kind} `{name}` was registered with", path.display())]
    LinkedFileMissing {
        /// Kernel or image.
        kind: ArtifactKind,
        /// Whose.
        name: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file has other bytes.
    #[error("`{}` of the {kind} `{name}` is damaged: its sha256 differs", path.display())]
    WrongContent {
        /// Kernel or image.
        kind: ArtifactKind,
        /// Whose.
        name: String,
        /// The file.
        path: PathBuf,
    },
}

/// Everything in a store: a damaged one does not hide the others.
#[derive(Debug)]
pub struct Listing<M> {
    /// Usable, by name.
    pub found: Vec<Artifact<M>>,
    /// What could not be read.
    pub damaged: Vec<StoreError>,
}

/// A directory of kernels or images.
#[derive(Clone, Debug)]
pub struct Store<M> {
    directory: PathBuf,
    manifest: PhantomData<fn() -> M>,
}

impl<M: Manifest> Store<M> {
    /// The store in this directory, which need not be there yet.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, manifest: PhantomData }
    }

    /// Where all of them are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where one of them is or would be.
    #[must_use]
    pub fn place(&self, name: &M::Name) -> PathBuf {
        self.directory.join(name.to_string())
    }

    /// Returns everything that is there.
    ///
    /// # Errors
    /// [`StoreError::List`].
    pub fn list(&self) -> Result<Listing<M>, StoreError> {
        let mut listing = Listing { found: Vec::new(), damaged: Vec::new() };
        let mut names: Vec<M::Name> =
            self.entries()?.iter().filter_map(|entry| entry.to_str()?.parse().ok()).collect();
        names.sort_by_key(ToString::to_string);
        for name in names {
            match self.get(&name) {
                Ok(found) => listing.found.extend(found),
                Err(error) => listing.damaged.push(error),
            }
        }
        Ok(listing)
    }

    /// Returns one of them; nothing when it is not there.
    ///
    /// # Errors
    /// When it is there and its manifest cannot be used.
    pub fn get(&self, name: &M::Name) -> Result<Option<Artifact<M>>, StoreError> {
        let directory = self.place(name);
        let path = directory.join(MANIFEST_FILE);
        let text = match read_in(&directory, MANIFEST_FILE) {
            Ok(Some(text)) => text,
            Ok(None) => return Ok(None),
            Err(source) => return Err(StoreError::ReadManifest { kind: M::KIND, path, source }),
        };
        let damaged = |path, source| StoreError::DamagedManifest {
            kind: M::KIND,
            name: name.to_string(),
            path,
            source,
        };
        let version = match serde_json::from_slice::<Version>(&text) {
            Ok(version) => version.format_version,
            Err(source) => return Err(damaged(path, source)),
        };
        let known = M::FORMAT_VERSION;
        if version > known {
            return Err(StoreError::NewerManifest { kind: M::KIND, path, version, known });
        }
        let manifest = match serde_json::from_slice::<M>(&text) {
            Ok(manifest) => manifest,
            Err(source) => return Err(damaged(path, source)),
        };
        if manifest.name() != name {
            let found = manifest.name().to_string();
            return Err(StoreError::OtherName { kind: M::KIND, name: name.to_string(), path, found });
        }
        Ok(Some(Artifact { directory, manifest }))
    }

    /// Checks that every file is there in its recorded size, and those of the host unchanged: cheap enough for every boot.
    ///
    /// # Errors
    /// [`StoreError::ReadFile`], [`StoreError::WrongSize`], [`StoreError::LinkedFileChanged`],
    /// [`StoreError::LinkedFileMissing`].
    pub fn verify(&self, artifact: &Artifact<M>) -> Result<(), StoreError> {
        match verify_files(artifact) {
            Ok(()) => Ok(()),
            // It may have been replaced since the caller looked: what is there now decides.
            Err(error) => match self.get(artifact.manifest.name())? {
                Some(current) => verify_files(&current),
                None => Err(error),
            },
        }
    }

    /// Reads every file and compares its sha256. Blocks for as long as reading takes.
    ///
    /// # Errors
    /// As [`Store::verify`], and [`StoreError::WrongContent`].
    pub fn verify_content(&self, artifact: &Artifact<M>) -> Result<(), StoreError> {
        self.verify(artifact)?;
        for (file, expected) in artifact.manifest.files() {
            let path = artifact.file(file);
            let name = artifact.manifest.name().to_string();
            match FileRecord::of_file(&path) {
                Ok(found) if found == *expected => {}
                Ok(_) => return Err(StoreError::WrongContent { kind: M::KIND, name, path }),
                Err(source) => return Err(StoreError::ReadFile { kind: M::KIND, name, path, source }),
            }
        }
        Ok(())
    }

    /// Removes what pulls left behind when their process died. Only while no pull runs: at the daemon's start.
    ///
    /// # Errors
    /// [`StoreError::List`].
    pub fn sweep(&self) -> Result<(), StoreError> {
        for entry in self.entries()? {
            if entry.to_str().is_some_and(is_staging) {
                let path = self.directory.join(&*entry);
                if let Err(error) = remove_any(&path) {
                    tracing::warn!(path = %path.display(), %error, "a left-over directory stays");
                }
            }
        }
        Ok(())
    }

    fn entries(&self) -> Result<Vec<Box<OsStr>>, StoreError> {
        let failed = |source| StoreError::List { kind: M::KIND, path: self.directory.clone(), source };
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(failed(source)),
        };
        entries
            .map(|entry| entry.map(|entry| entry.file_name().into_boxed_os_str()).map_err(failed))
            .collect()
    }
}

/// Reads a file of a directory that may be replaced at any moment. The one that was just replaced loses its files while
/// it is looked at: what is not in it is not there only if it is still the one in its place.
fn read_in(directory: &Path, file: &str) -> io::Result<Option<Vec<u8>>> {
    let there = |result: io::Result<File>| match result {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    loop {
        let Some(opened) = there(File::open(directory))? else { return Ok(None) };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let found = openat(&opened, file, flags, Mode::empty()).map(File::from).map_err(io::Error::from);
        if let Some(mut found) = there(found)? {
            let mut text = Vec::new();
            return found.read_to_end(&mut text).map(|_| Some(text));
        }
        let looked_at = opened.metadata()?;
        match fs::metadata(directory) {
            Ok(now) if (now.dev(), now.ino()) != (looked_at.dev(), looked_at.ino()) => {}
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

#[derive(Deserialize)]
struct Version {
    format_version: u32,
}

fn verify_files<M: Manifest>(artifact: &Artifact<M>) -> Result<(), StoreError> {
    for file in artifact.manifest.linked_files() {
        let (kind, path, name) = (M::KIND, file.path.clone(), artifact.manifest.name().to_string());
        match file.is_unchanged() {
            Ok(true) => {}
            Ok(false) => return Err(StoreError::LinkedFileChanged { kind, name, path }),
            Err(source) => return Err(StoreError::LinkedFileMissing { kind, name, path, source }),
        }
    }
    for (file, record) in artifact.manifest.files() {
        let path = artifact.file(file);
        let name = artifact.manifest.name().to_string();
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() == record.size => {}
            Ok(metadata) => {
                let (expected, found) = (record.size, metadata.len());
                return Err(StoreError::WrongSize { kind: M::KIND, name, path, expected, found });
            }
            Err(source) => return Err(StoreError::ReadFile { kind: M::KIND, name, path, source }),
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
