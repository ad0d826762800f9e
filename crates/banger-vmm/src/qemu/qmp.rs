//! The little of QEMU's control protocol (QMP) that is needed: is it there, does the guest run.
//! Source: QEMU's `docs/interop/qmp-spec.txt`.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

/// Longest message that is read.
const MESSAGE_BYTES_MAX: u64 = 1024 * 1024;

/// Why QEMU's control socket was of no use.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// The socket could not be used.
    #[error("the control socket failed")]
    Socket(#[source] io::Error),
    /// QEMU sent something that is not QMP.
    #[error("the control socket does not speak QMP")]
    NotQmp(#[source] serde_json::Error),
    /// QEMU refused a command.
    #[error("QEMU refuses `{command}`: {reason}")]
    Refused {
        /// The command.
        command: &'static str,
        /// What it said.
        reason: String,
    },
    /// QEMU did not answer.
    #[error("QEMU did not answer `{command}` within {} s", .deadline.as_secs())]
    Silent {
        /// The command.
        command: &'static str,
        /// What it was given.
        deadline: Duration,
    },
}

/// A connection to QEMU's control socket. QEMU serves one at a time.
pub(super) struct Qmp {
    stream: BufReader<UnixStream>,
    deadline: Duration,
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "return")]
    answer: Option<Value>,
    error: Option<Failure>,
    #[serde(rename = "QMP")]
    greeting: Option<Value>,
}

#[derive(Deserialize)]
struct Failure {
    desc: String,
}

impl Qmp {
    /// Connects and agrees on the protocol. `deadline` is for this and for each command after it.
    pub(super) async fn connect(socket: &Path, deadline: Duration) -> Result<Self, QmpError> {
        let connect = async {
            let stream = banger_sys::socket::connect(socket).await.map_err(QmpError::Socket)?;
            let mut qmp = Self { stream: BufReader::new(stream), deadline };
            while qmp.read().await?.greeting.is_none() {}
            Ok(qmp)
        };
        let mut qmp = within(deadline, "greeting", connect).await?;
        qmp.run("qmp_capabilities").await?;
        Ok(qmp)
    }

    /// Tells the machine's run state: `running`, `paused`, `shutdown`, …
    pub(super) async fn status(&mut self) -> Result<String, QmpError> {
        let answer = self.run("query-status").await?;
        Ok(answer.get("status").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    pub(super) async fn run(&mut self, command: &'static str) -> Result<Value, QmpError> {
        let deadline = self.deadline;
        within(deadline, command, async {
            let line = format!("{}\n", json!({ "execute": command }));
            self.stream.write_all(line.as_bytes()).await.map_err(QmpError::Socket)?;
            loop {
                let message = self.read().await?;
                if let Some(failure) = message.error {
                    return Err(QmpError::Refused { command, reason: failure.desc });
                }
                // Everything else is an event.
                if let Some(answer) = message.answer {
                    return Ok(answer);
                }
            }
        })
        .await
    }

    async fn read(&mut self) -> Result<Message, QmpError> {
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(MESSAGE_BYTES_MAX);
        limited.read_until(b'\n', &mut line).await.map_err(QmpError::Socket)?;
        if line.is_empty() {
            return Err(QmpError::Socket(io::ErrorKind::UnexpectedEof.into()));
        }
        serde_json::from_slice(&line).map_err(QmpError::NotQmp)
    }
}

async fn within<T>(
    deadline: Duration,
    command: &'static str,
    work: impl Future<Output = Result<T, QmpError>>,
) -> Result<T, QmpError> {
    tokio::time::timeout(deadline, work)
        .await
        .unwrap_or_else(|_late| Err(QmpError::Silent { command, deadline }))
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    /// Serves one connection: says these lines, one per line received, the first at once.
    async fn answer(lines: &'static [&'static str]) -> Result<String, QmpError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let server = tokio::spawn(async move {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            for line in lines {
                stream.write_all(line.as_bytes()).await.unwrap();
                stream.read_until(b'\n', &mut Vec::new()).await.unwrap();
            }
        });
        let status = async { Qmp::connect(&path, Duration::from_secs(5)).await?.status().await }.await;
        server.abort();
        status
    }

    #[tokio::test]
    async fn events_between_the_answers_are_skipped() {
        let status = answer(&[
            "{\"QMP\": {}}\n",
            "{\"event\": \"RESUME\"}\n{\"return\": {}}\n",
            "{\"event\": \"X\"}\n{\"return\": {\"running\": true, \"status\": \"running\"}}\n",
        ]);
        assert_eq!(status.await.unwrap(), "running");
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_qemus_words() {
        let status = answer(&["{\"QMP\": {}}\n", "{\"error\": {\"class\": \"X\", \"desc\": \"no\"}}\n"]);
        assert!(
            matches!(status.await, Err(QmpError::Refused { command: "qmp_capabilities", reason }) if reason == "no")
        );
    }

    #[tokio::test]
    async fn garbage_and_an_early_end_are_errors() {
        assert!(matches!(answer(&["hello\n"]).await, Err(QmpError::NotQmp(_))));
        assert!(matches!(answer(&[]).await, Err(QmpError::Socket(_))));
    }
}
