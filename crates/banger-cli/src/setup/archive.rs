//! The archive of a release: which one it is, and the programs in it.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use banger_sys::id::hex;
use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};

use super::catalog::{Catalog, Release};

/// Larger than any release so far, by far.
pub(super) const ARCHIVE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Larger than either program so far, by far.
const PROGRAM_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What is taken out of an archive.
pub(super) const PROGRAMS: [&str; 2] = ["firecracker", "jailer"];

/// Why an archive is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}` is larger than {} MiB, so it cannot be a release", path.display(), ARCHIVE_BYTES_MAX >> 20)]
    TooLarge { path: PathBuf },
    #[error("cannot copy the archive to `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("`{origin}` is Firecracker {} for {}, not {} for {}",
        .found.version, .found.architecture, .wanted.version, .wanted.architecture)]
    OtherRelease { origin: String, found: Release, wanted: Release },
    #[error("`{origin}` is not Firecracker {}, or it is incomplete: its SHA-256 is {found}, not {}",
        .wanted.version, .wanted.sha256)]
    WrongDigest { origin: String, found: String, wanted: Release },
    #[error("the archive has no `{name}`")]
    NoProgram { name: String },
    #[error("cannot unpack the archive")]
    Unpack(#[source] io::Error),
}

/// Copies a file that may be an archive, and returns the copy's SHA-256: what is checked is what is installed, whatever
/// becomes of the file meanwhile.
pub(super) fn copy(from: &Path, to: &Path) -> Result<String, ArchiveError> {
    let read = |source| ArchiveError::Read { path: from.to_owned(), source };
    let write = |source| ArchiveError::Write { path: to.to_owned(), source };
    let mut reader = File::open(from).map_err(read)?.take(ARCHIVE_BYTES_MAX + 1);
    let mut copy = File::options().write(true).truncate(true).open(to).map_err(write)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut bytes = 0;
    loop {
        let count = reader.read(&mut buffer).map_err(read)?;
        if count == 0 {
            return Ok(hex(&digest.finalize()));
        }
        bytes += count as u64;
        if bytes > ARCHIVE_BYTES_MAX {
            return Err(ArchiveError::TooLarge { path: from.to_owned() });
        }
        let part = buffer.get(..count).unwrap_or_default();
        digest.update(part);
        copy.write_all(part).map_err(write)?;
    }
}

/// Refuses an archive that is another one than the wanted one.
pub(super) fn check(
    origin: &str,
    sha256: &str,
    wanted: &Release,
    catalog: &Catalog,
) -> Result<(), ArchiveError> {
    if sha256 == wanted.sha256 {
        return Ok(());
    }
    let (origin, wanted) = (origin.to_owned(), wanted.clone());
    Err(match catalog.of_archive(sha256) {
        Some(found) => ArchiveError::OtherRelease { origin, found: found.clone(), wanted },
        None => ArchiveError::WrongDigest { origin, found: sha256.to_owned(), wanted },
    })
}

/// Writes a release's programs into a directory.
pub(super) fn unpack(archive: &Path, release: &Release, directory: &Path) -> Result<(), ArchiveError> {
    let file =
        File::open(archive).map_err(|source| ArchiveError::Read { path: archive.to_owned(), source })?;
    let mut missing: Vec<(String, &str)> =
        PROGRAMS.map(|program| (name_in_archive(program, release), program)).into();
    let mut archive = tar::Archive::new(GzDecoder::new(file));
    for entry in archive.entries().map_err(ArchiveError::Unpack)? {
        let mut entry = entry.map_err(ArchiveError::Unpack)?;
        let is_file = entry.header().entry_type().is_file();
        let path = entry.path().map_err(ArchiveError::Unpack)?.into_owned();
        let Some(at) = missing.iter().position(|(name, _)| is_file && path == Path::new(name)) else {
            continue;
        };
        let (_, program) = missing.swap_remove(at);
        write_program(&mut entry, &directory.join(program)).map_err(ArchiveError::Unpack)?;
        if missing.is_empty() {
            return Ok(());
        }
    }
    let name = missing.into_iter().next().map(|(name, _)| name).unwrap_or_default();
    Err(ArchiveError::NoProgram { name })
}

