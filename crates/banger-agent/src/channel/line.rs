//! The first line of a stream, which states its purpose.

use std::{io, time::Duration};

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Maximum length of the first line of any stream.
const LINE_BYTES_MAX: usize = 512;

/// A host that opens a stream sends the line at once.
const LINE_DEADLINE: Duration = Duration::from_secs(10);

/// Reads exactly one line, and returns it without the newline.
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

#[cfg(test)]
mod tests {
    use super::*;

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
