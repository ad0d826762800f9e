//! Takes Debian packages apart without installing them. Source: `deb(5)`.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::bounded::Bounded;
use crate::formats::archive_path::contained;
use crate::formats::compression::Compression;
use crate::kernel::module_tree::Place;
use banger_sys::blocking::Cancelled;
use banger_sys::files::open_regular;

/// Longest text that a package says about itself.
const CONTROL_BYTES_MAX: u64 = 1 << 20;
/// No package unpacks to more, with what is compressed once more within it.
const PACKAGE_BYTES_MAX: u64 = 4 << 30;
/// No kernel has more modules.
const FILES_MAX: usize = 100_000;

/// Why a package cannot be taken apart.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum DebError {
    #[error("cannot read the package `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the package `{}` has no `{member}`", path.display())]
    NoMember { path: PathBuf, member: &'static str },
    #[error("the package `{}` has no field `{name}`", path.display())]
    NoField { path: PathBuf, name: &'static str },
    #[error("the package `{}` has an unknown compression: `{member}`", path.display())]
    UnknownCompression { path: PathBuf, member: String },
    #[error("the package `{}` unpacks to more than {} GiB", path.display(), PACKAGE_BYTES_MAX >> 30)]
    TooLarge { path: PathBuf },
    #[error("the package `{}` has more than {FILES_MAX} files", path.display())]
    TooManyFiles { path: PathBuf },
    #[error("the package's entry `{entry}` leads out of the package")]
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
    place: impl Fn(&Path) -> Option<Place>,
    cancelled: &Cancelled,
) -> Result<Unpacked, DebError> {
    unpack_within(PACKAGE_BYTES_MAX, package, target, place, cancelled)
}

fn unpack_within(
    bytes_max: u64,
    package: &Path,
    target: &Path,
    place: impl Fn(&Path) -> Option<Place>,
    cancelled: &Cancelled,
) -> Result<Unpacked, DebError> {
    let unpack =
        |data: Box<dyn Read + '_>| unpack_tar(Bounded::new(data, bytes_max), bytes_max, target, place);
    let (built_at, ()) = read_member(package, "data.tar", cancelled, unpack)?;
    Ok(Unpacked { built_at })
}

/// What a package says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Control {
    pub(crate) package: String,
    pub(crate) version: String,
    pub(crate) architecture: String,
}

/// Reads what a package says about itself.
pub(crate) fn read_control(package: &Path) -> Result<Control, DebError> {
    let (_, text) = read_member(package, "control.tar", &Cancelled::default(), |data| {
        let mut archive = tar::Archive::new(Bounded::new(data, PACKAGE_BYTES_MAX));
        for entry in archive.entries().map_err(TarError::Read)? {
            let entry = entry.map_err(TarError::Read)?;
            if entry_path(&entry.path_bytes())? == Path::new("control") {
                let mut text = String::new();
                entry.take(CONTROL_BYTES_MAX).read_to_string(&mut text).map_err(TarError::Read)?;
                return Ok(text);
            }
        }
        Ok(String::new())
    })?;
    let field = |name: &'static str| {
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        let value =
            lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
        let value = value.filter(|value| !value.is_empty()).map(str::to_owned).next();
        value.ok_or_else(|| DebError::NoField { path: package.to_owned(), name })
    };
    Ok(Control {
        package: field("Package")?,
        version: field("Version")?,
        architecture: field("Architecture")?,
    })
}

/// Reads the member of a package whose name begins so, uncompressed; returns when it was made, too.
fn read_member<T>(
    package: &Path,
    begin: &'static str,
    cancelled: &Cancelled,
    consume: impl FnOnce(Box<dyn Read + '_>) -> Result<T, TarError>,
) -> Result<(i64, T), DebError> {
    let read = |source| DebError::Read { path: package.to_owned(), source };
    let file = open_regular(package).map_err(read)?;
    let mut members = ar::Archive::new(io::BufReader::new(file));
    while let Some(member) = members.next_entry() {
        let member = member.map_err(read)?;
        let name = String::from_utf8_lossy(member.header().identifier()).trim_end_matches('/').to_owned();
        let built_at = i64::try_from(member.header().mtime()).unwrap_or(0);
        let Some(suffix) = name.strip_prefix(begin) else { continue };
        let compression = match suffix {
            "" => Compression::None,
            ".bz2" => Compression::Bzip2,
            ".gz" => Compression::Gzip,
            ".xz" => Compression::Xz,
            ".zst" => Compression::Zstd,
            _ => return Err(DebError::UnknownCompression { path: package.to_owned(), member: name }),
        };
        let consumed = consume(compression.reader(cancelled.reader(member)));
        return consumed.map(|value| (built_at, value)).map_err(|error| match error {
            TarError::Read(source) if source.kind() == io::ErrorKind::FileTooLarge => {
                DebError::TooLarge { path: package.to_owned() }
            }
            TarError::Read(source) => read(source),
            TarError::TooManyFiles => DebError::TooManyFiles { path: package.to_owned() },
            TarError::Deb(error) => error,
        });
    }
    Err(DebError::NoMember { path: package.to_owned(), member: begin })
}

enum TarError {
    Read(io::Error),
    TooManyFiles,
    Deb(DebError),
}

fn unpack_tar(
    data: impl Read,
    bytes_max: u64,
    target: &Path,
    place: impl Fn(&Path) -> Option<Place>,
) -> Result<(), TarError> {
    let mut archive = tar::Archive::new(data);
    let (mut files, mut left) = (0, bytes_max);
    for entry in archive.entries().map_err(TarError::Read)? {
        let mut entry = entry.map_err(TarError::Read)?;
        let path = entry_path(&entry.path_bytes())?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let Some(Place { path, compression }) = place(&path) else { continue };
        files += 1;
        if files > FILES_MAX {
            return Err(TarError::TooManyFiles);
        }
        let path = target.join(path);
        let executable = entry.header().mode().map_err(TarError::Read)? & 0o111;
        let mut content = Bounded::new(compression.reader(&mut entry), left);
        let written =
            write_file(&mut content, &path, 0o644 | executable).map_err(|source| match source.kind() {
                io::ErrorKind::FileTooLarge => TarError::Read(source),
                _ => TarError::Deb(DebError::Write { path, source }),
            })?;
        left = left.saturating_sub(written);
    }
    Ok(())
}

fn entry_path(entry: &[u8]) -> Result<PathBuf, TarError> {
    let hostile = || DebError::Hostile { entry: String::from_utf8_lossy(entry).into_owned() };
    contained(entry).ok_or_else(|| TarError::Deb(hostile()))
}

fn write_file(content: &mut impl Read, path: &Path, mode: u32) -> io::Result<u64> {
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    io::copy(content, &mut file)
}

#[cfg(test)]
#[path = "deb_tests.rs"]
mod tests;
