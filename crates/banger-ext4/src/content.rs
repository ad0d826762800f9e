//! The content of a file on its way into a file system.

use std::io::{self, Read};

/// Where the bytes of a file come from.
pub(crate) trait Content: Read {
    /// Passes over zeros that need not be read; returns how many, in whole blocks.
    fn skip_zeros(&mut self) -> u64;
}

/// Content that does not know where its zeros are.
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
