//! HTTP to strangers. A server that the user named may send us on, but not to where only we can reach: an answer that leads
//! to this host, to a cloud's metadata or to a private network is refused, whatever name the place goes by. Credentials
//! stay with the server that they are for.
//!
//! This crate decides where a request goes and how slow its answer may be. What an answer means is its caller's.

mod detour;
mod guard;
mod pace;
mod reach;
mod tls_probe;
mod web;

pub use detour::Detour;
pub use pace::Pace;
pub use reach::Reach;
pub use tls_probe::speaks_tls;
pub use web::{Answer, Question, Web, WebError, WebOptions, is_on_this_host, names_this_host};
