//! The content of a file that is being written to a file system.

use std::io::{self, Read};

/// A source of a file's bytes.
pub(crate) trait Content: Read {
    /// Skips zeros that need not be read; returns their number, in whole blocks.
    fn skip_zeros(&mut self) -> u64;
}

/// Content whose zeros are not known in advance.
pub(crate) struct Dense<'r>(pub(crate) &'r mut dyn Read);

impl Read for Dense<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Content for Dense<'_> {
    fn skip_zeros(&mut self) -> u64 {
        0
    }
}
