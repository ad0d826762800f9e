//! Resolves names for one guest as the host does, under its policy. Without sockets and clocks: the caller passes what arrives
//! and what time it is, and carries out the [`Step`]s.
//!
//! ```text
//! guest ── ask ──▶ policy ─▶ /etc/hosts ─▶ cache ─▶ lookup ── Step::Send ──▶ servers of the host
//!       ◀─ Step::Answer ─── policy ◀──────────────────────── receive ◀──
//! ```
//!
//! Addresses in answers enter the [`super::NameTable`]; those that are closed to the guest are withheld.

mod cache;
mod guest_resolver;
mod lookup;
mod pace;
mod permit;
mod records;
mod step;

pub use guest_resolver::Resolver;
pub use step::{Asker, Exchange, Moment, Step};
