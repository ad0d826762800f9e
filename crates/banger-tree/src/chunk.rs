//! Reads a file piece by piece and leaves out its holes.

use std::os::fd::{AsFd, OwnedFd};

use bytes::Bytes;
use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::CHUNK_BYTES;

/// A file that is being read.
#[derive(Debug)]
pub(crate) struct FileChunks {
    fd: OwnedFd,
    offset: u64,
    /// `None` means up to the end of the file, because files of `/proc` claim a size of 0.
    size: Option<u64>,
    /// Holes are searched for only if the file has fewer blocks than its size needs.
    is_sparse: bool,
    /// End of the data that was found at `offset`.
    data_end: u64,
}

impl FileChunks {
    /// Takes a file with this size and this number of allocated 512-byte blocks.
    pub(crate) fn new(fd: OwnedFd, size: u64, blocks: u64) -> Self {
        let is_sparse = blocks.saturating_mul(512) < size;
        Self { fd, offset: 0, size: (size > 0).then_some(size), is_sparse, data_end: 0 }
    }

    /// Returns the next piece and its offset; `None` at the end, after which [`FileChunks::size`] is the actual size.
    ///
    /// A file that grows meanwhile is read up to its former size, because it might never end.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Bytes)>, Errno> {
        if self.is_sparse && self.offset >= self.data_end && !self.find_data()? {
            return Ok(None);
        }
        let end = if self.is_sparse { Some(self.data_end) } else { self.size };
        let left = end.map_or(u64::MAX, |end| end.saturating_sub(self.offset));
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let mut buffer = vec![0; wanted];
        let mut filled = 0;
        while filled < wanted {
            let rest = buffer.get_mut(filled..).unwrap_or_default();
            match rustix::io::pread(&self.fd, rest, self.offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        if filled == 0 {
            // The file has become shorter: its size is where its bytes end.
            self.size = Some(self.offset);
            return Ok(None);
        }
        buffer.truncate(filled);
        let offset = self.offset;
        self.offset += filled as u64;
        Ok(Some((offset, Bytes::from(buffer))))
    }

    /// The size of the file, once it was read.
    pub(crate) fn size(&self) -> u64 {
        self.size.unwrap_or(self.offset)
    }

    /// Moves to the next data; `false` if only a hole is left.
    fn find_data(&mut self) -> Result<bool, Errno> {
        let size = self.size.unwrap_or(0);
        if self.offset >= size {
            return Ok(false);
        }
        match rustix::fs::seek(self.fd.as_fd(), SeekFrom::Data(self.offset)) {
            Ok(data) if data >= size => Ok(false),
            Ok(data) => {
                let hole = rustix::fs::seek(self.fd.as_fd(), SeekFrom::Hole(data))?;
                self.offset = data;
                self.data_end = hole.min(size);
                Ok(self.data_end > data)
            }
            Err(Errno::NXIO) => Ok(false),
            // This file system does not support holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => {
                self.is_sparse = false;
                Ok(true)
            }
            Err(errno) => Err(errno),
        }
    }
}
