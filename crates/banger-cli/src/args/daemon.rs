//! The commands under `daemon` and `operation`, and that of the events.

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;

use crate::args::shared::JsonArgs;
use crate::completion;

pub(super) const EVENTS_EXAMPLES: &str = "Examples:
  banger events                        events from now on
  banger events --after 0 --no-follow  past events that are still stored
  banger events --after 1234           events after cursor 1234, and new ones";

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Start after this cursor, the `cursor` of an earlier event [default: now]
    #[arg(long, value_name = "CURSOR", value_parser = parse_cursor)]
    pub(crate) after: Option<i64>,
    /// Exit after the stored events
    #[arg(long)]
    pub(crate) no_follow: bool,
    /// Accepted and not needed: events are followed unless --no-follow
    #[arg(short, long, hide = true, conflicts_with = "no_follow")]
    pub(crate) follow: bool,
    /// Accepted and not needed: events are always JSON
    #[arg(long, hide = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OperationCommand {
    /// List running and recent operations
    #[command(visible_alias = "ls", after_help = "Example:\n  banger operation list --json")]
    List(JsonArgs),
    /// Show an operation with its stages
    #[command(visible_alias = "inspect", after_help = "Example:\n  banger operation show op-0123456789ab")]
    Show {
        /// Operation ID, as in op-0123456789ab
        #[arg(value_parser = parse_operation, add = ArgValueCandidates::new(completion::operations))]
        id: String,
        #[command(flatten)]
        json: JsonArgs,
    },
    /// Cancel an operation and undo what it has done
    #[command(after_help = "Example:\n  banger operation cancel op-0123456789ab")]
    Cancel {
        /// Operation ID, as in op-0123456789ab
        #[arg(value_parser = parse_operation, add = ArgValueCandidates::new(completion::running_operations))]
        id: String,
        #[command(flatten)]
        json: JsonArgs,
    },
}

/// The id of an operation: it becomes a part of a path.
fn parse_operation(text: &str) -> Result<String, String> {
    let is_id = text
        .strip_prefix("op-")
        .is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_hexdigit()));
    if is_id {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not an operation ID; `banger operation list` shows them"))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum DaemonCommand {
    /// Show the daemon without starting it
    #[command(visible_aliases = ["show", "info"], after_help = "Example:\n  banger daemon status --json")]
    Status(JsonArgs),
    /// Stop the daemon; VMs keep running
    #[command(after_help = "Example:\n  banger daemon stop")]
    Stop {
        /// Stop the daemon even while operations are in progress
        #[arg(short, long)]
        force: bool,
        #[command(flatten)]
        json: JsonArgs,
    },
}

fn parse_cursor(text: &str) -> Result<i64, String> {
    let cursor = text.parse().ok().filter(|cursor| *cursor >= 0);
    cursor.ok_or_else(|| format!("`{text}` is not a valid cursor; use the `cursor` of an earlier event"))
}
