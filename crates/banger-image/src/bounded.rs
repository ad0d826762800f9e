//! Reads of what others wrote, with an end: more than what is sane is an error and not a full memory or disk.

use std::io::{self, Read};
use std::path::Path;

use banger_model::display_rounded;
use banger_sys::files::open_regular;

/// A reader that fails once more bytes have come than are allowed.
#[derive(Debug)]
pub(crate) struct Bounded<R> {
    inner: R,
    bytes_max: u64,
    left: u64,
}

impl<R: Read> Bounded<R> {
    pub(crate) fn new(inner: R, bytes_max: u64) -> Self {
        Self { inner, bytes_max, left: bytes_max }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            let sentence = format!("it is larger than {}", display_rounded(self.bytes_max));
            io::Error::new(io::ErrorKind::FileTooLarge, sentence)
        })?;
        Ok(count)
    }
}

/// Reads a whole file.
///
/// # Errors
/// As `open(2)` and `read(2)`; [`io::ErrorKind::FileTooLarge`] for one of more than `bytes_max` bytes.
pub(crate) fn read_file(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    Bounded::new(open_regular(path)?, bytes_max).read_to_end(&mut content)?;
    Ok(content)
}

/// Reads a whole file that is text.
///
/// # Errors
/// As `open(2)` and `read(2)`; [`io::ErrorKind::InvalidInput`] for what is not a regular file, which is not waited for;
/// [`io::ErrorKind::FileTooLarge`] for one of more than `bytes_max` bytes; [`io::ErrorKind::InvalidData`] for what is not UTF-8.
pub fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    String::from_utf8(read_file(path, bytes_max)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_byte_that_is_allowed_is_read_and_the_next_one_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "12345").unwrap();
        assert_eq!(read_text(file.path(), 5).unwrap(), "12345");
        let error = read_file(file.path(), 4).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (io::ErrorKind::FileTooLarge, "it is larger than 4 bytes")
        );
        // Also where a length is not known before.
        let mut endless = Bounded::new(io::repeat(0), 1 << 20);
        assert!(io::copy(&mut endless, &mut io::sink()).is_err());
    }
}
