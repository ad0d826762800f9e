//! Files and directories of a guest. What comes out of one is the entry that was asked for and nothing else: a
//! [`TreeSource`] knows the request that it answers. A guest that neither gives nor takes anything for a while is given
//! up: how fast a transfer has to be cannot be said, that it goes on can. One that is away altogether (stopped, or its
//! host is busy) is waited for: the transfer lives as long as the machine.

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

/// Messages to the guest that may wait: each holds a chunk.
const QUEUE_MAX: usize = 4;

/// Longest message of a tree: a batch of a chunk and of as many long names as it has room for.
const MESSAGE_BYTES_MAX: usize = 512 * 1024;
/// Where a relative path begins as a rule; it names the entry that an empty path asks for.
const HOME_OF_ROOT: &str = "/root";

/// A tree that comes from a guest.
#[derive(Debug)]
pub struct TreeSource {
    replies: Streaming<ReadTreeReply>,
    arrival: Arrival,
    silence: Duration,
}

impl TreeSource {
    /// Returns the next items, without [`Item::End`]; `None` when the tree is whole. After [`AgentError::Stalled`] it can
    /// be asked again, and nothing is lost.
    ///
    /// # Errors
    /// [`AgentError`]: [`AgentError::NotAsked`] when it is not the tree that was asked for, [`AgentError::TreeCutOff`]
    /// when its end never came.
    pub async fn next(&mut self) -> Result<Option<Vec<Item>>, AgentError> {
        if self.arrival.is_whole() {
            return Ok(None);
        }
        // A message without an item is no sign that it goes on.
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
    /// Starts to read a tree. `silence` is how long the guest may give nothing.
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

    /// Writes a tree up to the end of `batches`; the last item must be [`Item::End`]. `silence` is how long the guest
    /// may take nothing, unless `is_away` says that it is away.
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
                // It takes no more: its answer comes.
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
