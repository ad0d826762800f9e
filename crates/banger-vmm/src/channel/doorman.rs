//! Receives callers at the channel socket and leads each to a stream of the current session.
//!
//! The caller's first line goes to the guest unchanged. Until the guest has answered it, a session that breaks is no
//! loss: the line is sent again in the next one. After that, bytes flow both ways and each way ends by itself.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::screen::Record;
use super::session::{STREAMS_MAX, Session};
use super::stream::GuestStream;

/// Longest first line, with its newline: `CONNECT 4294967295\n`.
const LINE_BYTES_MAX: usize = 64;

/// What a caller may send ahead of the guest's answer.
const EARLY_BYTES_MAX: usize = 16 * 1024;

const BUFFER_BYTES: usize = 32 * 1024;

/// A caller that connects says at once what it wants.
const LINE_DEADLINE: Duration = Duration::from_secs(10);

/// How long a caller may take nothing when the callers of its guest leave so much unread that nothing more is taken from
/// the guest: those that read shall not wait for those that do not.
const CROWDED_DEADLINE: Duration = Duration::from_secs(1);

/// Callers at once. More wait in the socket's queue.
const CALLERS_MAX: usize = 2 * STREAMS_MAX;

/// Runs until dropped; all callers end with it.
pub(super) async fn receive(listener: UnixListener, sessions: watch::Receiver<Option<Session>>) {
    let mut callers = JoinSet::new();
    loop {
        tokio::select! {
            Some(_served) = callers.join_next() => {}
            accepted = listener.accept(), if callers.len() < CALLERS_MAX => match accepted {
                Ok((caller, _address)) => {
                    let sessions = sessions.clone();
                    callers.spawn(async move {
                        if let Err(error) = serve(caller, sessions).await {
                            debug!(%error, "a stream to the guest ended early");
                        }
                    });
                }
                Err(error) => {
                    // Out of descriptors: those that are served give some back.
                    banger_sys::shortage::note_if(&error);
                    warn!(%error, "cannot accept a connection to the guest channel");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
}

async fn serve(mut caller: UnixStream, mut sessions: watch::Receiver<Option<Session>>) -> io::Result<()> {
    let mut early = read_line(&mut caller).await?;
    loop {
        let session = meanwhile(&mut caller, &mut early, current(&mut sessions)).await??;
        let place = meanwhile(&mut caller, &mut early, session.places.clone().acquire_owned()).await?;
        let Ok(_place) = place else { continue };
        meanwhile(&mut caller, &mut early, session.turn()).await?;
        let asked = early.len();
        let opening = early.clone();
        match meanwhile(&mut caller, &mut early, ask(&session, opening)).await? {
            Asked::Answered(guest, answer) => {
                caller.write_all(&answer).await?;
                return splice(caller, guest, early.get(asked..).unwrap_or_default()).await;
            }
            Asked::Refused => return Ok(()),
            Asked::SessionEnded => {
                // The link puts the next session in this one's place.
                let ended = async { sessions.changed().await.map_err(|_gone| gone()) };
                meanwhile(&mut caller, &mut early, ended).await??;
            }
        }
    }
}

enum Asked {
    Answered(GuestStream, Vec<u8>),
    Refused,
    SessionEnded,
}

/// Opens a stream, sends the opening bytes and waits for the first bytes back.
async fn ask(session: &Session, opening: Vec<u8>) -> Asked {
    session.expect_answer();
    let Ok(mut guest) = session.open().await else { return Asked::SessionEnded };
    if guest.write_all(&opening).await.is_err() || guest.flush().await.is_err() {
        return ended_or_refused(session).await;
    }
    let mut answer = vec![0; LINE_BYTES_MAX];
    match guest.read(&mut answer).await {
        Ok(count) if count > 0 => {
            answer.truncate(count);
            Asked::Answered(guest, answer)
        }
        Ok(_) | Err(_) => ended_or_refused(session).await,
    }
}

async fn ended_or_refused(session: &Session) -> Asked {
    if session.is_alive().await { Asked::Refused } else { Asked::SessionEnded }
}

async fn current(sessions: &mut watch::Receiver<Option<Session>>) -> io::Result<Session> {
    let session = sessions.wait_for(Option::is_some).await.map_err(|_gone| gone())?;
    session.clone().ok_or_else(gone)
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the channel has ended")
}

/// Awaits, and keeps what the caller sends meanwhile. An error: the caller has gone.
async fn meanwhile<T>(
    caller: &mut UnixStream,
    early: &mut Vec<u8>,
    awaited: impl Future<Output = T>,
) -> io::Result<T> {
    tokio::pin!(awaited);
    let mut buffer = [0; 1024];
    loop {
        tokio::select! {
            biased;
            value = &mut awaited => return Ok(value),
            read = caller.read(&mut buffer), if early.len() < EARLY_BYTES_MAX => match read? {
                0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the caller has gone")),
                count => early.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            },
        }
    }
}

async fn read_line(caller: &mut UnixStream) -> io::Result<Vec<u8>> {
    let read = async {
        let mut line = Vec::with_capacity(LINE_BYTES_MAX);
        loop {
            let byte = caller.read_u8().await?;
            line.push(byte);
            if byte == b'\n' {
                return Ok(line);
            }
            if line.len() >= LINE_BYTES_MAX {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the caller's first line is too long",
                ));
            }
        }
    };
    tokio::time::timeout(LINE_DEADLINE, read)
        .await
        .unwrap_or_else(|_late| Err(io::Error::new(io::ErrorKind::TimedOut, "the caller said nothing")))
}

/// Carries bytes both ways until both ways have ended.
async fn splice(mut caller: UnixStream, guest: GuestStream, early: &[u8]) -> io::Result<()> {
    let record = guest.record();
    let (mut guest_output, mut guest_input) = tokio::io::split(guest);
    let (mut from_caller, mut to_caller) = caller.split();
    let inward = async {
        guest_input.write_all(early).await?;
        carry(&mut from_caller, &mut guest_input).await?;
        // A caller that has gone altogether resets the stream: ending one way would leave the guest with a stream that
        // nobody reads.
        if has_hung_up(from_caller.as_ref()) {
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, "the caller has gone"));
        }
        guest_input.shutdown().await
    };
    let outward = async {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = guest_output.read(&mut buffer).await?;
            if count == 0 {
                break;
            }
            let written = to_caller.write_all(buffer.get(..count).unwrap_or_default());
            unless_crowded(&record, written).await?;
        }
        to_caller.shutdown().await
    };
    tokio::try_join!(inward, outward).map(|((), ())| ())
}

/// Writes to a caller, which may take its time while there is room for others.
async fn unless_crowded(record: &Record, written: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    let crowded = async {
        record.full().await;
        tokio::time::sleep(CROWDED_DEADLINE).await;
    };
    tokio::select! {
        biased;
        written = written => written,
        () = crowded => Err(io::Error::new(io::ErrorKind::TimedOut, "the caller left too much unread")),
    }
}

async fn carry(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        to.write_all(buffer.get(..count).unwrap_or_default()).await?;
        to.flush().await?;
    }
}

fn has_hung_up(caller: &UnixStream) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut watched = [PollFd::new(caller, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut watched, Some(&now)).is_ok()
        && watched.iter().any(|caller| caller.revents().intersects(PollFlags::HUP | PollFlags::ERR))
}
