//! An agent in a guest: the test plays each command.

use std::path::Path;
use std::pin::Pin;

use banger_agent_proto::agent_server::{Agent, AgentServer};
use banger_agent_proto::exec_reply::Reply;
use banger_agent_proto::exec_request::Request as Input;
use banger_agent_proto::{
    ExecExited, ExecReply, ExecRequest, ExecStart, ExecStarted, FollowCommandReply, FollowCommandRequest,
    HealthReply, HealthRequest, HelloReply, HelloRequest, IdentifyReply, IdentifyRequest, ListenersReply,
    ListenersRequest, ReadTreeReply, ReadTreeRequest, SetClockReply, SetClockRequest, ShutdownReply,
    ShutdownRequest, StatsReply, StatsRequest, TreeItem, WaitPortReply, WaitPortRequest, WaitReadyReply,
    WaitReadyRequest, WriteTreeReply, WriteTreeRequest, exec_exited,
};
use bytes::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

/// Serves the agent's protocol on one stream; commands go to the test.
pub(crate) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    calls: mpsc::Sender<ExecCall>,
    character: Character,
) {
    let service = TowerToHyperService::new(AgentServer::new(Played { calls, character }));
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Connects a stream to the control port of the real agent, in a guest whose root is this directory.
pub(crate) async fn serve_real(mut stream: impl AsyncRead + AsyncWrite + Unpin, root: &Path) {
    let (mut host, guest) = tokio::io::duplex(64 * 1024);
    tokio::spawn(banger_agent::channel::greet(guest, banger_agent::test_guest::ports(root).unwrap()));
    host.write_all(b"CONNECT 1024\n").await.unwrap();
    while host.read_u8().await.unwrap() != b'\n' {}
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut host).await;
}

/// What an agent says beside the commands that the test plays.
#[derive(Clone, Default)]
pub(crate) struct Character {
    pub(crate) has_ssh_server: Option<bool>,
    /// Its answer to every question for a tree.
    pub(crate) tree: Option<Result<Vec<TreeItem>, String>>,
    /// It speaks no version of ours, and says so with this one of its own.
    pub(crate) strange_version: Option<String>,
    /// Its answer to who wants a stream, without the end of the line.
    pub(crate) stream_answer: Option<String>,
}

/// One command, played by the test.
pub(crate) struct ExecCall {
    pub(crate) start: ExecStart,
    input: Streaming<ExecRequest>,
    replies: mpsc::Sender<Result<ExecReply, Status>>,
}

impl ExecCall {
    /// The command's arguments as text.
    pub(crate) fn argv(&self) -> Vec<&str> {
        self.start.argv.iter().map(|word| std::str::from_utf8(word).unwrap()).collect()
    }

    /// What comes from the program next.
    pub(crate) async fn next(&mut self) -> Option<Input> {
        self.input.next().await?.ok()?.request
    }

    /// Everything that comes on stdin, up to its end.
    pub(crate) async fn stdin(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            match self.next().await {
                Some(Input::Stdin(bytes)) => all.extend_from_slice(&bytes),
                Some(Input::StdinEnd(_)) => return all,
                Some(_) => {}
                None => panic!("the session ended"),
            }
        }
    }

    /// The next signal.
    pub(crate) async fn signal(&mut self) -> u32 {
        loop {
            match self.next().await {
                Some(Input::Signal(number)) => return number,
                Some(_) => {}
                None => panic!("the session ended"),
            }
        }
    }

    pub(crate) async fn reply(&self, reply: Reply) {
        self.try_reply(reply).await.unwrap();
    }

    /// Fails when the session is over.
    pub(crate) async fn try_reply(&self, reply: Reply) -> Result<(), ()> {
        self.replies.send(Ok(ExecReply { reply: Some(reply) })).await.map_err(|_sent| ())
    }

    pub(crate) async fn started(&self) {
        self.reply(Reply::Started(ExecStarted { pid: 42 })).await;
    }

    /// Starts it, and waits until the program has seen that.
    pub(crate) async fn come_up(&self, child: &mut tokio::process::Child) {
        self.started().await;
        self.stdout("!").await;
        let byte = child.stdout.as_mut().unwrap().read_u8().await;
        assert_eq!(byte.unwrap(), b'!');
    }

    pub(crate) async fn stdout(&self, text: &str) {
        self.reply(Reply::Stdout(Bytes::copy_from_slice(text.as_bytes()))).await;
    }

    pub(crate) async fn stderr(&self, text: &str) {
        self.reply(Reply::Stderr(Bytes::copy_from_slice(text.as_bytes()))).await;
    }

    pub(crate) async fn exited(&self, code: u32) {
        self.reply(Reply::Exited(ExecExited {
            outcome: Some(exec_exited::Outcome::Code(code)),
            note: String::new(),
        }))
        .await;
    }

    pub(crate) async fn killed(&self, signal: u32) {
        self.reply(Reply::Exited(ExecExited {
            outcome: Some(exec_exited::Outcome::Signal(signal)),
            note: String::new(),
        }))
        .await;
    }

    /// Waits until the program has given the session up.
    pub(crate) async fn gone(&self) {
        self.replies.closed().await;
    }
}

