//! Opens a stream to a port of the guest: `CONNECT <port>\n` out, `OK <number>\n` back.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use crate::contract::ConnectError;

/// Longest answer: `OK 4294967295\n`.
const ANSWER_BYTES_MAX: usize = 32;

pub(super) async fn connect(
    channel_socket: &Path,
    port: u32,
    deadline: Duration,
    machine_end: &CancellationToken,
) -> Result<UnixStream, ConnectError> {
    let opened = tokio::select! {
        biased;
        () = machine_end.cancelled() => return Err(ConnectError::MachineEnded),
        opened = tokio::time::timeout(deadline, open(channel_socket, port)) => opened,
    };
    match opened {
        Ok(Ok(stream)) => Ok(stream),
        // Whatever went wrong on the way, the machine's end explains it.
        _ if machine_end.is_cancelled() => Err(ConnectError::MachineEnded),
        Ok(Err(error)) => Err(error),
        Err(_late) => Err(ConnectError::Silent { deadline }),
    }
}

async fn open(channel_socket: &Path, port: u32) -> Result<UnixStream, ConnectError> {
    let mut stream = UnixStream::connect(channel_socket).await.map_err(ConnectError::Channel)?;
    stream.write_all(format!("CONNECT {port}\n").as_bytes()).await.map_err(ConnectError::Channel)?;
    let mut answer = Vec::with_capacity(ANSWER_BYTES_MAX);
    loop {
        // One byte at a time: what follows the line belongs to the caller.
        match stream.read_u8().await {
            Ok(b'\n') => break,
            Ok(byte) if answer.len() < ANSWER_BYTES_MAX => answer.push(byte),
            Ok(_) => return Err(bad_answer()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && answer.is_empty() => {
                return Err(ConnectError::Refused { port });
            }
            Err(error) => return Err(ConnectError::Channel(error)),
        }
    }
    if answer.starts_with(b"OK ") { Ok(stream) } else { Err(bad_answer()) }
}

fn bad_answer() -> ConnectError {
    ConnectError::Channel(io::Error::new(io::ErrorKind::InvalidData, "the guest did not answer with `OK`"))
}
