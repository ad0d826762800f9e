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

/// What may come before the answer at any speed: the rest of an older session.
const NOISE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What is read at a time after that.
const NOISE_PIECE_BYTES: usize = 64 * 1024;
/// Pause between two pieces: noise costs next to nothing then.
const NOISE_PAUSE: Duration = Duration::from_millis(100);

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
    let mut answers = Answers::default();
    let mut request = Line::Syn(nonce).encode();
    loop {
        match tokio::time::timeout(repeat, exchange(pipe, &request, nonce, &mut answers)).await {
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
    answers: &mut Answers,
) -> io::Result<()> {
    let (mut input, mut output) = tokio::io::split(pipe);
    let ask = async {
        output.write_all(request).await?;
        output.flush().await
    };
    let answer = async {
        while answers.next(&mut input).await? != Line::Ack(nonce) {}
        Ok(())
    };
    tokio::try_join!(ask, answer).map(|((), ())| ())
}

/// Lines of the guest, in whatever else it sends.
#[derive(Default)]
struct Answers {
    scanner: LineScanner,
    noise_bytes: usize,
}

impl Answers {
    async fn next(&mut self, input: &mut (impl AsyncRead + Unpin)) -> io::Result<Line> {
        loop {
            let byte = input.read_u8().await?;
            if let Some(line) = self.scanner.push(byte) {
                return Ok(line);
            }
            self.noise_bytes += 1;
            if self.noise_bytes > NOISE_BYTES_MAX && self.noise_bytes.is_multiple_of(NOISE_PIECE_BYTES) {
                tokio::time::sleep(NOISE_PAUSE).await;
            }
        }
    }
}

/// Returns a number that no older request had.
pub(super) fn new_nonce() -> u64 {
    u64::from_str_radix(&banger_sys::id::random_hex::<8>(), 16).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::ReadBuf;

    use super::*;

    /// A guest that says one letter for ever.
    struct Babble(usize);

    impl AsyncRead for Babble {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let count = buffer.remaining();
            buffer.put_slice(&vec![b'A'; count]);
            self.0 += count;
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn noise_is_read_at_a_small_rate_after_a_while() {
        let mut babble = Babble(0);
        let answers = &mut Answers::default();
        let listened = tokio::time::timeout(Duration::from_secs(60), answers.next(&mut babble)).await;
        assert!(listened.is_err());
        assert!(babble.0 > NOISE_BYTES_MAX, "{} bytes", babble.0);
        assert!(babble.0 < NOISE_BYTES_MAX + 610 * NOISE_PIECE_BYTES, "{} bytes", babble.0);
    }
}
