//! `daemon status|stop`. Neither starts one.

use banger_api::{DaemonInfo, route};
use banger_client::{Client, ClientError, EnsureError, end, end_silent, nobody_listens};
use banger_sys::paths::Paths;
use jiff::Timestamp;
use serde_json::json;

use crate::args::daemon::DaemonCommand;
use crate::error::CliError;
use crate::progress::Board;
use crate::render::{self, ago, bytes};

/// Runs the command.
pub(crate) async fn run(paths: &Paths, command: DaemonCommand, board: &Board) -> Result<(), CliError> {
    let client = Client::new(&paths.daemon_socket());
    let info = match client.get::<DaemonInfo>(route::SHOW_INFO).await {
        Ok(info) => Some(info),
        Err(error) if nobody_listens(&error) => None,
        Err(ClientError::Silent { .. }) if matches!(command, DaemonCommand::Stop { force: true, .. }) => {
            end_silent(paths).await?;
            return tell_stopped(&command, board, "killed the daemon; VMs keep running");
        }
        Err(error) => return Err(error.into()),
    };
    match command {
        DaemonCommand::Status(args) if args.json => print_status_json(info.as_ref()),
        DaemonCommand::Status(_) => render::print(&sheet(info.as_ref(), Timestamp::now())),
        DaemonCommand::Stop { force, .. } => {
            let Some(info) = info else {
                return tell_stopped(&command, board, "the daemon is not running");
            };
            end(&client, &info, force).await.map_err(unwrap_refusal)?;
            tell_stopped(&command, board, "stopped the daemon; VMs keep running")
        }
    }
}

/// Tells that no daemon runs any more: on stderr, because there is no result but that.
fn tell_stopped(command: &DaemonCommand, board: &Board, sentence: &str) -> Result<(), CliError> {
    match (command, board) {
        (DaemonCommand::Stop { json, .. }, _) if json.json => {
            render::print_json(&json!({ "is_running": false }))
        }
        (DaemonCommand::Stop { .. } | DaemonCommand::Status(_), Board::Quiet) => Ok(()),
        (DaemonCommand::Stop { .. } | DaemonCommand::Status(_), Board::Live(_) | Board::Plain) => {
            render::say(sentence);
            Ok(())
        }
    }
}

/// What the daemon refuses is told in its own words.
fn unwrap_refusal(error: EnsureError) -> CliError {
    match error {
        EnsureError::Ask { source } => source.into(),
        other => other.into(),
    }
}

fn print_status_json(info: Option<&DaemonInfo>) -> Result<(), CliError> {
    let mut value = json!(info);
    match value.as_object_mut() {
        Some(fields) => drop(fields.insert("is_running".to_owned(), true.into())),
        None => value = json!({ "is_running": false }),
    }
    render::print_json(&value)
}

fn sheet(info: Option<&DaemonInfo>, now: Timestamp) -> String {
    let Some(info) = info else {
        return "state       not running\n".to_owned();
    };
    let work = match info.work_in_progress {
        0 => "none".to_owned(),
        1 => "1 operation or session".to_owned(),
        count => format!("{count} operations and sessions"),
    };
    let outdated = if info.is_outdated { " (its file was replaced)" } else { "" };
    let lines = [
        ("state", "running".to_owned()),
        ("version", format!("{}{outdated}", info.version)),
        ("pid", info.pid.to_string()),
        ("started", format!("{} ({})", ago(&info.started_at, now), info.started_at)),
        ("work", work),
        ("memory", bytes(info.resident_bytes)),
    ];
    render::sheet(12, lines)
}

#[cfg(test)]
mod tests {
    use banger_api::API_VERSION;

    use super::*;

    #[test]
    fn the_daemon_is_shown() {
        let info = DaemonInfo {
            version: "0.1.0".into(),
            api_version: API_VERSION,
            pid: 77,
            started_at: "2026-01-01T00:00:00Z".into(),
            is_outdated: false,
            work_in_progress: 1,
            resident_bytes: 12 << 20,
            disk_floor_bytes: None,
        };
        insta::assert_snapshot!(sheet(Some(&info), "2026-01-01T00:00:09Z".parse().unwrap()), @r"
        state       running
        version     0.1.0
        pid         77
        started     9 seconds ago (2026-01-01T00:00:00Z)
        work        1 operation or session
        memory      12.0 MiB
        ");
        assert_eq!(sheet(None, Timestamp::UNIX_EPOCH), "state       not running\n");
    }
}
