//! A layer as a stream: a part of a file that is a tar, plain or compressed. What it is shows in its first bytes, not in
//! what a manifest says about it. Its digests are checked while it passes by.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};

use banger_sys::blocking::Cancelled;

use super::digest::{BlobDigest, BlobHasher};
use crate::formats::compression::Compression;
use crate::limits::{Allowance, OverLimit};

const BUFFER_BYTES: usize = 256 << 10;

/// A layer that is here.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) file: File,
    /// Where it begins in the file.
    pub(crate) offset: u64,
    /// Its length there.
    pub(crate) size: u64,
    /// Its digest as it is in the file, where that is not known to be right.
    pub(crate) unchecked: Option<BlobDigest>,
    /// Digest of the tar.
    pub(crate) diff_id: BlobDigest,
    /// How much of all layers is read, in bytes as they are in their files: it grows while this one is unpacked.
    pub(crate) read: Arc<AtomicU64>,
}

/// Why a layer cannot be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and fields mean")]
pub enum LayerReadError {
    #[error("cannot read it")]
    Read(#[source] io::Error),
    #[error("its digest is {found}, not {wanted}")]
    WrongDigest { wanted: BlobDigest, found: BlobDigest },
    #[error("it is compressed with {name}, which is not supported")]
    UnknownCompression { name: &'static str },
    #[error(transparent)]
    Limit(OverLimit),
    /// Whoever reads has had enough.
    #[error("it was not read completely")]
    Stopped,
}

impl Layer {
    /// Unpacks the layer into chunks, to its end, and checks its digests.
    pub(crate) fn unpack(
        self,
        chunks: &SyncSender<Vec<u8>>,
        allowance: &Allowance,
        cancelled: &Cancelled,
    ) -> Result<(), LayerReadError> {
        let Self { mut file, offset, size, unchecked, diff_id, read } = self;
        file.seek(SeekFrom::Start(offset)).map_err(LayerReadError::Read)?;
        let stored = Hashing {
            inner: cancelled.reader(file.take(size)),
            hasher: unchecked.is_some().then(BlobHasher::default),
            read,
        };
        let mut stored = BufReader::with_capacity(BUFFER_BYTES, stored);
        let mut hasher = BlobHasher::default();
        {
            let mut tar = decoder(&mut stored)?;
            loop {
                let mut chunk = vec![0; BUFFER_BYTES];
                let count = fill(&mut *tar, &mut chunk).map_err(LayerReadError::Read)?;
                if count == 0 {
                    break;
                }
                chunk.truncate(count);
                allowance.take(count).map_err(LayerReadError::Limit)?;
                hasher.update(&chunk);
                chunks.send(chunk).map_err(|_reader_is_gone| LayerReadError::Stopped)?;
            }
        }
        check(&diff_id, hasher)?;
        // What stands behind the end of the compressed stream belongs to the blob, too.
        io::copy(&mut stored, &mut io::sink()).map_err(LayerReadError::Read)?;
        match (unchecked, stored.into_inner().hasher) {
            (Some(wanted), Some(hasher)) => check(&wanted, hasher),
            (None, _) | (Some(_), None) => Ok(()),
        }
    }
}

fn check(wanted: &BlobDigest, hasher: BlobHasher) -> Result<(), LayerReadError> {
    let found = hasher.finish();
    if found == *wanted { Ok(()) } else { Err(LayerReadError::WrongDigest { wanted: wanted.clone(), found }) }
}

/// Returns the tar of what is stored. How it is compressed shows in its first bytes.
pub(super) fn decoder<'r>(stored: &'r mut impl BufRead) -> Result<Box<dyn Read + 'r>, LayerReadError> {
    let start = stored.fill_buf().map_err(LayerReadError::Read)?;
    match Compression::of_start(start) {
        Ok(compression) => Ok(compression.buffered(stored)),
        Err(unknown) => Err(LayerReadError::UnknownCompression { name: unknown.name }),
    }
}

