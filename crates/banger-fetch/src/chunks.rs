//! Bytes on their way from the network to a thread where blocking is allowed.

use std::io::{self, Read};

use bytes::{Buf as _, Bytes};
use tokio::sync::mpsc;

/// Chunks of the network that wait for the disk, each of some kilobytes.
const CHUNKS_WAITING_MAX: usize = 64;

/// Where the network puts its chunks, or the reason why there are no more.
pub type ChunkSender = mpsc::Sender<io::Result<Bytes>>;

/// Returns both ends.
#[must_use]
pub fn chunks() -> (ChunkSender, ChunkReader) {
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
    (sender, ChunkReader { receiver, chunk: Bytes::new() })
}

/// Reads chunks that another task sends. Blocks, so it must not be read by an async task.
#[derive(Debug)]
pub struct ChunkReader {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    chunk: Bytes,
}

impl ChunkReader {
    /// Returns the next chunk as it came, or nothing after the last one.
    pub(crate) fn next(&mut self) -> io::Result<Option<Bytes>> {
        self.receiver.blocking_recv().transpose()
    }
}

impl Read for ChunkReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.next()? {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let count = self.chunk.len().min(buffer.len());
        self.chunk.copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}
