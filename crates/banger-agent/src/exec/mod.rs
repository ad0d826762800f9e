//! Runs commands for the host: with exactly the given argument list, as the given user, on pipes or a terminal.
//!
//! ```text
//! requests ─▶ input ─▶ stdin / terminal          stdout, stderr ─▶ output ─▶ bounded channel ─▶ replies
//!                 └──▶ signal, resize            exit ─▶ drain what is there ─▶ `exited`
//! ```
//! A slow reader fills the channel, then the pipe, and then blocks the command. When a caller goes away, the whole process
//! tree of the command ends.

mod account;
mod command;
mod defaults;
mod images_command;
mod init_wait;
mod input;
mod leader;
mod memory_kill;
mod output;
mod plan;
mod power_command;
mod replies;
pub(crate) mod session;
mod shutdown_note;
mod start_error;
mod terminal;
mod tree;
mod vm_command;

pub(crate) use command::Commands;
pub(crate) use replies::REPLIES_MAX;