/// Reads until the buffer is full or there is nothing more.
fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[derive(Debug)]
struct Hashing<R> {
    inner: R,
    hasher: Option<BlobHasher>,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        if let Some(hasher) = &mut self.hasher {
            hasher.update(buffer.get(..count).unwrap_or_default());
        }
        Ok(count)
    }
}

/// The chunks of a layer as one stream.
#[derive(Debug)]
pub(crate) struct Chunks {
    chunks: Receiver<Vec<u8>>,
    current: io::Cursor<Vec<u8>>,
}

impl Chunks {
    pub(crate) fn new(chunks: Receiver<Vec<u8>>) -> Self {
        Self { chunks, current: io::Cursor::default() }
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.current.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            match self.chunks.recv() {
                Ok(chunk) => self.current = io::Cursor::new(chunk),
                Err(_end) => return Ok(0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::mpsc::sync_channel;

    use super::*;
    use crate::formats::compression::tests::pack;

    fn layer(stored: &[u8], content: &[u8]) -> Layer {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"before").unwrap();
        file.write_all(stored).unwrap();
        file.write_all(b"after").unwrap();
        Layer {
            file,
            offset: 6,
            size: stored.len() as u64,
            unchecked: Some(BlobDigest::of(stored)),
            read: Arc::default(),
            diff_id: BlobDigest::of(content),
        }
    }

    fn unpack(layer: Layer) -> Result<Vec<u8>, LayerReadError> {
        let (sender, receiver) = sync_channel(64);
        let ended = layer.unpack(&sender, &Allowance::endless(), &Cancelled::default());
        drop(sender);
        let mut read = Vec::new();
        Chunks::new(receiver).read_to_end(&mut read).unwrap();
        ended.map(|()| read)
    }

    fn content() -> Vec<u8> {
        (0..1_000_000_u32).flat_map(|number| (number / 7).to_le_bytes()).collect()
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(content: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(content, ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn every_compression_gives_the_same_tar() {
        let content = content();
        let (first, second) = content.split_at(1 << 20);
        let skippable = [&[0x5a, 0x2a, 0x4d, 0x18][..], &3_u32.to_le_bytes(), b"any"].concat();
        for stored in [
            content.clone(),
            gzip(&content),
            [gzip(first), gzip(second)].concat(),
            [gzip(&content), vec![0; 5000]].concat(),
            pack("xz", &["-c"], &content),
            pack("bzip2", &["-c"], &content),
            zstd(&content),
            [&skippable[..], &zstd(first), &skippable, &zstd(second), &skippable].concat(),
        ] {
            assert!(unpack(layer(&stored, &content)).unwrap() == content);
        }
        assert_eq!(unpack(layer(b"", b"")).unwrap(), b"");
    }

    #[test]
    fn what_a_decoder_finds_wrong_is_an_error() {
        let content = content();
        for stored in [gzip(&content), zstd(&content)] {
            let cut = &stored[..stored.len() / 2];
            assert!(matches!(unpack(layer(cut, &content)), Err(LayerReadError::Read(_))));
        }
        let lz4 = unpack(layer(b"\x04\x22\x4d\x18", b"")).unwrap_err();
        assert_eq!(lz4.to_string(), "it is compressed with lz4, which is not supported");
    }

    #[test]
    fn both_digests_count() {
        let content = content();
        let mut wrong = layer(&gzip(&content), &content);
        wrong.diff_id = BlobDigest::of(b"other");
        assert!(matches!(unpack(wrong), Err(LayerReadError::WrongDigest { .. })));
        let mut wrong = layer(&gzip(&content), &content);
        wrong.unchecked = Some(BlobDigest::of(b"other"));
        assert!(matches!(unpack(wrong), Err(LayerReadError::WrongDigest { .. })));
    }

    #[test]
    fn a_reader_that_has_had_enough_ends_the_work() {
        let (sender, receiver) = sync_channel(1);
        drop(receiver);
        let content = content();
        let ended = layer(&content, &content).unpack(&sender, &Allowance::endless(), &Cancelled::default());
        assert!(matches!(ended, Err(LayerReadError::Stopped)));
    }
}