struct Played {
    calls: mpsc::Sender<ExecCall>,
    character: Character,
}

#[tonic::async_trait]
impl Agent for Played {
    type ExecStream = Pin<Box<dyn Stream<Item = Result<ExecReply, Status>> + Send>>;

    async fn hello(&self, _request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let has_ssh_server = self.character.has_ssh_server;
        if let Some(version) = &self.character.strange_version {
            let reply = HelloReply { agent_version: version.clone(), ..HelloReply::default() };
            return Ok(Response::new(reply));
        }
        Ok(Response::new(HelloReply { protocol_version: 1, has_ssh_server, ..HelloReply::default() }))
    }

    async fn identify(&self, _request: Request<IdentifyRequest>) -> Result<Response<IdentifyReply>, Status> {
        Err(Status::unimplemented("identify"))
    }

    async fn health(&self, _request: Request<HealthRequest>) -> Result<Response<HealthReply>, Status> {
        Err(Status::unimplemented("health"))
    }

    async fn wait_port(&self, _request: Request<WaitPortRequest>) -> Result<Response<WaitPortReply>, Status> {
        Err(Status::unimplemented("wait_port"))
    }

    async fn wait_ready(
        &self,
        _request: Request<WaitReadyRequest>,
    ) -> Result<Response<WaitReadyReply>, Status> {
        Err(Status::unimplemented("wait_ready"))
    }

    async fn exec(
        &self,
        request: Request<Streaming<ExecRequest>>,
    ) -> Result<Response<Self::ExecStream>, Status> {
        let mut input = request.into_inner();
        let first = input.message().await?.and_then(|message| message.request);
        let Some(Input::Start(start)) = first else { return Err(Status::invalid_argument("no start")) };
        let (replies, receiver) = mpsc::channel(4);
        self.calls
            .send(ExecCall { start, input, replies })
            .await
            .map_err(|_call| Status::internal("nobody plays"))?;
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
        Err(Status::unimplemented("shutdown"))
    }

    async fn set_clock(&self, _request: Request<SetClockRequest>) -> Result<Response<SetClockReply>, Status> {
        Err(Status::unimplemented("set_clock"))
    }

    async fn listeners(
        &self,
        _request: Request<ListenersRequest>,
    ) -> Result<Response<ListenersReply>, Status> {
        Err(Status::unimplemented("listeners"))
    }

    async fn stats(&self, _request: Request<StatsRequest>) -> Result<Response<StatsReply>, Status> {
        Err(Status::unimplemented("stats"))
    }

    type ReadTreeStream = Pin<Box<dyn Stream<Item = Result<ReadTreeReply, Status>> + Send>>;

    async fn read_tree(
        &self,
        _request: Request<ReadTreeRequest>,
    ) -> Result<Response<Self::ReadTreeStream>, Status> {
        let refuse = || Status::unimplemented("read_tree");
        let tree = self.character.tree.clone().ok_or_else(refuse)?;
        let items = tree.map_err(Status::failed_precondition)?;
        Ok(Response::new(Box::pin(tokio_stream::iter([Ok(ReadTreeReply { items })]))))
    }

    async fn write_tree(
        &self,
        _request: Request<Streaming<WriteTreeRequest>>,
    ) -> Result<Response<WriteTreeReply>, Status> {
        match self.character.tree.clone() {
            Some(Err(refusal)) => Err(Status::failed_precondition(refusal)),
            Some(Ok(_)) | None => Err(Status::unimplemented("write_tree")),
        }
    }
}
