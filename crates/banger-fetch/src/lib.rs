//! HTTP to untrusted servers. A server that the user named may redirect, but not to places that only we can reach: a
//! redirection to this host, to a cloud's metadata service or to a private network is refused, whatever name the place has.
//! Credentials are sent only to the server that they belong to.
//!
//! This crate decides where a request goes and how slow its response may be. The meaning of a response is up to the caller.

mod detour;
mod guard;
mod pace;
mod patience;
mod reach;
mod tls_probe;
mod web;

pub use detour::Detour;
pub use pace::Pace;
pub use patience::Patience;
pub use reach::Reach;
pub use tls_probe::speaks_tls;
pub use web::{Answer, Question, Web, WebError, WebOptions, is_on_this_host, names_this_host};
