//! The host's own files, on threads: a disk makes us wait.

use std::sync::Mutex;
use std::time::Duration;

use banger_tree::{Item, TreeReader, TreeWriter, batches};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::oneshot;

use super::error::CopyError;

/// How long a thread may take to put things right when it is not wanted any more.
const END_DEADLINE: Duration = Duration::from_secs(5);

/// Threads at work, so that who gives up can wait for their end: a file that is not whole is removed by then.
#[derive(Debug, Default)]
pub struct Work(Mutex<Vec<oneshot::Receiver<()>>>);

impl Work {
    /// Does it on a thread.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, CopyError> + Send + 'static,
    ) -> Result<T, CopyError> {
        let (ended, end) = oneshot::channel();
        if let Ok(mut threads) = self.0.lock() {
            threads.push(end);
        }
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            // Told by being dropped, whatever happens.
            drop(ended);
            done
        });
        done.await.unwrap_or_else(|error| Err(CopyError::Worker(error)))
    }

    /// Waits for the end of all threads, whose queues are gone.
    pub async fn abandoned(&self) {
        let threads = self.0.lock().map(|mut threads| std::mem::take(&mut *threads)).unwrap_or_default();
        let ends = futures::future::join_all(threads);
        // One that a slow disk holds up is left behind.
        let _ = tokio::time::timeout(END_DEADLINE, ends).await;
    }
}

/// Reads the trees, one after the other.
pub(super) async fn read(
    work: &Work,
    readers: Vec<TreeReader>,
    sender: Sender<Vec<Item>>,
) -> Result<(), CopyError> {
    work.run(move || {
        for batch in batches(readers.into_iter().flatten().chain([Item::End])) {
            // A sink that is gone tells why.
            if sender.blocking_send(batch).is_err() {
                break;
            }
        }
        Ok(())
    })
    .await
}

/// Writes the tree.
pub(super) async fn write(
    work: &Work,
    mut writer: TreeWriter,
    mut receiver: Receiver<Vec<Item>>,
) -> Result<(), CopyError> {
    work.run(move || {
        while let Some(batch) = receiver.blocking_recv() {
            for item in batch {
                writer.take(item)?;
            }
        }
        writer.finish()?;
        Ok(())
    })
    .await
}
