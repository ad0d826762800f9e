//! Files and directories to and from the host. `banger-tree` reads and writes them; this module runs it on threads, because
//! disk access blocks, and connects it to the calls with bounded queues.
//!
//! ```text
//! ReadTree:  disk ─▶ TreeReader ─ thread ─▶ queue ─▶ replies
//! WriteTree: requests ─▶ queue ─ thread ─▶ TreeWriter ─▶ disk
//! ```
//! If the host goes away, the queue ends, and with it the thread; an incomplete file is removed.

use std::path::{Path, PathBuf};

use banger_agent_proto::{
    ReadTreeReply, ReadTreeRequest, TreeItem, WriteTreeReply, WriteTreeRequest, WriteTreeStart,
};
use banger_tree::{
    Arrival, ArrivalError, Item, Owners, Summary, Tops, TreeReader, TreeWriter, WriteError, WriterOptions,
};
use futures::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tonic::Status;

use crate::console::chain;

/// Maximum number of messages that wait for the host or for the disk; each holds a chunk.
const QUEUE_MAX: usize = 4;

/// A tree could not be written.
#[derive(Debug, thiserror::Error)]
enum TakeError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Arrival(#[from] ArrivalError),
}

/// Starts to read the requested entry. Relative paths begin at `home`.
pub(crate) async fn read(
    home: &Path,
    request: ReadTreeRequest,
) -> Result<mpsc::Receiver<Result<ReadTreeReply, Status>>, Status> {
    let path = below(home, &request.path);
    let opened = beside(move || TreeReader::open(&path, request.follow_link)).await?;
    let reader = opened.map_err(|error| Status::failed_precondition(chain(&error)))?;
    let (sender, replies) = mpsc::channel(QUEUE_MAX);
    tokio::task::spawn_blocking(move || {
        for batch in banger_tree::batches(reader.chain([Item::End])) {
            let items = batch.into_iter().map(banger_tree::to_wire).collect();
            if sender.blocking_send(Ok(ReadTreeReply { items })).is_err() {
                return;
            }
        }
    });
    Ok(replies)
}

/// Writes the items that arrive. Relative paths begin at `home`.
pub(crate) async fn write(
    home: &Path,
    mut requests: impl Stream<Item = Result<WriteTreeRequest, Status>> + Unpin,
) -> Result<WriteTreeReply, Status> {
    let first = requests.next().await.transpose()?.unwrap_or_default();
    let Some(start) = first.start else {
        return Err(Status::invalid_argument("the first message must have `start`"));
    };
    let destination = below(home, &start.destination);
    let (sender, batches) = mpsc::channel(QUEUE_MAX);
    let written = tokio::task::spawn_blocking(move || take_all(&destination, &start, batches));
    let mut items = first.items;
    while sender.send(items).await.is_ok() {
        // A writer that has failed accepts no more, and its error is the answer, even if the host sends nothing more.
        let request = tokio::select! {
            request = requests.next() => request,
            () = sender.closed() => break,
        };
        match request {
            Some(Ok(request)) => items = request.items,
            Some(Err(_)) | None => break,
        }
    }
    drop(sender);
    let written = written.await.map_err(|error| Status::internal(error.to_string()))?;
    match written {
        Ok(Summary { files, bytes }) => Ok(WriteTreeReply { files, bytes }),
        Err(error) => Err(Status::failed_precondition(chain(&error))),
    }
}

fn below(home: &Path, path: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    home.join(std::ffi::OsStr::from_bytes(path))
}

fn take_all(
    destination: &Path,
    start: &WriteTreeStart,
    mut batches: mpsc::Receiver<Vec<TreeItem>>,
) -> Result<Summary, TakeError> {
    let owners = if start.keep_owners { Owners::Kept { special_bits: true } } else { Owners::Ours };
    let options = WriterOptions { into_directory: start.into_directory, owners };
    let mut writer = TreeWriter::open(destination, options)?;
    // The host may write anywhere here; it can do so with `exec` as well.
    let mut arrival = Arrival::new(Tops::OfSender);
    while let Some(batch) = batches.blocking_recv() {
        for item in batch {
            writer.take(arrival.take(item)?)?;
        }
    }
    Ok(writer.finish()?)
}

async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Status> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Status::internal(error.to_string()))
}