fn name_in_archive(program: &str, release: &Release) -> String {
    let Release { version, architecture, .. } = release;
    format!("release-v{version}-{architecture}/{program}-v{version}-{architecture}")
}

fn write_program(from: &mut impl Read, path: &Path) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    let bytes = io::copy(&mut from.take(PROGRAM_BYTES_MAX + 1), &mut file)?;
    if bytes > PROGRAM_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a program in it is too large"));
    }
    // Whatever the archive says.
    file.set_permissions(fs::Permissions::from_mode(0o755))
}

/// Returns a file's SHA-256.
pub(super) fn digest_of(path: &Path) -> io::Result<String> {
    Ok(hex(&Sha256::digest(fs::read(path)?)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::setup::test_release::{FIRECRACKER, JAILER, write_archive};

    fn unpacked(members: &[(&str, &str)]) -> (tempfile::TempDir, Result<(), ArchiveError>) {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("release.tgz");
        let release = write_archive(&file, members);
        let to = home.path().join("to");
        fs::create_dir(&to).unwrap();
        let result = unpack(&file, &release, &to);
        (home, result)
    }

    #[test]
    fn only_the_programs_are_taken_with_permissions_of_ours() {
        let (home, result) = unpacked(&[
            ("release-v1.2.3-x86_64/LICENSE", "x"),
            ("elsewhere/firecracker-v1.2.3-x86_64", "another"),
            (FIRECRACKER, "f"),
            (JAILER, "j"),
        ]);
        result.unwrap();
        let to = home.path().join("to");
        assert_eq!(fs::read_dir(&to).unwrap().count(), PROGRAMS.len());
        for (program, content) in [("firecracker", "f"), ("jailer", "j")] {
            assert_eq!(fs::read_to_string(to.join(program)).unwrap(), content);
            assert_eq!(fs::metadata(to.join(program)).unwrap().mode() & 0o7777, 0o755);
        }
    }

    #[test]
    fn an_archive_without_a_program_is_refused() {
        let (_home, result) = unpacked(&[(FIRECRACKER, "f")]);
        assert!(matches!(result, Err(ArchiveError::NoProgram { name }) if name == JAILER));
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("release.tgz");
        let release = write_archive(&file, &[(FIRECRACKER, "f")]);
        fs::write(&file, "no archive").unwrap();
        assert!(matches!(unpack(&file, &release, home.path()), Err(ArchiveError::Unpack(_))));
    }

    #[test]
    fn another_archive_is_refused_with_what_it_is() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("release.tgz");
        let wanted = write_archive(&file, &[(FIRECRACKER, "f")]);
        let other = Release { architecture: "aarch64".into(), sha256: "a0".into(), ..wanted.clone() };
        let catalog = Catalog { releases: vec![wanted.clone(), other] };
        let checked =
            |sha256: &str| check("r.tgz", sha256, &wanted, &catalog).map_err(|error| error.to_string());
        checked(&digest_of(&file).unwrap()).unwrap();
        assert_eq!(
            checked("a0").unwrap_err(),
            "`r.tgz` is Firecracker 1.2.3 for aarch64, not 1.2.3 for x86_64"
        );
        let half = checked("00").unwrap_err();
        let expected = format!("its SHA-256 is 00, not {}", wanted.sha256);
        assert!(
            half.starts_with("`r.tgz` is not Firecracker 1.2.3, or it is incomplete: ")
                && half.ends_with(&expected)
        );
    }

    #[test]
    fn a_copy_has_the_digest_of_its_origin_and_an_end() {
        let home = tempfile::tempdir().unwrap();
        let (from, to) = (home.path().join("from"), home.path().join("to"));
        fs::write(&from, vec![7; 200_000]).unwrap();
        fs::write(&to, "something longer that was there before").unwrap();
        assert_eq!(copy(&from, &to).unwrap(), digest_of(&from).unwrap());
        assert_eq!(fs::read(&to).unwrap(), fs::read(&from).unwrap());
        File::create(&from).unwrap().set_len(ARCHIVE_BYTES_MAX + 1).unwrap();
        assert!(matches!(copy(&from, &to), Err(ArchiveError::TooLarge { .. })));
    }
}
