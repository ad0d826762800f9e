//! A download into a file: continued where an earlier one ended, and checked while it is written. What turns out to be wrong
//! is fetched once more from the start, and then discarded.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};

use banger_sys::blocking::run_blocking;
use banger_sys::id::hex;
use sha2::{Digest as _, Sha256};

use crate::chunks::{ChunkReader, chunks};
use crate::error::FetchError;
use crate::resume::{Encoding, Identity};
use crate::source::{Source, open_at};
use crate::tries::Tries;

/// How much is written before the target is asked for room again.
const ROOM_BYTES: u64 = 64 << 20;
const READ_BYTES: usize = 256 << 10;

/// A file that grows. It travels with the thread that writes it, so what it owns is held until the last byte is written,
/// also when nobody waits any more.
pub trait Target: Send + 'static {
    /// Returns the file, opened for reading and writing.
    fn file(&mut self) -> &mut File;

    /// Refuses to write this many more bytes.
    ///
    /// # Errors
    /// Ends the download as [`FetchError::Write`].
    fn make_room(&mut self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    /// Removes the file, because its content is wrong.
    fn discard(self)
    where
        Self: Sized,
    {
    }
}

impl Target for File {
    fn file(&mut self) -> &mut File {
        self
    }
}

/// Undoes a compression of the server's.
pub type Decode = fn(Encoding, ChunkReader) -> Box<dyn Read>;

/// The size of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Known beforehand, in bytes.
    Exactly(u64),
    /// Limited, in bytes.
    AtMost(u64),
}

impl Size {
    fn bytes_max(self) -> u64 {
        match self {
            Self::Exactly(bytes) | Self::AtMost(bytes) => bytes,
        }
    }
}

/// What is known of a file before it comes.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What it is, in errors.
    pub what: &'static str,
    /// Its size.
    pub size: Size,
    /// Its SHA-256, as 64 hexadecimal digits in lower case. Without one the caller checks [`Filled::sha256`].
    pub sha256: Option<String>,
    /// Undoes a compression of the server's. Without it, the bytes are taken as they come.
    pub decode: Option<Decode>,
}

/// A file that is complete.
#[derive(Debug)]
pub struct Filled<T> {
    /// The file.
    pub target: T,
    /// Its SHA-256, as 64 hexadecimal digits in lower case.
    pub sha256: String,
}

/// Downloads a file. `told` hears how many bytes of it are here. Dropping the future gives up and leaves what has come.
///
/// # Errors
/// [`FetchError`] when no further try may help.
pub async fn fill<S: Source, T: Target>(
    source: &S,
    target: T,
    wanted: &Wanted,
    told: &(impl Fn(u64) + Sync),
) -> Result<Filled<T>, S::Error> {
    let context = Context { source, wanted };
    let taken_up = Growth::take_up(target, wanted.size.bytes_max(), wanted.sha256.is_some()).await;
    let mut growth = taken_up.map_err(|source| context.write(source))?;
    let mut tries = Tries::new(source.patience());
    let mut is_second_chance = false;
    loop {
        let before = growth.bytes;
        let (grown, ended) = grow(growth, &context, told).await?;
        growth = grown;
        let error = match ended {
            Ended::Whole { sha256 } => return Ok(Filled { target: growth.target, sha256 }),
            Ended::Wrong(_) if growth.decoding == Decoding::Done => {
                // Servers confuse a compression of their own with that of a file that is stored compressed.
                growth.decoding = Decoding::Off;
                growth.start_over().map_err(|source| context.write(source))?;
                continue;
            }
            // What was there before may have been wrong; the second time it is the server.
            Ended::Wrong(error) if is_second_chance || matches!(error, FetchError::TooLarge { .. }) => {
                growth.target.discard();
                return Err(error.into());
            }
            Ended::Wrong(error) => {
                is_second_chance = true;
                growth.start_over().map_err(|source| context.write(source))?;
                error.into()
            }
            Ended::Failed(error) => error,
        };
        tries.note_progress(growth.bytes.saturating_sub(before));
        tries.again(error).await?;
    }
}

/// What one try came to.
enum Ended<E> {
    Whole {
        sha256: String,
    },
    /// Something else came than what is wanted.
    Wrong(FetchError),
    Failed(E),
}

/// What is done with a compression of the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decoding {
    /// It is undone.
    On,
    /// It was undone in the latest try.
    Done,
    /// It is believed to be the file's own.
    Off,
}

struct Context<'a, S> {
    source: &'a S,
    wanted: &'a Wanted,
}

impl<S: Source> Context<'_, S> {
    fn server(&self) -> String {
        self.source.server().to_owned()
    }

    fn write(&self, source: io::Error) -> S::Error {
        FetchError::Write { server: self.server(), what: self.wanted.what, source }.into()
    }

    fn too_large(&self) -> FetchError {
        let bytes_max = self.wanted.size.bytes_max();
        FetchError::TooLarge { server: self.server(), what: self.wanted.what, bytes_max }
    }

    fn truncated(&self, wanted: u64, found: u64) -> S::Error {
        FetchError::Truncated { server: self.server(), what: self.wanted.what, wanted, found }.into()
    }

    /// Compares what is there with what is wanted.
    fn check<T: Target>(&self, growth: &Growth<T>) -> Ended<S::Error> {
        match self.wanted.size {
            Size::Exactly(bytes) if growth.bytes < bytes => {
                return Ended::Failed(self.truncated(bytes, growth.bytes));
            }
            Size::Exactly(bytes) | Size::AtMost(bytes) if growth.bytes > bytes => {
                return Ended::Wrong(self.too_large());
            }
            Size::Exactly(_) | Size::AtMost(_) => {}
        }
        let found = growth.sha256();
        match &self.wanted.sha256 {
            Some(wanted) if *wanted != found => {
                let (server, what, wanted) = (self.server(), self.wanted.what, wanted.clone());
                Ended::Wrong(FetchError::WrongDigest { server, what, wanted, found })
            }
            Some(_) | None => Ended::Whole { sha256: found },
        }
    }
}

