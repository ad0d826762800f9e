//! Puts a release in its place, beside the others, whole or not at all, and leads `current` to it.
//!
//! ```text
//! state/firecracker/.lock        held by whoever sets up
//!                   1.16.1/      firecracker, jailer, receipt.json
//!                   current ──▶  1.16.1
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use banger_sys::failpoint;
use banger_sys::files::{
    FileError, StagedDirectory, create_private_directory, publish, sibling, sweep_staging,
};
use banger_sys::lock::FileLock;
use banger_sys::paths::Paths;
use serde::{Deserialize, Serialize};

use super::archive::{self, ArchiveError, PROGRAMS};
use super::catalog::{Catalog, Release};
use super::fetch::{self, DownloadError, fetch};
use crate::render::say;

/// What another one may take: all of its download, and as long again as anything else of it can last.
const TURN_DEADLINE: Duration = Duration::from_secs(fetch::DEADLINE.as_secs() + 60);

const LOCK: &str = ".lock";
const RECEIPT: &str = "receipt.json";
const RECEIPT_VERSION: u32 = 1;

/// Where the archive comes from.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// Where the catalog says.
    Catalog,
    File(PathBuf),
    Url(String),
}

/// Why a release is not in its place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    #[error("cannot download `{url}`")]
    Download { url: String, source: DownloadError },
    #[error(transparent)]
    Archive(ArchiveError),
    #[error(transparent)]
    File(FileError),
    #[error("cannot use the lock `{}`", path.display())]
    Lock { path: PathBuf, source: io::Error },
    #[error("another `banger setup` did not finish within {} s", TURN_DEADLINE.as_secs())]
    NoTurn,
    #[error("cannot remove the files that an earlier attempt left in `{}`", path.display())]
    Sweep { path: PathBuf, source: io::Error },
    #[error("cannot create a file for the archive in `{}`", directory.display())]
    Temporary { directory: PathBuf, source: io::Error },
    #[error("cannot write the receipt of Firecracker {version}")]
    Receipt { version: String, source: io::Error },
    #[error("cannot point `{}` to the new release", path.display())]
    Switch { path: PathBuf, source: io::Error },
}

/// What was installed: lets a later call tell whether it still is.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Receipt {
    format_version: u32,
    archive_sha256: String,
    /// SHA-256 of each program by its name.
    programs: BTreeMap<String, String>,
}

/// Installs a release and makes it the one that is used; returns its program. Machines that run keep the program they have.
///
/// Whoever comes second waits for the first, and finds the work done. When the future is dropped, nothing is left of it.
pub(super) async fn install(
    paths: &Paths,
    catalog: &Catalog,
    release: &Release,
    origin: &Origin,
) -> Result<PathBuf, InstallError> {
    let directory = paths.firecracker();
    create_private_directory(&directory).map_err(InstallError::File)?;
    let _turn = wait_for_turn(directory.join(LOCK)).await?;
    // Only who has the lock writes here: what is half-written is of somebody who died.
    sweep_staging(&directory).map_err(|source| InstallError::Sweep { path: directory.clone(), source })?;
    let place = directory.join(&release.version);
    let is_here = is_intact(&place, release);
    match origin {
        // A file is looked at in any case: its user wants to know that it is good.
        Origin::Catalog | Origin::Url(_) if is_here => {
            say(&format!("Firecracker {} is already installed", release.version));
        }
        Origin::Catalog | Origin::File(_) | Origin::Url(_) => {
            let archive = temporary(&directory)?;
            bring(origin, release, catalog, archive.path()).await?;
            failpoint::pass("archive checked");
            if !is_here {
                say(&format!("install Firecracker {}", release.version));
                unpack_into(&place, release, archive.path())?;
            }
        }
    }
    switch(&paths.firecracker_current(), &release.version)?;
    Ok(paths.firecracker_current().join("firecracker"))
}

