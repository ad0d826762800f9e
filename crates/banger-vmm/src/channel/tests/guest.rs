//! A guest in this process: the VMM's end of the pipe, the guest's side of the handshake, a yamux server.

use std::path::{Path, PathBuf};

use banger_agent_proto::sync::{Line, LineScanner};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::compat::{FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};
use tokio_util::task::AbortOnDropHandle;

/// Sends back what it gets, then its end.
pub(super) const ECHO: u32 = 1;
/// Sends [`SOURCE_BYTES`] without reading.
pub(super) const SOURCE: u32 = 2;
/// Answers and then never reads.
pub(super) const STUCK: u32 = 3;
/// Answers, reads to the end, then says how many bytes came.
pub(super) const COUNT: u32 = 4;
/// Never answers.
pub(super) const MUTE: u32 = 5;

pub(super) const SOURCE_BYTES: usize = 32 * 1024 * 1024;

/// The VMM: a socket that the channel connects to.
pub(super) struct Port {
    pub(super) path: PathBuf,
    listener: UnixListener,
}

impl Port {
    pub(super) fn open(directory: &Path) -> Self {
        let path = directory.join("pipe.sock");
        Self { listener: UnixListener::bind(&path).unwrap(), path }
    }

    pub(super) async fn accept(&self) -> UnixStream {
        self.listener.accept().await.unwrap().0
    }

    /// Accepts one pipe and serves it as the agent does.
    pub(super) async fn serve(&self) -> Guest {
        Guest::run(serve(self.accept().await))
    }
}

/// A guest that runs until it is dropped.
pub(super) struct Guest {
    _task: AbortOnDropHandle<()>,
}

impl Guest {
    pub(super) fn run(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { _task: AbortOnDropHandle::new(tokio::spawn(work)) }
    }
}

pub(super) async fn serve(mut pipe: UnixStream) {
    grant(&mut pipe).await;
    multiplex(pipe).await;
}

/// The guest's side of the handshake.
pub(super) async fn grant(pipe: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let mut scanner = LineScanner::default();
    let mut granted = None;
    loop {
        match scanner.push(pipe.read_u8().await.unwrap()) {
            Some(Line::Syn(nonce)) => {
                granted = Some(nonce);
                pipe.write_all(&Line::Ack(nonce).encode()).await.unwrap();
            }
            Some(Line::Go(nonce)) if granted == Some(nonce) => return,
            Some(Line::Go(_) | Line::Ack(_)) | None => {}
        }
    }
}

pub(super) async fn multiplex(pipe: UnixStream) {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(256).set_max_connection_receive_window(Some(64 * 1024 * 1024));
    let mut connection = yamux::Connection::new(pipe.compat(), config, yamux::Mode::Server);
    while let Some(Ok(stream)) = std::future::poll_fn(|context| connection.poll_next_inbound(context)).await {
        tokio::spawn(answer(stream.compat()));
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    let mut line = String::new();
    while !line.ends_with('\n') {
        line.push(stream.read_u8().await?.into());
    }
    let port: u32 = line.trim_end().strip_prefix("CONNECT ").unwrap().parse().unwrap();
    if !(ECHO..=COUNT).contains(&port) {
        if port == MUTE {
            std::future::pending::<()>().await;
        }
        return Ok(());
    }
    stream.write_all(format!("OK {port}\n").as_bytes()).await?;
    stream.flush().await?;
    match port {
        ECHO => {
            let (mut input, mut output) = tokio::io::split(stream);
            tokio::io::copy(&mut input, &mut output).await?;
            output.shutdown().await
        }
        SOURCE => {
            let block = vec![7; 64 * 1024];
            for _ in 0..SOURCE_BYTES / block.len() {
                stream.write_all(&block).await?;
            }
            stream.shutdown().await
        }
        COUNT => {
            let count = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
            stream.write_all(count.to_string().as_bytes()).await?;
            stream.shutdown().await
        }
        _ => std::future::pending().await,
    }
}
