//! The pipe as the multiplexer sees it: what the guest sends is judged before it gets there, nothing more is taken while
//! callers leave too much unread, and a line of our own can go between two frames.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use super::conduct::{Conduct, Offence};
use super::frames::FrameReader;

/// What is known of a session, by those who drive it and those who use it. Its mutex is held for a look-up only.
#[derive(Clone, Debug)]
pub(super) struct Record {
    conduct: Arc<Mutex<Conduct>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Questions since the guest has sent anything.
    unanswered: watch::Sender<usize>,
    /// Bytes that are to go between two frames.
    aside: Mutex<Vec<u8>>,
    offence: Mutex<Option<Offence>>,
    is_full: watch::Sender<bool>,
}

impl Record {
    pub(super) fn new() -> Self {
        let shared = Shared {
            unanswered: watch::Sender::new(0),
            aside: Mutex::new(Vec::new()),
            offence: Mutex::new(None),
            is_full: watch::Sender::new(false),
        };
        Self { conduct: Arc::new(Mutex::new(Conduct::new(Instant::now()))), shared: Arc::new(shared) }
    }

    pub(super) fn conduct(&self) -> MutexGuard<'_, Conduct> {
        lock(&self.conduct)
    }

    /// A caller waits for the guest from now on.
    pub(super) fn ask(&self) {
        self.shared.unanswered.send_modify(|count| *count += 1);
    }

    /// Waits until the number of callers that began to wait since the guest has sent anything is as it is wanted.
    pub(super) async fn unanswered_is(&self, is_wanted: impl Fn(usize) -> bool) {
        // The sender is here, too: this cannot fail.
        let _ = self.shared.unanswered.subscribe().wait_for(|count| is_wanted(*count)).await;
    }

    /// Sends bytes between two frames, with the next flush; not when such bytes wait already.
    pub(super) fn say_aside(&self, bytes: Vec<u8>) {
        let mut aside = lock(&self.shared.aside);
        if aside.is_empty() {
            *aside = bytes;
        }
    }

    /// Returns what the guest did to end the session.
    pub(super) fn offence(&self) -> Option<Offence> {
        *lock(&self.shared.offence)
    }

    /// Waits until nothing more is taken from the guest because callers leave too much unread.
    pub(super) async fn full(&self) {
        // The sender is here, too: this cannot fail.
        let _ = self.shared.is_full.subscribe().wait_for(|is_full| *is_full).await;
    }

    fn set_full(&self, is_full: bool) {
        self.shared.is_full.send_if_modified(|known| std::mem::replace(known, is_full) != is_full);
    }
}

/// The screened pipe.
pub(super) struct Screened<P> {
    pipe: P,
    record: Record,
    inward: FrameReader,
    outward: FrameReader,
    /// The rest of what is being said aside.
    aside: Vec<u8>,
}

impl<P> Screened<P> {
    pub(super) fn new(pipe: P, record: Record) -> Self {
        let (inward, outward) = (FrameReader::default(), FrameReader::default());
        Self { pipe, record, inward, outward, aside: Vec::new() }
    }

    fn judge(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !bytes.is_empty() {
            self.record.shared.unanswered.send_if_modified(|count| std::mem::take(count) > 0);
        }
        let mut conduct = lock(&self.record.conduct);
        let judged = self.inward.take(bytes, |header| conduct.received(header, Instant::now()));
        judged.map_err(|offence| {
            *lock(&self.record.shared.offence) = Some(offence);
            io::Error::new(io::ErrorKind::InvalidData, offence)
        })
    }
}

impl<P: AsyncWrite + Unpin> Screened<P> {
    /// Writes what is said aside, where a frame does not stand in its way.
    fn poll_aside(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.aside.is_empty() && self.outward.is_between_frames() {
            self.aside = std::mem::take(&mut *lock(&self.record.shared.aside));
        }
        while !self.aside.is_empty() {
            let count = ready!(Pin::new(&mut self.pipe).poll_write(context, &self.aside))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.aside.drain(..count);
        }
        Poll::Ready(Ok(()))
    }
}

impl<P: AsyncRead + Unpin> AsyncRead for Screened<P> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut conduct = this.record.conduct();
        let is_full = conduct.is_full();
        if is_full {
            conduct.wake_when_read(context.waker());
        }
        drop(conduct);
        this.record.set_full(is_full);
        if is_full {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.pipe).poll_read(context, buffer))?;
        Poll::Ready(this.judge(buffer.filled().get(before..).unwrap_or_default()))
    }
}

impl<P: AsyncWrite + Unpin> AsyncWrite for Screened<P> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_aside(context))?;
        let count = ready!(Pin::new(&mut this.pipe).poll_write(context, bytes))?;
        let mut conduct = lock(&this.record.conduct);
        let Ok(()) = this.outward.take(bytes.get(..count).unwrap_or_default(), |header| {
            conduct.sent(header);
            Ok::<(), std::convert::Infallible>(())
        });
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_aside(context))?;
        Pin::new(&mut this.pipe).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().pipe).poll_shutdown(context)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
