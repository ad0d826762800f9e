//! Unpacks a bundle while it comes in.

use std::io::{self, BufReader, Read};
use std::path::Path;

use banger_sys::failpoint;
use tar::EntryType;

use super::error::{BundleError, ROOTFS_BYTES_MAX};
use super::expected::{Checking, Expected, signature};
use super::manifest::BundleManifest;
use crate::artifact::MANIFEST_FILE;
use crate::artifact::digest::FileRecord;
use crate::formats::archive_path::contained;
use crate::formats::sparse::SparseFile;
use crate::formats::zstd_frames::ZstdFrames;
use crate::image::ROOTFS;
use crate::limits::Allowance;

const MANIFEST_BYTES_MAX: u64 = 1 << 20;
/// What may come after the archive's end: tar fills its last record with zeros.
const TRAILER_BYTES_MAX: u64 = 1 << 20;
const CHUNK_BYTES: usize = 256 << 10;

/// Writes the root of a bundle into a directory and returns the manifest. Nothing may be used when this fails.
pub(super) fn unpack_bundle(
    packed: impl Read,
    expected: &Expected,
    allowance: &Allowance,
    directory: &Path,
) -> Result<BundleManifest, BundleError> {
    let signature = signature(expected)?;
    let mut packed = Checking::begin(packed, expected, signature.as_ref())?;
    let (manifest, rootfs) = {
        let mut content = ZstdFrames::new(BufReader::with_capacity(CHUNK_BYTES, &mut packed));
        let entries = unpack_entries(&mut content, allowance, directory)?;
        let trailer = io::copy(&mut content.by_ref().take(TRAILER_BYTES_MAX + 1), &mut io::sink());
        if trailer.map_err(BundleError::Read)? > TRAILER_BYTES_MAX {
            return Err(BundleError::Trailer);
        }
        entries
    };
    failpoint::pass("bundle unpacked");
    packed.finish()?;
    if manifest.rootfs != rootfs {
        return Err(BundleError::OtherRootfs);
    }
    Ok(manifest)
}

fn unpack_entries(
    content: &mut dyn Read,
    allowance: &Allowance,
    directory: &Path,
) -> Result<(BundleManifest, FileRecord), BundleError> {
    let mut archive = tar::Archive::new(content);
    let (mut manifest, mut rootfs) = (None, None);
    // Raw: what extends the header of another entry is an entry that does not belong here.
    for entry in archive.entries().map_err(BundleError::Read)?.raw(true) {
        failpoint::pass("unpack entry");
        let mut entry = entry.map_err(BundleError::Read)?;
        let text = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some(path) = contained(&entry.path_bytes()) else {
            return Err(BundleError::Unsafe { entry: text });
        };
        let (is_manifest, is_rootfs) = (path == Path::new(MANIFEST_FILE), path == Path::new(ROOTFS));
        if !is_manifest && !is_rootfs {
            return Err(BundleError::Unexpected { entry: text });
        }
        if entry.header().entry_type() != EntryType::Regular {
            return Err(BundleError::NoFile { entry: text });
        }
        if (is_manifest && manifest.is_some()) || (is_rootfs && rootfs.is_some()) {
            return Err(BundleError::Twice { entry: text });
        }
        if is_manifest {
            manifest = Some(read_manifest(&mut entry)?);
        } else {
            rootfs = Some(write_rootfs(&mut entry, allowance, &directory.join(ROOTFS))?);
        }
    }
    Ok((
        manifest.ok_or(BundleError::Missing { entry: MANIFEST_FILE })?,
        rootfs.ok_or(BundleError::Missing { entry: ROOTFS })?,
    ))
}

fn read_manifest(entry: &mut impl Read) -> Result<BundleManifest, BundleError> {
    let mut text = Vec::new();
    entry.take(MANIFEST_BYTES_MAX).read_to_end(&mut text).map_err(BundleError::Read)?;
    BundleManifest::parse(&text)
}

fn write_rootfs(
    entry: &mut tar::Entry<'_, impl Read>,
    allowance: &Allowance,
    path: &Path,
) -> Result<FileRecord, BundleError> {
    let size = entry.size();
    if size > ROOTFS_BYTES_MAX {
        return Err(BundleError::TooLarge);
    }
    let failed = |source| BundleError::Write { path: path.to_owned(), source };
    let mut file = SparseFile::create(path).map_err(failed)?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut left = size;
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let chunk = buffer.get_mut(..wanted).unwrap_or_default();
        entry.read_exact(chunk).map_err(BundleError::Read)?;
        // Blocks of zeros take no room: a root may be as large as it likes where it is empty.
        if chunk.iter().any(|byte| *byte != 0) {
            allowance.take(chunk.len()).map_err(BundleError::Limit)?;
        }
        file.append(chunk).map_err(failed)?;
        left -= chunk.len() as u64;
    }
    file.finish().map_err(failed)
}
