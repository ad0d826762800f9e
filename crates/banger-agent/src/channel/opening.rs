//! The line that opens a stream: `CONNECT <port>\n`, answered by `OK <port>\n`.

use std::{io, time::Duration};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::ports::Ports;

/// Longest first line of any stream.
const LINE_BYTES_MAX: usize = 512;

/// A host that opens a stream says at once what for.
const LINE_DEADLINE: Duration = Duration::from_secs(10);

/// Reads the opening line and hands the stream to the port it names. An unknown port closes the stream.
pub async fn greet<S>(mut stream: S, ports: Ports)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Ok(line) = read_line(&mut stream).await else { return };
    let Some(port) = parse(&line).filter(|port| Ports::is_known(*port)) else { return };
    let answer = format!("OK {port}\n");
    if stream.write_all(answer.as_bytes()).await.is_ok() && stream.flush().await.is_ok() {
        ports.enter(port, Box::new(stream)).await;
    }
}

/// Reads one line and not a byte more. The newline is taken off.
pub(crate) async fn read_line(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let read = async {
        let mut line = Vec::new();
        loop {
            match stream.read_u8().await? {
                b'\n' => return Ok(line),
                _ if line.len() == LINE_BYTES_MAX => return Err(io::ErrorKind::InvalidData.into()),
                byte => line.push(byte),
            }
        }
    };
    tokio::time::timeout(LINE_DEADLINE, read)
        .await
        .unwrap_or_else(|_late| Err(io::ErrorKind::TimedOut.into()))
}

fn parse(line: &[u8]) -> Option<u32> {
    std::str::from_utf8(line).ok()?.strip_prefix("CONNECT ")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_line_with_a_number_opens_a_port() {
        assert_eq!(parse(b"CONNECT 1024"), Some(1024));
        for bad in [&b"CONNECT"[..], b"CONNECT ", b"CONNECT -1", b"CONNECT 1 2", b"connect 1024", b"\xff"] {
            assert_eq!(parse(bad), None);
        }
    }

    #[tokio::test]
    async fn a_line_is_read_without_the_bytes_behind_it() {
        let mut input: &[u8] = b"tcp 127.0.0.1:80\nGET /";
        assert_eq!(read_line(&mut input).await.unwrap(), b"tcp 127.0.0.1:80");
        assert_eq!(input, b"GET /");
    }

    #[tokio::test]
    async fn an_endless_line_is_refused() {
        let mut input: &[u8] = &[b'x'; 2000];
        assert!(read_line(&mut input).await.is_err());
    }
}
