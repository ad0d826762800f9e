//! The work-seed: an image's `/root` as a small file system of its own, which lets the user's key in. New work disks are
//! copies of it.
//!
//! It holds nothing that the image's root, or the work-seed that it was registered with, does not have, apart from the
//! key: one that is missing, damaged or for another key is made anew from that, by whoever comes first. A reader finds the older one or the new one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use banger_ext4::{Ext4Reader, FormatError, FormatOptions, Journal};
use banger_sys::failpoint;
use banger_sys::files::{FileError, publish, sweep_staging, write_atomic};
use banger_sys::id::random_bytes;

use crate::artifact::{MANIFEST_FILE, manifest_bytes};
use crate::image::authorized_key::AuthorizedKey;
use crate::image::home_source::HomeSource;
use crate::image::manifest::{Image, Source, WORK_SEED};

/// What images of the first format had.
const OLD_SEED: &str = "work-seed.tar";
const REFRESH_INFIX: &str = ".refresh.";
const REFRESH_SUFFIX: &str = ".tmp";
/// Room for metadata and the key, on top of what the image's root can have in `/root`.
const SLACK_BYTES: u64 = 64 << 20;

/// Why there is no work-seed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum WorkSeedError {
    #[error("cannot create the work-seed `{}`", path.display())]
    Write { path: PathBuf, source: FormatError },
    #[error("cannot move the work-seed into place")]
    Publish(#[source] FileError),
    #[error("cannot write the manifest of the image")]
    Manifest(#[source] serde_json::Error),
    #[error("cannot record the key of the work-seed")]
    Record(#[source] FileError),
}

/// Writes a seed.
pub(crate) fn write_work_seed(
    home: &HomeSource,
    seed: &Path,
    key: &AuthorizedKey,
) -> Result<(), WorkSeedError> {
    let written = || {
        let reader = Ext4Reader::open(&home.file)?;
        // What is in it comes from there, so it cannot be larger, whatever its directories say.
        let options = options("banger-seed", reader.size_bytes() + SLACK_BYTES, Journal::None);
        home.begin(&reader, seed, options, key)?.finish_shrunk().map(drop)
    };
    written().map_err(|source| {
        let _ = fs::remove_file(seed);
        WorkSeedError::Write { path: seed.to_owned(), source }
    })
}

/// Tells whether the image's seed has to be made anew for this key.
pub(crate) fn is_stale(image: &Image, key: &AuthorizedKey) -> bool {
    match &image.manifest.source {
        Source::Managed(files) => {
            files.seeded_key.as_ref() != Some(key.fingerprint())
                || Ext4Reader::open(&image.file(WORK_SEED)).is_err()
        }
        // Its seed is somebody else's file; a work disk gets the key when it is made.
        Source::Linked(_) => false,
    }
}

/// Makes the seed anew for this key, and records the key once the seed is in its place. Other refreshes may run at the
/// same time: the last one wins, and all have the same content.
pub(crate) fn refresh_work_seed(mut image: Image, key: &AuthorizedKey) -> Result<Image, WorkSeedError> {
    let (home, seed) = (image.home(), image.file(WORK_SEED));
    let Source::Managed(files) = &mut image.manifest.source else { return Ok(image) };
    files.seeded_key = Some(key.fingerprint().clone());
    let staged = staging_path(&seed);
    failpoint::pass("write work-seed");
    write_work_seed(&home, &staged, key)?;
    failpoint::pass("work-seed written");
    publish(&staged, &seed).map_err(WorkSeedError::Publish)?;
    // After the rename, so that a record never tells of a key that the seed does not have.
    let text = manifest_bytes(&image.manifest).map_err(WorkSeedError::Manifest)?;
    write_atomic(&image.file(MANIFEST_FILE), &text, 0o600).map_err(WorkSeedError::Record)?;
    failpoint::pass("work-seed recorded");
    let _ = fs::remove_file(image.file(OLD_SEED));
    Ok(image)
}

/// Removes what refreshes left behind when their process died.
pub(crate) fn sweep_refreshes(images: &Path) {
    for image in fs::read_dir(images).into_iter().flatten().flatten() {
        if let Err(error) = sweep_image(&image.path()) {
            tracing::warn!(path = %image.path().display(), %error, "left-over files of a work-seed stay");
        }
    }
}

fn sweep_image(image: &Path) -> io::Result<()> {
    sweep_staging(image)?;
    let has_seed = image.join(WORK_SEED).exists();
    for file in fs::read_dir(image)? {
        let file = file?;
        let name = file.file_name();
        if is_refresh(&name.to_string_lossy()) || (has_seed && name == OLD_SEED) {
            fs::remove_file(file.path())?;
        }
    }
    Ok(())
}

/// Returns `<seed>.refresh.<pid>-<ns>.tmp`: no other refresh has this name.
fn staging_path(seed: &Path) -> PathBuf {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let nanos = later_than_last(&LAST_STAGED, u64::try_from(now.as_nanos()).unwrap_or_default());
    let mut name = seed.file_name().unwrap_or_default().to_owned();
    name.push(format!("{REFRESH_INFIX}{}-{nanos}{REFRESH_SUFFIX}", std::process::id()));
    seed.with_file_name(name)
}

/// The time, in nanoseconds, in the newest name that this process gave to a refresh.
static LAST_STAGED: AtomicU64 = AtomicU64::new(0);

/// Returns `now`, or the first later time that nobody has got: threads that one event wakes read the same time from a
/// clock of coarse steps.
fn later_than_last(last: &AtomicU64, now: u64) -> u64 {
    let later = |last: u64| now.max(last + 1);
    later(last.update(Ordering::Relaxed, Ordering::Relaxed, later))
}

fn is_refresh(name: &str) -> bool {
    name.strip_prefix(WORK_SEED)
        .is_some_and(|rest| rest.starts_with(REFRESH_INFIX) && rest.ends_with(REFRESH_SUFFIX))
}

/// What file systems of homes have in common.
pub(crate) fn options(label: &str, size_bytes: u64, journal: Journal) -> FormatOptions {
    FormatOptions {
        size_bytes,
        label: label.to_owned(),
        uuid: random_bytes(),
        hash_seed: random_bytes(),
        created_at: jiff::Timestamp::now().as_second(),
        inodes_min: 0,
        journal,
    }
}

#[cfg(test)]
#[path = "work_seed_tests.rs"]
mod tests;
