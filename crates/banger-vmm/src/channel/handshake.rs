//! The host's side of the handshake that starts a session: see [`banger_agent_proto::sync`].

use std::io;
use std::time::Duration;

use banger_agent_proto::sync::{FLUSH_BYTES, Line, LineScanner};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// How soon a guest is asked again that may be in the middle of an old session.
const REPEAT_FIRST: Duration = Duration::from_secs(1);

/// How soon a guest is asked again that boots: what is in the pipe reaches it anyhow.
const REPEAT_BOOT: Duration = Duration::from_secs(30);

const REPEAT_LAST: Duration = Duration::from_secs(60);

/// What the guest may have read before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Past {
    /// Nothing: it boots.
    Fresh,
    /// Perhaps half a frame of an older session.
    Unknown,
}

/// Asks for a session until the guest grants it. The next byte read from the pipe is the session's first.
///
/// # Errors
/// When the pipe breaks or ends.
pub(super) async fn shake<P: AsyncRead + AsyncWrite + Unpin>(pipe: &mut P, past: Past) -> io::Result<()> {
    let mut repeat = match past {
        Past::Fresh => REPEAT_BOOT,
        Past::Unknown => REPEAT_FIRST,
    };
    let mut nonce = new_nonce();
    let mut scanner = LineScanner::default();
    let mut request = Line::Syn(nonce).encode();
    loop {
        match tokio::time::timeout(repeat, exchange(pipe, &request, nonce, &mut scanner)).await {
            Ok(granted) => {
                granted?;
                return pipe.write_all(&Line::Go(nonce).encode()).await;
            }
            Err(_late) => {
                // A new nonce: an answer to the older request may still come, and only the last one's counts.
                nonce = new_nonce();
                request = vec![b'\n'; FLUSH_BYTES];
                request.extend(Line::Syn(nonce).encode());
                repeat = (repeat * 2).min(REPEAT_LAST);
            }
        }
    }
}

/// Writes the request and reads until its answer, both at once: a guest that does not read yet may still talk.
/// Dropped half-way it leaves a part of a line, which the next request's newline ends.
async fn exchange<P: AsyncRead + AsyncWrite + Unpin>(
    pipe: &mut P,
    request: &[u8],
    nonce: u64,
    scanner: &mut LineScanner,
) -> io::Result<()> {
    let (mut input, mut output) = tokio::io::split(pipe);
    let ask = async {
        output.write_all(request).await?;
        output.flush().await
    };
    let answer = async {
        loop {
            let byte = input.read_u8().await?;
            if scanner.push(byte) == Some(Line::Ack(nonce)) {
                return Ok(());
            }
        }
    };
    tokio::try_join!(ask, answer).map(|((), ())| ())
}

fn new_nonce() -> u64 {
    u64::from_str_radix(&banger_sys::id::random_hex::<8>(), 16).unwrap_or_default()
}
