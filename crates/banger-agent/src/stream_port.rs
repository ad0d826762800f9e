//! The port of raw streams: the first line names the target, then bytes flow both ways.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use banger_agent_proto::{
    heartbeat::{self, Heartbeat},
    way_out::{self as way_out_request, WayOut},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    process::Command,
};

use crate::{channel::ByteStream, exec::Commands, way_out::WayOutBoard};

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
const SSHD_PATHS: [&str; 4] = ["usr/sbin/sshd", "usr/bin/sshd", "sbin/sshd", "usr/local/sbin/sshd"];
const COPY_BUFFER_BYTES: usize = 64 * 1024;

/// Serves raw streams for the root at this path.
#[derive(Debug)]
pub(crate) struct StreamPort {
    root: PathBuf,
    commands: Arc<Commands>,
    way_out: Arc<WayOutBoard>,
}

/// The reason why a stream cannot be connected. The text is sent to the host.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("the first line must be `tcp <address>:<port>`, `ssh`, `health` or `way-out`")]
    Line,
    #[error("cannot connect to {address}")]
    Connect { address: SocketAddr, source: io::Error },
    #[error("cannot connect to {address}: no answer in time")]
    Late { address: SocketAddr },
    #[error("this image has no ssh server")]
    NoServer,
    #[error("cannot start the ssh server")]
    StartServer { source: io::Error },
}

/// The target that the first line names.
#[derive(Debug, PartialEq, Eq)]
enum Destination {
    Tcp(Vec<SocketAddr>),
    Ssh,
    Health,
    WayOut,
}

impl StreamPort {
    pub(crate) fn new(root: PathBuf, commands: Arc<Commands>, way_out: Arc<WayOutBoard>) -> Self {
        Self { root, commands, way_out }
    }

    /// Reads the line, connects, and copies until both directions have ended.
    pub(crate) async fn serve(&self, mut host: ByteStream) {
        let Ok(line) = crate::channel::read_line(&mut host).await else { return };
        let inside = match parse(&line) {
            Some(Destination::Tcp(addresses)) => connect(&addresses).await.map(|s| Box::new(s) as ByteStream),
            Some(Destination::Ssh) => self.start_sshd().await.map(|s| Box::new(s) as ByteStream),
            Some(Destination::Health) => return self.tell_health(host).await,
            Some(Destination::WayOut) => return self.tell_way_out(host).await,
            None => Err(StreamError::Line),
        };
        let answer = match &inside {
            Ok(_) => "OK\n".to_owned(),
            Err(error) => format!("ERR {}\n", crate::console::chain(error)),
        };
        if write_line(&mut host, &answer).await.is_err() {
            return;
        }
        match inside {
            Ok(mut inside) => splice(&mut host, &mut inside).await,
            Err(_told) => drop(host.shutdown().await),
        }
    }

    async fn tell_health(&self, mut host: ByteStream) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let heartbeat = Heartbeat {
            clock_unix_nanos: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
            commands_running: self.commands.running(),
        };
        if host.write_all(heartbeat.to_line().as_bytes()).await.is_ok() {
            let _ = host.shutdown().await;
        }
    }

    /// Sends the promise at once, and the announced way out whenever it changes. Ends when the host goes away.
    async fn tell_way_out(&self, mut host: ByteStream) {
        let mut way_out = self.way_out.subscribe();
        let mut told = None;
        let mut said = write_line(&mut host, self.way_out.promise().to_line()).await;
        while said.is_ok() {
            let now = *way_out.borrow_and_update();
            if now != told {
                told = now;
                let word = now.map_or(way_out_request::NONE, WayOut::word);
                said = write_line(&mut host, &format!("{word}\n")).await;
                continue;
            }
            tokio::select! {
                // The board lives as long as this future.
                _ = way_out.changed() => {}
                // The host sends nothing more, so this is its end.
                _ = host.read_u8() => return,
            }
        }
    }

    /// Starts a server for this one connection.
    async fn start_sshd(&self) -> Result<TcpStream, StreamError> {
        let program = find_sshd(&self.root).ok_or(StreamError::NoServer)?;
        let failed = |source| StreamError::StartServer { source };
        make_privilege_directory(&self.root).map_err(failed)?;
        let (ours, theirs) = connected_pair().await.map_err(failed)?;
        let input = blocking(theirs).map_err(failed)?;
        let output = input.try_clone().map_err(failed)?;
        let mut child = Command::new(program)
            // Accepts the caller's locale in addition to what the configuration accepts.
            .args(["-i", "-f", "/etc/ssh/sshd_config", "-o", "AcceptEnv=LANG LC_*"])
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir("/")
            .stdin(Stdio::from(input))
            .stdout(Stdio::from(output))
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        tokio::spawn(async move { child.wait().await });
        Ok(ours)
    }
}

