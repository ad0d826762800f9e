//! A stream of the channel.

use tokio::io::{AsyncRead, AsyncWrite};

/// A stream from the host, over any transport.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A stream from the host.
pub type ByteStream = Box<dyn Stream>;
