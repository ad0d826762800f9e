//! Memory files of snapshots: laying a difference over the memory that it was taken against.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{OFlags, SeekFrom};
use rustix::io::Errno;

const CHUNK_BYTES: u64 = 1024 * 1024;

/// Writes what a difference holds into `memory`, which becomes the memory of the later snapshot. Holes of the difference
/// are what has not changed.
///
/// # Errors
/// When a file cannot be read or written, or the two are not of one size; a difference that is longer changes nothing.
pub fn lay_over(memory: &Path, difference: &Path) -> io::Result<()> {
    let memory = OpenOptions::new().write(true).open(memory)?;
    let difference = File::open(difference)?;
    let length = difference.metadata()?.len();
    if memory.metadata()?.len() != length {
        let text = "a difference belongs to a memory file of the same size";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    copy_data(&difference, &memory, length)?;
    memory.sync_all()
}

/// Copies a file with its holes into a new private one.
pub(crate) fn copy_sparse(from: &Path, to: &Path) -> io::Result<()> {
    // Whoever wrote it may have put a link in its place.
    let no_follow = OFlags::NOFOLLOW.bits().cast_signed();
    let from = OpenOptions::new().read(true).custom_flags(no_follow).open(from)?;
    let to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let length = from.metadata()?.len();
    to.set_len(length)?;
    copy_data(&from, &to, length)?;
    to.sync_all()
}

fn copy_data(from: &File, to: &File, length: u64) -> io::Result<()> {
    let mut end = 0;
    while let Some(begin) = find(from, SeekFrom::Data(end))? {
        end = find(from, SeekFrom::Hole(begin))?.unwrap_or(length);
        copy(from, to, begin, end)?;
    }
    Ok(())
}

/// Returns `None` where nothing follows.
fn find(file: &File, place: SeekFrom) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, place) {
        Ok(offset) => Ok(Some(offset)),
        Err(Errno::NXIO) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn copy(from: &File, to: &File, begin: u64, end: u64) -> io::Result<()> {
    let mut buffer = vec![0; usize::try_from(CHUNK_BYTES).map_err(io::Error::other)?];
    let mut at = begin;
    while at < end {
        let wanted = usize::try_from((end - at).min(CHUNK_BYTES)).map_err(io::Error::other)?;
        let part = buffer.get_mut(..wanted).unwrap_or_default();
        from.read_exact_at(part, at)?;
        to.write_all_at(part, at)?;
        at += wanted as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BLOCK: usize = 4096;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

        #[test]
        fn what_changed_is_new_and_the_rest_is_as_it_was(changed in proptest::collection::vec(any::<bool>(), 1..40)) {
            let directory = tempfile::tempdir().unwrap();
            let (memory, difference) = (directory.path().join("memory"), directory.path().join("difference"));
            std::fs::write(&memory, vec![b'o'; changed.len() * BLOCK]).unwrap();
            let file = File::create(&difference).unwrap();
            file.set_len((changed.len() * BLOCK) as u64).unwrap();
            for (index, _) in changed.iter().enumerate().filter(|(_, changed)| **changed) {
                file.write_all_at(&[b'n'; BLOCK], (index * BLOCK) as u64).unwrap();
            }
            // A file system may count what it has not placed yet as it likes.
            file.sync_all().unwrap();
            lay_over(&memory, &difference).unwrap();
            let laid = std::fs::read(&memory).unwrap();
            for (block, changed) in laid.chunks(BLOCK).zip(&changed) {
                let expected = if *changed { b'n' } else { b'o' };
                prop_assert!(block.iter().all(|byte| *byte == expected));
            }
            prop_assert_eq!(laid.len(), changed.len() * BLOCK);
            let copied = directory.path().join("copied");
            copy_sparse(&difference, &copied).unwrap();
            prop_assert_eq!(std::fs::read(&copied).unwrap(), std::fs::read(&difference).unwrap());
            let room = |path| std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(path).unwrap());
            prop_assert!(room(&copied) <= room(&difference));
        }
    }

    #[test]
    fn a_difference_of_another_size_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (memory, difference) = (directory.path().join("memory"), directory.path().join("difference"));
        std::fs::write(&memory, "memory").unwrap();
        std::fs::write(&difference, "long difference").unwrap();
        assert_eq!(lay_over(&memory, &difference).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(std::fs::read(&memory).unwrap(), b"memory");
    }
}
