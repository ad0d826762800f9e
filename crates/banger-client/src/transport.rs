//! The way to a daemon: its socket on this host, or anything else that carries bytes both ways, as ssh does.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use banger_sys::socket::connect_following_links;
use tokio::io::{AsyncRead, AsyncWrite};

/// A connection to a daemon.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// A connection that is being made.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Connection>>> + Send + 'a>>;

/// A way to a daemon; its text names the daemon in errors. Every request has a connection of its own.
pub trait Transport: fmt::Display + Send + Sync {
    /// Connects. [`io::ErrorKind::NotFound`] and [`io::ErrorKind::ConnectionRefused`] mean that no daemon is there.
    fn connect(&self) -> Connecting<'_>;
}

/// The socket of a daemon on this host.
#[derive(Clone, Debug)]
pub(crate) struct Socket(PathBuf);

impl Socket {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(formatter)
    }
}

impl Transport for Socket {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async {
            let stream = connect_following_links(&self.0).await?;
            Ok(Box::new(stream) as Box<dyn Connection>)
        })
    }
}
