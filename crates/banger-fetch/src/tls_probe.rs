//! Finds out whether a server speaks TLS, by the first byte of its response to a client hello. Certificates do not matter
//! here: a server with an untrusted certificate still speaks TLS, and must not be contacted without it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Content types of TLS records (RFC 8446, section 5.1): an alert, and a handshake.
const RECORDS: [u8; 2] = [21, 22];

/// Tells whether the server at a place (`host:port`) speaks TLS. A server that closes the connection or stays silent does
/// not.
///
/// # Errors
/// If the server cannot be reached.
pub async fn speaks_tls(place: &str, deadline: Duration) -> io::Result<bool> {
    let late = |_elapsed| io::Error::from(io::ErrorKind::TimedOut);
    let mut stream = tokio::time::timeout(deadline, TcpStream::connect(place)).await.map_err(late)??;
    let greeting = greeting().map_err(io::Error::other)?;
    let mut first = [0];
    let answered = async {
        stream.write_all(&greeting).await?;
        // A server that waits for the end of a line stops waiting.
        stream.shutdown().await?;
        stream.read_exact(&mut first).await
    };
    match tokio::time::timeout(deadline, answered).await {
        Ok(Ok(_)) => Ok(RECORDS.contains(&first[0])),
        Ok(Err(_)) | Err(_) => Ok(false),
    }
}

/// Returns a TLS client hello.
fn greeting() -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("localhost")?;
    let mut connection = ClientConnection::new(Arc::new(config), name)?;
    let mut bytes = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut bytes)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn answers(answer: &'static [u8]) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap().to_string();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut greeting = Vec::new();
            stream.read_to_end(&mut greeting).await.unwrap();
            assert_eq!(greeting.first(), Some(&22));
            stream.write_all(answer).await.unwrap();
            drop(stream);
        };
        tokio::join!(serve, speaks_tls(&place, Duration::from_secs(10))).1.unwrap()
    }

    #[tokio::test]
    async fn the_first_byte_of_the_answer_tells() {
        assert!(answers(b"\x16\x03\x03").await, "a handshake");
        assert!(answers(b"\x15\x03\x01\x00\x02\x02\x28").await, "an alert: it speaks, though not with us");
        assert!(!answers(b"HTTP/1.0 400 Bad Request\r\n\r\n").await);
        assert!(!answers(b"").await);
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap().to_string();
        drop(listener);
        assert!(speaks_tls(&place, Duration::from_secs(10)).await.is_err());
    }
}
