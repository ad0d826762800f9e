//! The line that opens a stream: `CONNECT <port>\n`, answered by `OK <port>\n`.

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::{line::read_line, ports::Ports};

/// Reads the opening line and hands the stream to the port that it names. An unknown port closes the stream.
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
}
