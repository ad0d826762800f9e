//! Takes Debian packages apart without installing them. Source: `deb(5)`.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use crate::blocking::Cancelled;

/// Why a package cannot be taken apart.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum DebError {
    #[error("cannot read the package `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the package `{}` has no data", path.display())]
    NoData { path: PathBuf },
    #[error("the package `{}` is compressed in a way that is not known: `{member}`", path.display())]
    UnknownCompression { path: PathBuf, member: String },
    #[error("the package's entry `{entry}` leaves the package")]
    Hostile { entry: String },
    #[error("cannot write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// What is known of a package that was taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unpacked {
    /// When the package was built, in Unix seconds.
    pub(crate) built_at: i64,
}

/// Writes the package's files to `target`. `place` says where, relative to it; nothing for what is not wanted.
/// Directories are made as they are needed; links, devices and owners are left out.
pub(crate) fn unpack_deb(
    package: &Path,
    target: &Path,
    place: impl Fn(&Path) -> Option<PathBuf>,
    cancelled: &Cancelled,
) -> Result<Unpacked, DebError> {
    let read = |source| DebError::Read { path: package.to_owned(), source };
    let file = fs::File::open(package).map_err(read)?;
    let mut members = ar::Archive::new(io::BufReader::new(file));
    while let Some(member) = members.next_entry() {
        let member = member.map_err(read)?;
        let name = String::from_utf8_lossy(member.header().identifier()).trim_end_matches('/').to_owned();
        let built_at = i64::try_from(member.header().mtime()).unwrap_or(0);
        let Some(suffix) = name.strip_prefix("data.tar") else { continue };
        let member = cancelled.reader(member);
        match suffix {
            "" => unpack_tar(member, target, place),
            ".xz" => unpack_tar(liblzma::read::XzDecoder::new(member), target, place),
            ".gz" => unpack_tar(flate2::read::GzDecoder::new(member), target, place),
            ".zst" => {
                let decoder = ruzstd::decoding::StreamingDecoder::new(member)
                    .map_err(|why| read(io::Error::other(why)))?;
                unpack_tar(decoder, target, place)
            }
            _ => return Err(DebError::UnknownCompression { path: package.to_owned(), member: name }),
        }
        .map_err(|error| match error {
            TarError::Read(source) => read(source),
            TarError::Deb(error) => error,
        })?;
        return Ok(Unpacked { built_at });
    }
    Err(DebError::NoData { path: package.to_owned() })
}

enum TarError {
    Read(io::Error),
    Deb(DebError),
}

fn unpack_tar(
    data: impl Read,
    target: &Path,
    place: impl Fn(&Path) -> Option<PathBuf>,
) -> Result<(), TarError> {
    let mut archive = tar::Archive::new(data);
    for entry in archive.entries().map_err(TarError::Read)? {
        let mut entry = entry.map_err(TarError::Read)?;
        let path = contained(&entry.path_bytes()).map_err(TarError::Deb)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let Some(path) = place(&path).map(|path| target.join(path)) else { continue };
        let executable = entry.header().mode().map_err(TarError::Read)? & 0o111;
        write_file(&mut entry, &path, 0o644 | executable)
            .map_err(|source| TarError::Deb(DebError::Write { path, source }))?;
    }
    Ok(())
}

/// Returns an entry's path relative to the package's root.
fn contained(entry: &[u8]) -> Result<PathBuf, DebError> {
    let mut path = PathBuf::new();
    for component in Path::new(std::ffi::OsStr::from_bytes(entry)).components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => path.push(name),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(DebError::Hostile { entry: String::from_utf8_lossy(entry).into_owned() });
            }
        }
    }
    Ok(path)
}

fn write_file(content: &mut impl Read, path: &Path, mode: u32) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    io::copy(content, &mut file).map(drop)
}

#[cfg(test)]
#[path = "deb_tests.rs"]
mod tests;
