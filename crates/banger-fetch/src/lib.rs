//! HTTP to untrusted servers, and the one downloader. A server that the user named may redirect, but not to places that only
//! we can reach: a redirection to this host, to a cloud's metadata service or to a private network is refused, whatever name
//! the place has, and so is one from HTTPS to HTTP. Credentials are sent only to the server that they belong to.
//!
//! ```text
//! Web ─▶ Source ─▶ fill      into a file: continued, limited, its digest checked while it is written
//!               └▶ Download  read while it comes: continued and limited; the reader checks the digest
//! ```
//!
//! Every download has a limit in bytes and ends when nothing or almost nothing comes. Dropping its future cancels it. The
//! meaning of a response is up to the [`Source`].

mod body;
mod chunks;
mod detour;
mod error;
mod file;
mod guard;
mod pace;
mod patience;
mod reach;
mod resume;
mod source;
mod stream;
#[cfg(test)]
mod test_server;
mod tls_probe;
mod tries;
mod unreachable;
mod web;

pub use body::Body;
pub use chunks::{ChunkReader, ChunkSender, chunks};
pub use detour::Detour;
pub use error::{FetchError, SourceError};
pub use file::{Decode, Filled, Size, Target, Wanted, fill};
pub use guard::has_proxy;
pub use pace::Pace;
pub use patience::Patience;
pub use reach::Reach;
pub use resume::Encoding;
pub use source::{Source, UrlSource, ask_in_time};
pub use stream::Download;
pub use tls_probe::speaks_tls;
pub use tries::Tries;
pub use unreachable::Unreachable;
pub use web::{Answer, Question, Web, WebError, WebOptions, is_on_this_host, names_this_host};
