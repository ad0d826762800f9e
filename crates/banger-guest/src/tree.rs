//! Files and directories of a guest. Only the requested entry can come out of a guest: a [`TreeSource`] knows the request
//! that it answers. A transfer has no minimum speed, but it fails if the guest neither sends nor accepts anything for a
//! while. If the guest is not answering at all (stopped, or its host is busy), the transfer waits: it lives as long as the
//! machine.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use banger_agent_proto::{ReadTreeReply, ReadTreeRequest, WriteTreeReply, WriteTreeRequest, WriteTreeStart};
use banger_tree::{Arrival, Item, Top, Tops, to_wire};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::{AgentClient, AgentError};

/// Maximum number of queued messages to the guest; each holds a chunk.
const QUEUE_MAX: usize = 4;

/// Longest message of a tree: a batch with one chunk and as many long names as fit into it.
const MESSAGE_BYTES_MAX: usize = 512 * 1024;
/// The directory in which a relative path usually begins; it names the entry for an empty path.
const HOME_OF_ROOT: &str = "/root";

/// A tree that arrives from a guest.
#[derive(Debug)]
pub struct TreeSource {
    replies: Streaming<ReadTreeReply>,
    arrival: Arrival,
    silence: Duration,
}

impl TreeSource {
    /// Returns the next items, without [`Item::End`]; `None` when the tree is complete. After [`AgentError::Stalled`] it can
    /// be called again, and nothing is lost.
    ///
    /// # Errors
    /// [`AgentError`]: [`AgentError::NotAsked`] if it is not the requested tree, [`AgentError::TreeCutOff`] if its end is
    /// missing.
    pub async fn next(&mut self) -> Result<Option<Vec<Item>>, AgentError> {
        if self.arrival.is_whole() {
            return Ok(None);
        }
        // A message without an item does not count as progress.
        let deadline = Instant::now() + self.silence;
        loop {
            let silent = |_elapsed| AgentError::Stalled { silence: self.silence };
            let message = tokio::time::timeout_at(deadline, self.replies.message()).await.map_err(silent)?;
            let message = message.map_err(|status| AgentError::from_status("read_tree", None, status))?;
            let Some(reply) = message else { return Err(AgentError::TreeCutOff) };
            if reply.items.is_empty() {
                continue;
            }
            let items: Result<Vec<_>, _> =
                reply.items.into_iter().map(|item| self.arrival.take(item)).collect();
            let mut items = items.map_err(|source| AgentError::NotAsked { source })?;
            items.pop_if(|item| *item == Item::End);
            return Ok(Some(items));
        }
    }
}

impl AgentClient {
    /// Starts to read a tree. `silence` is how long the guest may send nothing.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn read_tree(
        &self,
        request: ReadTreeRequest,
        silence: Duration,
    ) -> Result<TreeSource, AgentError> {
        let path = Path::new(HOME_OF_ROOT).join(std::ffi::OsStr::from_bytes(&request.path));
        let asked = Top::of(&path, request.follow_link)
            .map_err(|source| AgentError::BadPath { path: path.clone(), source })?;
        let mut grpc = self.grpc.clone().max_decoding_message_size(MESSAGE_BYTES_MAX);
        let replies = crate::client::within("read_tree", silence, grpc.read_tree(request)).await?;
        Ok(TreeSource { replies, arrival: Arrival::new(Tops::Only(asked)), silence })
    }

    /// Writes a tree up to the end of `batches`; the last item must be [`Item::End`]. `silence` is how long the guest may
    /// accept nothing, unless `is_away` reports that it is not answering.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn write_tree(
        &self,
        start: WriteTreeStart,
        mut batches: mpsc::Receiver<Vec<Item>>,
        silence: Duration,
        is_away: impl AsyncFn() -> bool,
    ) -> Result<WriteTreeReply, AgentError> {
        let (sender, requests) = mpsc::channel(QUEUE_MAX);
        let mut grpc = self.grpc.clone();
        let stalled = async || {
            tokio::time::sleep(silence).await;
            while is_away().await {
                tokio::time::sleep(silence).await;
            }
        };
        let answer = grpc.write_tree(ReceiverStream::new(requests));
        let feed = async {
            let mut request = WriteTreeRequest { start: Some(start), items: Vec::new() };
            loop {
                let sent = tokio::select! {
                    sent = sender.send(request) => sent,
                    () = stalled() => return AgentError::Stalled { silence },
                };
                // The guest accepts no more, so its answer follows.
                if sent.is_err() {
                    break;
                }
                let Some(batch) = batches.recv().await else { break };
                request = WriteTreeRequest { start: None, items: batch.into_iter().map(to_wire).collect() };
            }
            drop(sender);
            stalled().await;
            AgentError::Stalled { silence }
        };
        tokio::select! {
            answer = answer => match answer {
                Ok(reply) => Ok(reply.into_inner()),
                Err(status) => Err(AgentError::from_status("write_tree", None, status)),
            },
            stalled = feed => Err(stalled),
        }
    }
}
