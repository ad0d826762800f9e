//! Errors of decoders in words for whoever uses the file: what their libraries say means something to their authors only.
//! Errors of the compressed bytes' own reader (a disk, a connection, a cancellation) pass unchanged.

use std::cell::Cell;
use std::error::Error;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use ruzstd::decoding::errors::FrameDecoderError;

/// What is wrong with compressed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    EndsEarly,
    NeedsMemory,
    Damaged,
}

/// The error of a decoder.
#[derive(Debug, thiserror::Error)]
#[error("its {name} data {}", words(*trouble))]
struct DecodingError {
    name: &'static str,
    trouble: Trouble,
    /// The library's error. Not the source: it would be told.
    cause: io::Error,
}

fn words(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::EndsEarly => "is incomplete: it ends too early",
        Trouble::NeedsMemory => "needs more memory to unpack than is allowed",
        Trouble::Damaged => "is damaged",
    }
}

/// Compressed bytes, and whether reading them has failed.
pub(super) struct Watched<R> {
    inner: R,
    has_failed: Rc<Cell<bool>>,
}

impl<R> Watched<R> {
    pub(super) fn new(inner: R) -> (Self, Rc<Cell<bool>>) {
        let has_failed = Rc::new(Cell::new(false));
        (Self { inner, has_failed: Rc::clone(&has_failed) }, has_failed)
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).inspect_err(|_| self.has_failed.set(true))
    }
}

impl<R: BufRead> BufRead for Watched<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf().inspect_err(|_| self.has_failed.set(true))
    }

    fn consume(&mut self, count: usize) {
        self.inner.consume(count);
    }
}

/// A decoder whose errors are worded.
pub(super) struct Worded<'a> {
    pub(super) decoder: Box<dyn Read + 'a>,
    pub(super) name: &'static str,
    pub(super) has_failed: Rc<Cell<bool>>,
}

impl Read for Worded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(buffer).map_err(|cause| {
            if self.has_failed.get() || cause.kind() == io::ErrorKind::Interrupted {
                return cause;
            }
            let trouble = trouble(&cause);
            let kind = match trouble {
                Trouble::EndsEarly => io::ErrorKind::UnexpectedEof,
                Trouble::NeedsMemory | Trouble::Damaged => io::ErrorKind::InvalidData,
            };
            io::Error::new(kind, DecodingError { name: self.name, trouble, cause })
        })
    }
}

fn trouble(error: &io::Error) -> Trouble {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof) {
            return Trouble::EndsEarly;
        }
        let is_of_zstd = matches!(error.downcast_ref(), Some(FrameDecoderError::WindowSizeTooBig { .. }));
        let is_of_xz = matches!(error.downcast_ref(), Some(liblzma::stream::Error::MemLimit));
        if is_of_zstd || is_of_xz {
            return Trouble::NeedsMemory;
        }
        // What an I/O error holds is not its source, but itself in other words.
        cause = match io.and_then(io::Error::get_ref) {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    Trouble::Damaged
}