/// A file that grows, with the digest of what is there.
struct Growth<T> {
    target: T,
    hasher: Sha256,
    bytes: u64,
    decoding: Decoding,
    /// What the bytes came from, where that must not change on the way because no digest tells.
    identity: Option<Identity>,
    is_digest_known: bool,
}

impl<T: Target> Growth<T> {
    /// Reads what an earlier download has left.
    async fn take_up(target: T, bytes_max: u64, is_digest_known: bool) -> io::Result<Self> {
        run_blocking(move |cancelled| {
            let (hasher, decoding) = (Sha256::new(), Decoding::On);
            let mut growth = Self { target, hasher, bytes: 0, decoding, identity: None, is_digest_known };
            if !is_digest_known || growth.target.file().metadata()?.len() > bytes_max {
                growth.start_over()?;
            }
            let mut buffer = vec![0; READ_BYTES];
            loop {
                let count = cancelled.reader(&*growth.target.file()).read(&mut buffer)?;
                if count == 0 {
                    return Ok(growth);
                }
                growth.hasher.update(buffer.get(..count).unwrap_or_default());
                growth.bytes += count as u64;
            }
        })
        .await
    }

    fn start_over(&mut self) -> io::Result<()> {
        let file = self.target.file();
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        (self.hasher, self.bytes, self.identity) = (Sha256::new(), 0, None);
        Ok(())
    }

    /// Tells whether what is there can be continued: without a digest, only if a tag says that the file is the same.
    fn can_continue(&self) -> bool {
        self.is_digest_known || self.identity.as_ref().is_some_and(|identity| identity.tag.is_some())
    }

    fn append_all(&mut self, mut chunks: ChunkReader) -> io::Result<()> {
        while let Some(bytes) = chunks.next()? {
            self.append(&bytes)?;
        }
        Ok(())
    }

    /// Appends what was decoded, and not much more than it may be. Damage ends it: then too little is here, or something
    /// else.
    fn append_decoded(&mut self, mut decoded: impl Read, bytes_max: u64) -> io::Result<()> {
        let mut buffer = vec![0; READ_BYTES];
        while self.bytes <= bytes_max {
            match decoded.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(count) => self.append(buffer.get(..count).unwrap_or_default())?,
            }
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let after = self.bytes + bytes.len() as u64;
        if self.bytes / ROOM_BYTES != after / ROOM_BYTES {
            self.target.make_room(ROOM_BYTES)?;
        }
        self.target.file().write_all(bytes)?;
        self.hasher.update(bytes);
        self.bytes = after;
        Ok(())
    }

    fn sha256(&self) -> String {
        hex(&self.hasher.clone().finalize())
    }
}

/// Fetches what is missing, in one try.
async fn grow<S: Source, T: Target>(
    mut growth: Growth<T>,
    context: &Context<'_, S>,
    told: &(impl Fn(u64) + Sync),
) -> Result<(Growth<T>, Ended<S::Error>), S::Error> {
    let wanted = context.wanted;
    if wanted.size == Size::Exactly(growth.bytes) && growth.bytes > 0 {
        let ended = context.check(&growth);
        return Ok((growth, ended));
    }
    if !growth.can_continue() {
        growth.start_over().map_err(|source| context.write(source))?;
    }
    let mut opened = match open_at(context.source, growth.bytes, growth.identity.as_ref()).await {
        Ok(opened) => opened,
        Err(error) => return Ok((growth, Ended::Failed(error))),
    };
    if opened.offset != growth.bytes {
        growth.start_over().map_err(|source| context.write(source))?;
        if opened.offset > 0 {
            // It starts in the middle, and not where it was asked to.
            return Ok((growth, Ended::Failed(context.truncated(wanted.size.bytes_max(), 0))));
        }
    }
    if opened.offset == 0 && !growth.is_digest_known {
        growth.identity = Some(opened.identity);
    }
    let is_decoded = growth.decoding != Decoding::Off && opened.encoding != Encoding::Identity;
    let decode = wanted.decode.filter(|_| is_decoded);
    if decode.is_some() {
        growth.decoding = Decoding::Done;
    }
    let (mut here, bytes_max, encoding) = (growth.bytes, wanted.size.bytes_max(), opened.encoding);
    let (sender, chunks) = chunks();
    // Writing waits for the disk, so it has a thread of its own; the network waits for it through the channel.
    let writing = run_blocking(move |_| {
        match decode {
            None => growth.append_all(chunks)?,
            Some(decode) => growth.append_decoded(decode(encoding, chunks), bytes_max)?,
        }
        Ok(growth)
    });
    let reading = async {
        let sender = sender;
        while let Some(bytes) = opened.body.next().await? {
            here += bytes.len() as u64;
            if here > bytes_max && decode.is_none() {
                return Err(context.too_large());
            }
            if sender.send(Ok(bytes)).await.is_err() {
                // The writer has an error or enough, and tells it.
                break;
            }
            told(here.min(bytes_max));
        }
        Ok(())
    };
    let (written, read) = tokio::join!(writing, reading);
    let growth = written.map_err(|source| context.write(source))?;
    let ended = match read {
        Ok(()) => context.check(&growth),
        Err(error @ FetchError::TooLarge { .. }) => Ended::Wrong(error),
        Err(error) => Ended::Failed(error.into()),
    };
    Ok((growth, ended))
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
