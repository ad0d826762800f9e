//! A guest in this process, and the host's side of its channel.

use std::{pin::Pin, sync::LazyLock, task, time::Duration};

use banger_agent::{
    channel::{Ports, greet},
    test_guest,
};
use banger_agent_proto::{
    ExecReply, ExecRequest, ExecStart, agent_client::AgentClient, exec_reply::Reply, exec_request::Request,
};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream},
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, body::Body};

/// A test that waits longer than this fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

static ROOT: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

pub type Client = AgentClient<Connection>;

/// The ports of a guest; all tests except those of the identity share one root.
pub fn ports() -> Ports {
    test_guest::ports(ROOT.path()).unwrap()
}

/// Opens a port and reads the answer.
pub async fn open(ports: &Ports, port: u32) -> DuplexStream {
    let (mut host, guest) = tokio::io::duplex(64 * 1024);
    tokio::spawn(greet(guest, ports.clone()));
    host.write_all(format!("CONNECT {port}\n").as_bytes()).await.unwrap();
    assert_eq!(read_line(&mut host).await, format!("OK {port}"));
    host
}

pub async fn client(ports: &Ports) -> Client {
    client_on(open(ports, banger_agent_proto::CONTROL_PORT).await).await
}

pub async fn client_on(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Client {
    let (sender, connection) =
        http2::Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    AgentClient::new(Connection(sender))
}

pub async fn read_line(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await.unwrap() {
            b'\n' => return String::from_utf8(line).unwrap(),
            byte => line.push(byte),
        }
    }
}

/// A connection in the form that tonic's client requires.
#[derive(Clone)]
pub struct Connection(http2::SendRequest<Body>);

impl tower::Service<hyper::Request<Body>> for Connection {
    type Response = hyper::Response<hyper::body::Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut task::Context<'_>) -> task::Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: hyper::Request<Body>) -> Self::Future {
        *request.uri_mut() = format!("http://guest{}", request.uri().path()).parse().unwrap();
        Box::pin(self.0.send_request(request))
    }
}

/// A running command.
pub struct Running {
    pub requests: mpsc::Sender<ExecRequest>,
    pub replies: Streaming<ExecReply>,
}

pub async fn start(start: ExecStart) -> Running {
    start_on(client(&ports()).await, start).await
}

pub async fn start_on(mut client: Client, start: ExecStart) -> Running {
    let (requests, receiver) = mpsc::channel(16);
    requests.send(request(Request::Start(start))).await.unwrap();
    let replies = client.exec(ReceiverStream::new(receiver)).await.unwrap().into_inner();
    Running { requests, replies }
}

pub fn request(request: Request) -> ExecRequest {
    ExecRequest { request: Some(request) }
}

/// `sh -c script`.
pub fn shell(script: &str) -> ExecStart {
    command(&[b"sh", b"-c", script.as_bytes()])
}

pub fn command(argv: &[&[u8]]) -> ExecStart {
    ExecStart { argv: argv.iter().map(|a| a.to_vec().into()).collect(), ..ExecStart::default() }
}

/// The result of a command.
#[derive(Debug, Default)]
pub struct Outcome {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub end: Option<Reply>,
}

impl Running {
    pub async fn send(&self, message: Request) {
        self.requests.send(request(message)).await.unwrap();
    }

    pub async fn next(&mut self) -> Option<Reply> {
        let message = tokio::time::timeout(PATIENCE, self.replies.message()).await.expect("a reply in time");
        message.unwrap().and_then(|reply| reply.reply)
    }

    /// Reads output until it contains this text.
    pub async fn wait_for(&mut self, text: &str) -> String {
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(text) {
            match self.next().await {
                Some(Reply::Stdout(bytes) | Reply::Stderr(bytes)) => seen.extend(bytes),
                Some(Reply::Started(_)) => {}
                other => panic!("waiting for `{text}` after `{}`: {other:?}", String::from_utf8_lossy(&seen)),
            }
        }
        String::from_utf8(seen).unwrap()
    }

    /// Reads to the end.
    pub async fn finish(mut self) -> Outcome {
        let mut outcome = Outcome::default();
        while let Some(reply) = self.next().await {
            match reply {
                Reply::Started(_) => {}
                Reply::Stdout(bytes) => outcome.stdout.extend(bytes),
                Reply::Stderr(bytes) => outcome.stderr.extend(bytes),
                end @ (Reply::Exited(_) | Reply::Failed(_)) => outcome.end = Some(end),
            }
        }
        outcome
    }
}

pub async fn run(start_message: ExecStart) -> Outcome {
    start(start_message).await.finish().await
}
