//! The command line: what can be typed. Names and sizes become types here, so that a bad one is refused before
//! anything starts. What a combination of arguments means is decided in `plan`.

mod cli;
pub(crate) mod create;
pub(crate) mod daemon;
pub(crate) mod image;
pub(crate) mod kernel;
pub(crate) mod process;
pub(crate) mod shared;
pub(crate) mod vm;

pub(crate) use cli::{Cli, Command, command, parse};
