//! Reads zstd streams whole.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// What the `zstd` program takes without being asked twice; a decoder holds one window.
const ZSTD_WINDOW_MAX: u64 = 128 << 20;

/// The frames of a zstd file, one after the other: the decoder knows one only, and layers that can be fetched in parts
/// have thousands.
pub(crate) struct ZstdFrames<R> {
    stored: R,
    decoder: FrameDecoder,
    is_in_frame: bool,
}

impl<R: BufRead> ZstdFrames<R> {
    pub(crate) fn new(stored: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(ZSTD_WINDOW_MAX);
        Self { stored, decoder, is_in_frame: false }
    }

    /// Begins the next frame; tells whether there is one.
    fn next_frame(&mut self) -> io::Result<bool> {
        loop {
            skip_zeros(&mut self.stored)?;
            if self.stored.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.decoder.init(&mut self.stored) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let mut skipped = (&mut self.stored).take(length.into());
                    if io::copy(&mut skipped, &mut io::sink())? < u64::from(length) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_in_frame {
                if !self.next_frame()? {
                    return Ok(0);
                }
                self.is_in_frame = true;
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.stored, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(io::Error::other)?;
            }
            let count = self.decoder.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            self.is_in_frame = false;
        }
    }
}

/// Passes over zeros.
pub(crate) fn skip_zeros(packed: &mut impl BufRead) -> io::Result<()> {
    loop {
        let bytes = packed.fill_buf()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let is_all = zeros == bytes.len();
        packed.consume(zeros);
        if zeros == 0 || !is_all {
            return Ok(());
        }
    }
}
