//! Answers that a server has compressed on their way (RFC 9110, "Content-Encoding"), which some do without being asked. A
//! blob's digest is that of the bytes before that.

use std::io::{self, Read};

use bytes::{Buf as _, Bytes};
use reqwest::header::{CONTENT_ENCODING, HeaderMap};
use tokio::sync::mpsc;

use crate::formats::compression::Compression;

/// Returns how an answer is compressed; nothing known counts as nothing at all, and the digest tells.
pub(super) fn of(headers: &HeaderMap) -> Compression {
    let value = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match value.trim().to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => Compression::Gzip,
        "zstd" => Compression::Zstd,
        _ => Compression::None,
    }
}

/// Reads chunks that another task sends, to the last one.
pub(super) struct Received {
    chunks: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Received {
    pub(super) fn new(chunks: mpsc::Receiver<Bytes>) -> Self {
        Self { chunks, current: Bytes::new() }
    }
}

impl Read for Received {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.current = chunk,
                None => return Ok(0),
            }
        }
        let count = self.current.len().min(buffer.len());
        self.current.copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}
