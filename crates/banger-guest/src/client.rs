//! The agent's client: one method per call of the protocol, each with a deadline.

use std::time::Duration;

use banger_agent_proto::agent_client::AgentClient as Generated;
use banger_agent_proto::{
    ExecStart, HealthReply, HealthRequest, HelloReply, HelloRequest, IdentifyReply, IdentifyRequest,
    Listener, ListenersRequest, PROTOCOL_VERSION, Readiness, SetClockRequest, ShutdownRequest, StatsReply,
    StatsRequest, WaitPortRequest, WaitReadyReply, WaitReadyRequest,
};
use hyper::Uri;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::{Response, Status};

use crate::AgentError;
use crate::connection::Connection;
use crate::exec::ExecSession;
use crate::words::{SENTENCES_MAX, sentence, sentences};

/// Longest answer to a single request. A guest is untrusted, and its answers are held in memory whole.
pub(crate) const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Longest message of a stream. Agents send at most a quarter of it.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// A connection to the agent of one guest. Clones share it.
#[derive(Clone, Debug)]
pub struct AgentClient {
    /// Accepts short answers only.
    pub(crate) grpc: Generated<Connection>,
}

impl AgentClient {
    /// Makes a client on a stream that is connected to the agent's control port.
    ///
    /// # Errors
    /// [`AgentError::Handshake`].
    pub async fn connect(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Self, AgentError> {
        let connection = Connection::open(stream).await?;
        let grpc = Generated::with_origin(connection, Uri::from_static("http://guest"));
        Ok(Self { grpc: grpc.max_decoding_message_size(ANSWER_BYTES_MAX) })
    }

    /// Returns a client for calls that answer with a stream.
    pub(crate) fn streaming(&self) -> Generated<Connection> {
        self.grpc.clone().max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Exchanges versions with the agent. This is the first call on every connection.
    ///
    /// # Errors
    /// [`AgentError::VersionMismatch`] if the two have no version in common.
    pub async fn hello(&self, host_version: &str, deadline: Duration) -> Result<HelloReply, AgentError> {
        self.hello_for(host_version, HelloRequest::default(), deadline).await
    }

    /// Exchanges versions as [`AgentClient::hello`] does, and also asks which environment a session with this terminal and
    /// locale should have.
    ///
    /// # Errors
    /// [`AgentError::VersionMismatch`] if the two have no version in common.
    pub async fn hello_for(
        &self,
        host_version: &str,
        request: HelloRequest,
        deadline: Duration,
    ) -> Result<HelloReply, AgentError> {
        let ours = vec![PROTOCOL_VERSION];
        let protocol_versions = ours.clone();
        let request = HelloRequest { protocol_versions, host_version: host_version.to_owned(), ..request };
        let mut grpc = self.grpc.clone();
        let reply = within("hello", deadline, grpc.hello(request)).await?;
        if !ours.contains(&reply.protocol_version) {
            return Err(AgentError::VersionMismatch {
                host_version: host_version.to_owned(),
                ours,
                agent_version: sentence(reply.agent_version),
                theirs: reply.supported_versions.into_iter().take(SENTENCES_MAX).collect(),
            });
        }
        Ok(reply)
    }

    /// Tells the guest which VM it is. Idempotent.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn identify(
        &self,
        identity: IdentifyRequest,
        deadline: Duration,
    ) -> Result<IdentifyReply, AgentError> {
        let mut reply = within("identify", deadline, self.grpc.clone().identify(identity)).await?;
        reply.warnings = sentences(reply.warnings);
        Ok(reply)
    }

    /// Asks how far the guest's start has come.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn health(&self, deadline: Duration) -> Result<HealthReply, AgentError> {
        let mut reply = within("health", deadline, self.grpc.clone().health(HealthRequest {})).await?;
        reply.system_state = sentence(reply.system_state);
        Ok(reply)
    }

    /// Waits until the guest has reached a readiness boundary.
    ///
    /// # Errors
    /// [`AgentError::Silent`] if the guest has not reached it within the deadline.
    pub async fn wait_ready(
        &self,
        boundary: Readiness,
        deadline: Duration,
    ) -> Result<WaitReadyReply, AgentError> {
        let request = WaitReadyRequest { boundary: boundary.into() };
        let mut reply = within("wait_ready", deadline, self.grpc.clone().wait_ready(request)).await?;
        reply.system_state = sentence(reply.system_state);
        Ok(reply)
    }

    /// Waits until a process in the guest listens on a TCP port.
    ///
    /// # Errors
    /// [`AgentError::Silent`] if no process listens within the deadline.
    pub async fn wait_port(&self, port: u16, deadline: Duration) -> Result<(), AgentError> {
        let request = WaitPortRequest { port: port.into() };
        within("wait_port", deadline, self.grpc.clone().wait_port(request)).await.map(drop)
    }

    /// Sets the guest's wall clock; returns how many nanoseconds it was moved forward.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn set_clock(&self, unix_nanos: u64, deadline: Duration) -> Result<i64, AgentError> {
        let request = SetClockRequest { clock_unix_nanos: unix_nanos };
        let reply = within("set_clock", deadline, self.grpc.clone().set_clock(request)).await?;
        Ok(reply.moved_nanos)
    }

    /// Asks the guest to power off or to reboot; its init has `grace` to stop its services.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn shutdown(
        &self,
        reboot: bool,
        grace: Duration,
        deadline: Duration,
    ) -> Result<(), AgentError> {
        let grace_millis = u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
        let request = ShutdownRequest { reboot, grace_millis };
        within("shutdown", deadline, self.grpc.clone().shutdown(request)).await?;
        Ok(())
    }

    /// Asks for the listening sockets in the guest.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn listeners(&self, deadline: Duration) -> Result<Vec<Listener>, AgentError> {
        let reply = within("listeners", deadline, self.grpc.clone().listeners(ListenersRequest {})).await?;
        Ok(reply.listeners)
    }

    /// Asks for the guest's resource usage.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn stats(&self, deadline: Duration) -> Result<StatsReply, AgentError> {
        within("stats", deadline, self.grpc.clone().stats(StatsRequest {})).await
    }

    /// Starts a command. The deadline applies to the start, that is to the guest's first message about it.
    ///
    /// # Errors
    /// [`AgentError`]; a command that cannot be started gives [`ExecEvent::Failed`](crate::ExecEvent::Failed) instead.
    pub async fn exec(&self, start: ExecStart, deadline: Duration) -> Result<ExecSession, AgentError> {
        let opened = ExecSession::open(self.streaming(), start);
        tokio::time::timeout(deadline, opened)
            .await
            .map_err(|_elapsed| AgentError::Silent { call: "exec", deadline })?
    }
}

pub(crate) async fn within<T>(
    call: &'static str,
    deadline: Duration,
    answer: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, AgentError> {
    match tokio::time::timeout(deadline, answer).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(AgentError::from_status(call, Some(deadline), status)),
        Err(_elapsed) => Err(AgentError::Silent { call, deadline }),
    }
}
