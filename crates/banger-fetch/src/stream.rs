//! A download that is read while it comes. What was delivered cannot be taken back, so the reader checks the digest, and a
//! file that changes on its way ends the download.

use std::io;

use bytes::{Buf as _, Bytes};

use crate::body::Body;
use crate::chunks::ChunkSender;
use crate::error::FetchError;
use crate::resume::Identity;
use crate::source::{Source, open_at};
use crate::tries::Tries;

/// A file on its way, continued where a connection breaks. Dropping it gives up.
#[derive(Debug)]
pub struct Download<S> {
    source: S,
    /// What the file is, in errors.
    what: &'static str,
    bytes_max: u64,
    body: Body,
    identity: Identity,
    tries: Tries,
    /// Bytes that were delivered.
    offset: u64,
    /// The offset at which the latest try began.
    counted_from: u64,
    /// Bytes that come once more, from a server that knows no ranges.
    skipped: u64,
}

impl<S: Source> Download<S> {
    /// Requests a file that may have so many bytes.
    ///
    /// # Errors
    /// As [`Source::ask`].
    pub async fn begin(source: S, what: &'static str, bytes_max: u64) -> Result<Self, S::Error> {
        let opened = open_at(&source, 0, None).await?;
        let (body, identity, tries) = (opened.body, opened.identity, Tries::new(source.patience()));
        Ok(Self { source, what, bytes_max, body, identity, tries, offset: 0, counted_from: 0, skipped: 0 })
    }

    /// Returns the size of the file in bytes, where the server says it.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.identity.bytes
    }

    /// Returns the next bytes, or nothing at the end.
    ///
    /// # Errors
    /// [`FetchError`] when no further try may help.
    pub async fn next(&mut self) -> Result<Option<Bytes>, S::Error> {
        loop {
            let error = match self.body.next().await {
                Ok(Some(mut bytes)) => {
                    let skipped = bytes.len().min(usize::try_from(self.skipped).unwrap_or(usize::MAX));
                    bytes.advance(skipped);
                    self.skipped -= skipped as u64;
                    if bytes.is_empty() {
                        continue;
                    }
                    self.offset += bytes.len() as u64;
                    if self.offset > self.bytes_max {
                        let (server, bytes_max) = (self.server(), self.bytes_max);
                        return Err(FetchError::TooLarge { server, what: self.what, bytes_max }.into());
                    }
                    return Ok(Some(bytes));
                }
                Ok(None) => match self.size() {
                    Some(wanted) if self.offset < wanted => {
                        let (server, found) = (self.server(), self.offset);
                        FetchError::Truncated { server, what: self.what, wanted, found }
                    }
                    Some(_) | None => return Ok(None),
                },
                Err(error) => error,
            };
            self.continue_after(error.into()).await?;
        }
    }

    /// Reads all of it into memory.
    ///
    /// # Errors
    /// As [`Download::next`].
    pub async fn whole(mut self) -> Result<Vec<u8>, S::Error> {
        let mut whole = Vec::new();
        while let Some(bytes) = self.next().await? {
            whole.extend_from_slice(&bytes);
        }
        Ok(whole)
    }

    /// Sends everything; ends early when nobody receives it any more.
    pub async fn send_to(mut self, sender: ChunkSender) {
        loop {
            let chunk = match self.next().await {
                Ok(Some(bytes)) => Ok(bytes),
                Ok(None) => return,
                Err(error) => Err(io::Error::other(error)),
            };
            let is_last = chunk.is_err();
            if sender.send(chunk).await.is_err() || is_last {
                return;
            }
        }
    }

    /// Continues where the connection broke.
    async fn continue_after(&mut self, mut error: S::Error) -> Result<(), S::Error> {
        self.tries.note_progress(self.offset - self.counted_from);
        self.counted_from = self.offset;
        loop {
            self.tries.again(error).await?;
            match self.open_again().await {
                Ok(()) => return Ok(()),
                Err(next) => error = next,
            }
        }
    }

    async fn open_again(&mut self) -> Result<(), S::Error> {
        let opened = open_at(&self.source, self.offset, Some(&self.identity)).await?;
        self.skipped = 0;
        if opened.offset != self.offset {
            // The server knows no ranges, or it has another file by now.
            if opened.offset > 0 || !self.identity.is_still(&opened.identity) {
                return Err(FetchError::Changed { server: self.server(), what: self.what }.into());
            }
            self.skipped = self.offset;
        }
        self.body = opened.body;
        Ok(())
    }

    fn server(&self) -> String {
        self.source.server().to_owned()
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
