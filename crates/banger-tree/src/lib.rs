//! Files and directories as a stream of [`Item`]s, the same on both sides of the guest channel.
//!
//! ```text
//! TreeReader ─▶ Item, Item, … ─▶ wire messages ─▶ channel ─▶ wire messages ─▶ Arrival ─▶ Item, … ─▶ TreeWriter
//! ```
//! A stream is walked like a person walks: `enter` a directory, what is in it, `leave`. Names are single components
//! ([`EntryName`]), so whoever sends cannot name a place outside of the destination; and the writer goes from open
//! directory to open directory and follows no link, so that nothing that lies there already leads it out either.
//! What is at the top is no choice of the sender's either: an [`Arrival`] takes the one entry that was asked for, and
//! there is no other way from messages to items. Neither side trusts the other. Memory is bounded by depth and by one chunk, whatever the size of the tree.

mod arrival;
mod batches;
mod chunk;
mod destination;
mod item;
mod metadata;
mod name;
mod partial_file;
mod reader;
mod top;
mod wire;
mod write_error;
mod writer;

pub use arrival::{Arrival, ArrivalError, FILE_BYTES_MAX};
pub use batches::batches;
pub use item::{Item, Skipped};
pub use metadata::Metadata;
pub use name::{EntryName, NameError};
pub use reader::{ReadError, TreeReader};
pub use top::{Top, Tops};
pub use wire::{WireError, batch_bytes, to_wire};
pub use write_error::WriteError;
pub use writer::{Owners, Summary, TreeWriter, WriterOptions};

/// Bytes of a file in one item, and of all items that travel together.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// Directories below each other: each is an open descriptor on both sides.
pub const DEPTH_MAX: usize = 256;
