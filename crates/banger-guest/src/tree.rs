//! Files and directories of a guest. A guest that neither gives nor takes anything for a while is given up: how fast a
//! transfer has to be cannot be said, that it goes on can.

use std::time::Duration;

use banger_agent_proto::{ReadTreeReply, ReadTreeRequest, WriteTreeReply, WriteTreeRequest, WriteTreeStart};
use banger_tree::{Item, from_wire, to_wire};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::{AgentClient, AgentError};

/// Messages to the guest that may wait: each holds a chunk.
const QUEUE_MAX: usize = 4;

/// A tree that comes from a guest.
#[derive(Debug)]
pub struct TreeSource {
    replies: Streaming<ReadTreeReply>,
    silence: Duration,
}

impl TreeSource {
    /// Returns the next items; `None` when nothing more comes. Only a stream that had [`Item::End`] is whole.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn next(&mut self) -> Result<Option<Vec<Item>>, AgentError> {
        let silent = |_elapsed| AgentError::Stalled { silence: self.silence };
        let message = tokio::time::timeout(self.silence, self.replies.message()).await.map_err(silent)?;
        let Some(reply) = message.map_err(|status| AgentError::from_status("read_tree", None, status))?
        else {
            return Ok(None);
        };
        let items: Result<_, _> = reply.items.into_iter().map(from_wire).collect();
        items.map(Some).map_err(|source| AgentError::BadItem { source })
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
        let mut grpc = self.grpc.clone();
        let replies = crate::client::within("read_tree", silence, grpc.read_tree(request)).await?;
        Ok(TreeSource { replies, silence })
    }

    /// Writes a tree up to the end of `batches`; the last item must be [`Item::End`]. `silence` is how long the guest
    /// may take nothing.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn write_tree(
        &self,
        start: WriteTreeStart,
        mut batches: mpsc::Receiver<Vec<Item>>,
        silence: Duration,
    ) -> Result<WriteTreeReply, AgentError> {
        let (sender, requests) = mpsc::channel(QUEUE_MAX);
        let mut grpc = self.grpc.clone();
        let answer = grpc.write_tree(ReceiverStream::new(requests));
        let feed = async {
            let mut request = WriteTreeRequest { start: Some(start), items: Vec::new() };
            loop {
                match tokio::time::timeout(silence, sender.send(request)).await {
                    Ok(Ok(())) => {}
                    // It takes no more: its answer comes.
                    Ok(Err(_unsent)) => break,
                    Err(_elapsed) => return AgentError::Stalled { silence },
                }
                let Some(batch) = batches.recv().await else { break };
                request = WriteTreeRequest { start: None, items: batch.into_iter().map(to_wire).collect() };
            }
            drop(sender);
            tokio::time::sleep(silence).await;
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
