//! A stream to the guest, with the record of what its caller has read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _};

use super::screen::Record;

/// A stream to the guest.
#[derive(Debug)]
pub(super) struct GuestStream {
    stream: Compat<yamux::Stream>,
    number: u32,
    record: Record,
}

impl GuestStream {
    /// Takes a stream that was just opened.
    pub(super) fn new(stream: yamux::Stream, record: Record) -> Self {
        let number = stream.id().val();
        record.conduct().opened(number);
        Self { stream: stream.compat(), number, record }
    }

    pub(super) fn record(&self) -> Record {
        self.record.clone()
    }
}

impl Drop for GuestStream {
    fn drop(&mut self) {
        self.record.conduct().closed(self.number);
    }
}

impl AsyncRead for GuestStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        this.record.conduct().read(this.number, buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for GuestStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