async fn write_line(host: &mut ByteStream, line: &str) -> io::Result<()> {
    host.write_all(line.as_bytes()).await?;
    host.flush().await
}

/// Returns the two ends of a TCP connection over the guest's loopback. sshd looks up the name of its peer, which is
/// `UNKNOWN` for a Unix socket: a guest without a name server would then wait for the resolver at every login. A loopback
/// address is in `/etc/hosts`.
async fn connected_pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let ours = TcpStream::connect(listener.local_addr()?).await?;
    let our_address = ours.local_addr()?;
    loop {
        // Any program of the guest may connect to the port while it is open, so accept only the connection that we began.
        let (theirs, peer) = listener.accept().await?;
        if peer == our_address {
            ours.set_nodelay(true)?;
            theirs.set_nodelay(true)?;
            return Ok((ours, theirs));
        }
    }
}

/// Returns the socket in blocking mode, as the server requires.
fn blocking(socket: TcpStream) -> io::Result<std::os::fd::OwnedFd> {
    let socket = socket.into_std()?;
    socket.set_nonblocking(false)?;
    Ok(socket.into())
}

/// Tells whether a stream can be `ssh`.
pub(crate) fn has_ssh_server(root: &Path) -> bool {
    find_sshd(root).is_some()
}

fn find_sshd(root: &Path) -> Option<PathBuf> {
    SSHD_PATHS.iter().map(|path| root.join(path)).find(|path| path.exists())
}

/// Makes what sshd needs to run at all, if it is installed, because `sshd -T` may be called before any stream.
pub(crate) fn prepare(root: &Path) {
    if has_ssh_server(root)
        && let Err(error) = make_privilege_directory(root)
    {
        crate::console::error(&error);
    }
}

/// sshd refuses to start without its empty directory.
fn make_privilege_directory(root: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().mode(0o755).recursive(true).create(root.join("run/sshd"))
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, StreamError> {
    let mut outcome = Err(StreamError::Line);
    for address in addresses.iter().copied() {
        outcome = match tokio::time::timeout(CONNECT_DEADLINE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(source)) => Err(StreamError::Connect { address, source }),
            Err(_) => Err(StreamError::Late { address }),
        };
    }
    outcome
}

/// Copies both ways; the end of one direction is passed on and leaves the other open.
async fn splice(
    host: &mut (impl AsyncRead + AsyncWrite + Unpin),
    inside: &mut (impl AsyncRead + AsyncWrite + Unpin),
) {
    let _ =
        tokio::io::copy_bidirectional_with_sizes(host, inside, COPY_BUFFER_BYTES, COPY_BUFFER_BYTES).await;
}

fn parse(line: &[u8]) -> Option<Destination> {
    let line = std::str::from_utf8(line).ok()?;
    match line {
        "ssh" => return Some(Destination::Ssh),
        heartbeat::REQUEST => return Some(Destination::Health),
        way_out_request::REQUEST => return Some(Destination::WayOut),
        _ => {}
    }
    let target = line.strip_prefix("tcp ")?;
    if let Some(port) = target.strip_prefix("localhost:") {
        let port = port.parse().ok()?;
        let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        return Some(Destination::Tcp(addresses.map(|ip| SocketAddr::new(ip, port)).to_vec()));
    }
    Some(Destination::Tcp(vec![target.parse().ok()?]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_pair_is_one_connection_over_loopback() {
        let (mut ours, theirs) = connected_pair().await.unwrap();
        assert_eq!(ours.local_addr().unwrap(), theirs.peer_addr().unwrap());
        assert!(theirs.peer_addr().unwrap().ip().is_loopback());
        let mut server = std::net::TcpStream::from(blocking(theirs).unwrap());
        ours.write_all(b"hello").await.unwrap();
        let mut read = [0; 5];
        std::io::Read::read_exact(&mut server, &mut read).unwrap();
        assert_eq!(&read, b"hello");
    }

    #[test]
    fn the_first_line_names_the_destination() {
        assert_eq!(parse(b"ssh"), Some(Destination::Ssh));
        assert_eq!(parse(b"health"), Some(Destination::Health));
        assert_eq!(parse(b"way-out"), Some(Destination::WayOut));
        assert_eq!(parse(b"tcp 127.0.0.1:80"), Some(Destination::Tcp(vec!["127.0.0.1:80".parse().unwrap()])));
        assert_eq!(parse(b"tcp [::1]:80"), Some(Destination::Tcp(vec!["[::1]:80".parse().unwrap()])));
        let both = vec!["127.0.0.1:80".parse().unwrap(), "[::1]:80".parse().unwrap()];
        assert_eq!(parse(b"tcp localhost:80"), Some(Destination::Tcp(both)));
        for bad in [&b""[..], b"tcp", b"tcp x:80", b"tcp 127.0.0.1", b"udp 127.0.0.1:80", b"ssh "] {
            assert_eq!(parse(bad), None);
        }
    }
}
