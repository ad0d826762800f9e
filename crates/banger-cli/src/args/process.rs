//! Arguments of a command in a guest.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use crate::escape_keys::EscapeKeys;

/// How a command runs in the guest.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(crate) struct ProcessArgs {
    /// Set an environment variable; without a value, pass the one of this shell
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    pub(crate) environment: Vec<OsString>,
    /// Read environment variables from a file, a NAME=VALUE or NAME on each line
    #[arg(long = "env-file", value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) environment_files: Vec<PathBuf>,
    /// Working directory of the command [default: the image's, or the user's home]
    #[arg(short, long, value_name = "DIRECTORY")]
    pub(crate) workdir: Option<OsString>,
    /// User to run the command as: NAME or UID, with an optional :GROUP [default: the image's, or root]
    #[arg(short, long)]
    pub(crate) user: Option<String>,
    /// Allocate a terminal [default: if stdin and stdout are terminals]
    #[arg(short, long, conflicts_with = "no_tty")]
    pub(crate) tty: bool,
    /// Accepted and not needed: stdin is connected unless --no-stdin
    #[arg(short, long, hide = true)]
    pub(crate) interactive: bool,
    /// Do not allocate a terminal
    #[arg(short = 'T', long)]
    pub(crate) no_tty: bool,
    /// Do not connect stdin, as `ssh -n`; for loops such as `while read`
    #[arg(short = 'n', long, conflicts_with_all = ["interactive", "tty"])]
    pub(crate) no_stdin: bool,
    /// Keys that leave a session on a terminal and end its command: a character to type before `.` at the beginning of
    /// a line, or keys anywhere, as in `ctrl-p,ctrl-q`, or `none` [default: ~]
    #[arg(long, value_name = "KEYS")]
    pub(crate) escape_keys: Option<EscapeKeys>,
}