async fn wait_for_turn(path: PathBuf) -> Result<FileLock, InstallError> {
    let failed = |path: &Path, source| InstallError::Lock { path: path.to_owned(), source };
    if let Some(lock) = FileLock::try_acquire(&path).map_err(|source| failed(&path, source))? {
        return Ok(lock);
    }
    say("another `banger setup` is at work: wait for it");
    let blocking_path = path.clone();
    let waiting = tokio::task::spawn_blocking(move || FileLock::acquire(&blocking_path));
    match tokio::time::timeout(TURN_DEADLINE, waiting).await {
        Ok(Ok(Ok(lock))) => Ok(lock),
        Ok(Ok(Err(source))) => Err(failed(&path, source)),
        Ok(Err(broken)) => Err(failed(&path, io::Error::other(broken))),
        Err(_late) => Err(InstallError::NoTurn),
    }
}

/// A file that is removed however this ends; after a death, the next one sweeps it up.
fn temporary(directory: &Path) -> Result<tempfile::NamedTempFile, InstallError> {
    tempfile::Builder::new()
        .prefix(".archive.")
        .suffix(".staging")
        .tempfile_in(directory)
        .map_err(|source| InstallError::Temporary { directory: directory.to_owned(), source })
}

/// Brings the archive, and refuses another one.
async fn bring(origin: &Origin, release: &Release, catalog: &Catalog, to: &Path) -> Result<(), InstallError> {
    let (name, digest) = match origin {
        Origin::File(file) => {
            (file.display().to_string(), archive::copy(file, to).map_err(InstallError::Archive)?)
        }
        Origin::Catalog => (release.url.clone(), fetch_told(&release.url, to).await?),
        Origin::Url(url) => (url.clone(), fetch_told(url, to).await?),
    };
    archive::check(&name, &digest, release, catalog).map_err(InstallError::Archive)
}

async fn fetch_told(url: &str, to: &Path) -> Result<String, InstallError> {
    say(&format!("fetch {url}"));
    fetch(url, to).await.map_err(|source| InstallError::Download { url: url.to_owned(), source })
}

fn unpack_into(place: &Path, release: &Release, archive: &Path) -> Result<(), InstallError> {
    let staged = StagedDirectory::create(place).map_err(InstallError::File)?;
    archive::unpack(archive, release, staged.path()).map_err(InstallError::Archive)?;
    failpoint::pass("programs unpacked");
    write_receipt(staged.path(), release)
        .map_err(|source| InstallError::Receipt { version: release.version.clone(), source })?;
    staged.publish().map_err(InstallError::File)
}

fn write_receipt(directory: &Path, release: &Release) -> io::Result<()> {
    let programs = PROGRAMS.into_iter().map(|program| {
        archive::digest_of(&directory.join(program)).map(|digest| (program.to_owned(), digest))
    });
    let receipt = Receipt {
        format_version: RECEIPT_VERSION,
        archive_sha256: release.sha256.clone(),
        programs: programs.collect::<io::Result<_>>()?,
    };
    fs::write(directory.join(RECEIPT), serde_json::to_vec_pretty(&receipt)?)
}

/// Tells whether a release is in its place as it was installed.
fn is_intact(place: &Path, release: &Release) -> bool {
    let receipt = fs::read(place.join(RECEIPT)).ok();
    let Some(receipt) = receipt.and_then(|text| serde_json::from_slice::<Receipt>(&text).ok()) else {
        return false;
    };
    receipt.format_version == RECEIPT_VERSION
        && receipt.archive_sha256 == release.sha256
        && PROGRAMS.iter().all(|program| {
            let path = place.join(program);
            let is_executable =
                fs::metadata(&path).is_ok_and(|metadata| metadata.permissions().mode() & 0o111 == 0o111);
            is_executable && archive::digest_of(&path).ok().as_ref() == receipt.programs.get(*program)
        })
}

/// Replaces the link in one step: who follows it finds the old release or the new one.
fn switch(link: &Path, version: &str) -> Result<(), InstallError> {
    if fs::read_link(link).is_ok_and(|target| target == Path::new(version)) {
        return Ok(());
    }
    let staged = sibling(link);
    std::os::unix::fs::symlink(version, &staged)
        .map_err(|source| InstallError::Switch { path: link.to_owned(), source })?;
    publish(&staged, link).map_err(InstallError::File)
}

#[cfg(test)]
#[path = "install_tests.rs"]
mod tests;
