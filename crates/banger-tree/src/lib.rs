//! Files and directories as a stream of [`Item`]s, the same on both sides of the guest channel.
//!
//! ```text
//! TreeReader ─▶ Item, Item, … ─▶ wire messages ─▶ channel ─▶ wire messages ─▶ Arrival ─▶ Item, … ─▶ TreeWriter
//! ```
//! A stream is a walk: `enter` a directory, its contents, `leave`. Names are single components ([`EntryName`]), so a sender
//! cannot name a place outside the destination, and the writer goes from open directory to open directory and follows no
//! link, so existing entries cannot lead it out either. The sender does not choose the top entry: an [`Arrival`] accepts the
//! one that was requested, and there is no other way from messages to items. Neither side trusts the other. Memory is
//! bounded by the depth and by one chunk, whatever the size of the tree.

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

/// Maximum number of file bytes in one item, and of all items in one message.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// Maximum depth of directories; each is an open descriptor on both sides.
pub const DEPTH_MAX: usize = 256;
