//! A fake agent that answers as the test decides.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a part of the tests")]

use std::pin::Pin;

use banger_guest::AgentClient;
use banger_guest::proto::agent_server::{Agent, AgentServer};
use banger_guest::proto::exec_reply::Reply;
use banger_guest::proto::exec_request::Request as Input;
use banger_guest::proto::{
    ExecReply, ExecRequest, FollowCommandReply, FollowCommandRequest, HealthReply, HealthRequest, HelloReply,
    HelloRequest, IdentifyReply, IdentifyRequest, ListenersReply, ListenersRequest, ReadTreeReply,
    ReadTreeRequest, Readiness, SetClockReply, SetClockRequest, ShutdownReply, ShutdownRequest, StatsReply,
    StatsRequest, WaitPortReply, WaitPortRequest, WaitReadyReply, WaitReadyRequest, WriteTreeReply,
    WriteTreeRequest,
};
use futures::Stream;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

pub(crate) struct FakeAgent {
    pub(crate) versions: Vec<u32>,
    /// The reported figures; absent: it does not know the request.
    pub(crate) stats: Option<StatsReply>,
    calls: mpsc::Sender<ExecCall>,
}

impl Default for FakeAgent {
    fn default() -> Self {
        Self::with_exec().0
    }
}

impl FakeAgent {
    pub(crate) fn with_exec() -> (Self, mpsc::Receiver<ExecCall>) {
        let (calls, receiver) = mpsc::channel(4);
        (Self { versions: vec![1], stats: None, calls }, receiver)
    }

    pub(crate) async fn serve(self) -> AgentClient {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        self.serve_on(theirs);
        AgentClient::connect(ours).await.unwrap()
    }

    pub(crate) fn serve_on(self, stream: tokio::io::DuplexStream) {
        tokio::spawn(async move {
            let service = TowerToHyperService::new(AgentServer::new(self));
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// One call of exec, answered by the test.
pub(crate) struct ExecCall {
    input: Streaming<ExecRequest>,
    replies: mpsc::Sender<Result<ExecReply, Status>>,
}

impl ExecCall {
    pub(crate) async fn next(&mut self) -> Option<Input> {
        self.input.next().await?.ok()?.request
    }

    pub(crate) async fn reply(&self, reply: Reply) {
        self.replies.send(Ok(ExecReply { reply: Some(reply) })).await.unwrap();
    }

    pub(crate) async fn gone(&self) {
        self.replies.closed().await;
    }
}

#[tonic::async_trait]
impl Agent for FakeAgent {
    type ExecStream = Pin<Box<dyn Stream<Item = Result<ExecReply, Status>> + Send>>;

    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let common = request.into_inner().protocol_versions.into_iter().find(|v| self.versions.contains(v));
        Ok(Response::new(HelloReply {
            protocol_version: common.unwrap_or(0),
            supported_versions: self.versions.clone(),
            agent_version: "9.9.9".into(),
            ..HelloReply::default()
        }))
    }

    async fn identify(&self, _request: Request<IdentifyRequest>) -> Result<Response<IdentifyReply>, Status> {
        Err(Status::invalid_argument("the host name is empty"))
    }

    async fn health(&self, _request: Request<HealthRequest>) -> Result<Response<HealthReply>, Status> {
        Ok(Response::new(HealthReply { readiness: Readiness::Agent.into(), ..HealthReply::default() }))
    }

    async fn wait_ready(
        &self,
        request: Request<WaitReadyRequest>,
    ) -> Result<Response<WaitReadyReply>, Status> {
        let readiness = request.into_inner().boundary;
        Ok(Response::new(WaitReadyReply { readiness, ..WaitReadyReply::default() }))
    }

    /// Only the ssh port has a listener.
    async fn wait_port(&self, request: Request<WaitPortRequest>) -> Result<Response<WaitPortReply>, Status> {
        match request.into_inner().port {
            22 => Ok(Response::new(WaitPortReply {})),
            _ => std::future::pending().await,
        }
    }

    async fn exec(
        &self,
        request: Request<Streaming<ExecRequest>>,
    ) -> Result<Response<Self::ExecStream>, Status> {
        let (replies, receiver) = mpsc::channel(4);
        let call = ExecCall { input: request.into_inner(), replies };
        self.calls.send(call).await.map_err(|_call| Status::internal("nobody plays"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    type FollowCommandStream = Pin<Box<dyn Stream<Item = Result<FollowCommandReply, Status>> + Send>>;

    async fn follow_command(
        &self,
        _request: Request<FollowCommandRequest>,
    ) -> Result<Response<Self::FollowCommandStream>, Status> {
        Err(Status::unimplemented("an older agent"))
    }

    async fn shutdown(&self, _request: Request<ShutdownRequest>) -> Result<Response<ShutdownReply>, Status> {
        Ok(Response::new(ShutdownReply {}))
    }

    async fn set_clock(&self, request: Request<SetClockRequest>) -> Result<Response<SetClockReply>, Status> {
        let nanos = request.into_inner().clock_unix_nanos;
        Ok(Response::new(SetClockReply { moved_nanos: nanos.try_into().unwrap() }))
    }

    async fn listeners(
        &self,
        _request: Request<ListenersRequest>,
    ) -> Result<Response<ListenersReply>, Status> {
        Err(Status::unimplemented("listeners"))
    }

    async fn stats(&self, _request: Request<StatsRequest>) -> Result<Response<StatsReply>, Status> {
        self.stats.clone().map(Response::new).ok_or_else(|| Status::unimplemented("stats"))
    }

    type ReadTreeStream = Pin<Box<dyn Stream<Item = Result<ReadTreeReply, Status>> + Send>>;

    async fn read_tree(
        &self,
        _request: Request<ReadTreeRequest>,
    ) -> Result<Response<Self::ReadTreeStream>, Status> {
        Err(Status::unimplemented("read_tree"))
    }

    async fn write_tree(
        &self,
        _request: Request<Streaming<WriteTreeRequest>>,
    ) -> Result<Response<WriteTreeReply>, Status> {
        Err(Status::unimplemented("write_tree"))
    }
}
