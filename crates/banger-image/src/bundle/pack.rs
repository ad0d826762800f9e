//! Makes a bundle of a local image.

use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_sys::blocking::{Cancelled, run_blocking};
use banger_sys::exec::Tool;
use banger_sys::failpoint;
use banger_sys::files::{publish, remove_any, sibling};

use super::error::PackError;
use super::manifest::BundleManifest;
use crate::artifact::digest::FileRecord;
use crate::artifact::{MANIFEST_FILE, Manifest as _};
use crate::image::{Image, ROOTFS};
use crate::progress::{CountingReader, Progress};

/// A compression that takes seconds and gives nearly what the strongest gives in minutes.
const LEVEL: &str = "-12";
const COMPRESS_DEADLINE: Duration = Duration::from_secs(60 * 60);
const STAGE: &str = "write archive";
const RECORD_BYTES: u64 = 512;

/// A bundle that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedBundle {
    /// Where it is.
    pub path: PathBuf,
    /// Its size and sha256.
    pub record: FileRecord,
}

/// Writes a bundle of the image to a path that nobody has. It appears whole; dropping the future gives up.
///
/// # Errors
/// [`PackError`].
pub async fn pack_bundle(
    image: Image,
    output: PathBuf,
    progress: &Progress,
) -> Result<PackedBundle, PackError> {
    if output.symlink_metadata().is_ok() {
        return Err(PackError::Exists { path: output });
    }
    if let Some(directory) = output.parent().filter(|directory| !directory.is_dir()) {
        return Err(PackError::NoDirectory { path: directory.to_owned() });
    }
    if image.has_own_home() {
        return Err(PackError::OwnHome);
    }
    progress.stage(STAGE, "");
    let archive = Temporary(sibling(&output));
    let (told, path) = (progress.clone(), archive.0.clone());
    run_blocking(move |cancelled| write_archive(&image, &path, &told, cancelled)).await?;
    failpoint::pass("compress bundle");
    progress.stage("compress", output.display().to_string());
    let packed = Temporary(sibling(&output));
    let tool = Tool::new("zstd").args(["--quiet", LEVEL, "--threads=0", "-o"]).arg(&packed.0).arg(&archive.0);
    tool.deadline(COMPRESS_DEADLINE).run().await.map_err(PackError::Compress)?;
    drop(archive);
    run_blocking(move |_| {
        let record = seal(&packed.0)?;
        publish(&packed.0, &output).map_err(PackError::Publish)?;
        Ok(PackedBundle { path: output, record })
    })
    .await
}

/// A file that goes with its owner; under another name it stays.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = remove_any(&self.0);
    }
}

fn write_archive(
    image: &Image,
    path: &Path,
    progress: &Progress,
    cancelled: &Cancelled,
) -> Result<(), PackError> {
    let rootfs = image.rootfs();
    let read = |source| PackError::Read { path: rootfs.clone(), source };
    let write = |source| PackError::Write { path: path.to_owned(), source };
    let mut root = File::open(&rootfs).map_err(read)?;
    let record = FileRecord::of_content(cancelled.reader(&root)).map_err(read)?;
    if image.manifest.files().iter().any(|(name, known)| *name == ROOTFS && **known != record) {
        return Err(PackError::OtherRootfs);
    }
    root.seek(SeekFrom::Start(0)).map_err(read)?;
    let manifest = BundleManifest::of(&image.manifest, record.clone());
    let mut text = serde_json::to_vec_pretty(&manifest).map_err(PackError::Manifest)?;
    text.push(b'\n');
    // The manifest first: who reads it knows how much comes.
    let mut archive = File::create_new(path).map_err(write)?;
    append(&mut archive, MANIFEST_FILE, text.len() as u64, &mut &*text).map_err(write)?;
    let content = CountingReader::new(cancelled.reader(root), STAGE, Some(record.size), progress);
    append(&mut archive, ROOTFS, record.size, &mut content.take(record.size)).map_err(write)?;
    // Two empty records end an archive.
    io::copy(&mut io::repeat(0).take(2 * RECORD_BYTES), &mut archive).map(drop).map_err(write)
}

/// Appends an entry. Equal images give equal bundles: no times, no owners.
fn append(archive: &mut File, name: &str, size: u64, content: &mut dyn Read) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name)?;
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    archive.write_all(header.as_bytes())?;
    if io::copy(content, archive)? != size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let padding = size.next_multiple_of(RECORD_BYTES) - size;
    io::copy(&mut io::repeat(0).take(padding), archive).map(drop)
}

/// Brings a finished file to stable storage, readable for everybody, and returns its record.
fn seal(path: &Path) -> Result<FileRecord, PackError> {
    use std::os::unix::fs::PermissionsExt as _;
    let sealed = || {
        fs::set_permissions(path, fs::Permissions::from_mode(0o644))?;
        let file = File::open(path)?;
        file.sync_all()?;
        FileRecord::of_content(file)
    };
    sealed().map_err(|source| PackError::Write { path: path.to_owned(), source })
}
