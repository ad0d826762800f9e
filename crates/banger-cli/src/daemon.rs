//! `daemon status|stop`. Neither starts one.

use banger_client::{ClientError, EnsureError, Found, end, end_lost, end_silent, find, lost};
use banger_sys::lock_holder::LockHolder;
use banger_sys::paths::Paths;
use jiff::Timestamp;
use serde_json::json;

use crate::args::daemon::DaemonCommand;
use crate::error::CliError;
use crate::progress::Board;
use crate::render::{self, ago, bytes};

/// Runs the command.
pub(crate) async fn run(paths: &Paths, command: DaemonCommand, board: &Board) -> Result<(), CliError> {
    let found = match find(paths).await {
        Err(EnsureError::Ask { source: ClientError::Silent { .. } })
            if matches!(command, DaemonCommand::Stop { force: true, .. }) =>
        {
            end_silent(paths).await?;
            return tell_stopped(&command, board, "killed the daemon; VMs keep running");
        }
        found => found.map_err(unwrap_refusal)?,
    };
    match (&command, found) {
        (DaemonCommand::Status(args), found) if args.json => render::print_json(&status(&found)),
        (DaemonCommand::Status(_), found) => {
            render::print(&sheet(&found, Timestamp::now()))?;
            if let Found::Lost(LockHolder { socket: Some(_), .. }) = found {
                render::say("hint: stop it; VMs keep running: banger daemon stop --force");
            }
            Ok(())
        }
        (DaemonCommand::Stop { .. }, Found::Nobody) => {
            tell_stopped(&command, board, "the daemon is not running")
        }
        (DaemonCommand::Stop { force: false, .. }, Found::Lost(holder)) => Err(lost(paths, &holder).into()),
        (DaemonCommand::Stop { .. }, Found::Lost(holder)) => {
            end_lost(&holder).await?;
            tell_stopped(&command, board, "stopped the daemon; VMs keep running")
        }
        (DaemonCommand::Stop { force, .. }, Found::Listens(client, info)) => {
            end(&client, &info, *force).await.map_err(unwrap_refusal)?;
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

fn status(found: &Found) -> serde_json::Value {
    match found {
        Found::Nobody => json!({ "is_running": false }),
        Found::Lost(holder) => json!({
            "is_running": true, "is_reachable": false, "pid": holder.process.pid, "socket": holder.socket
        }),
        Found::Listens(_, info) => {
            let mut value = json!(info);
            if let Some(fields) = value.as_object_mut() {
                fields.insert("is_running".to_owned(), true.into());
            }
            value
        }
    }
}

fn sheet(found: &Found, now: Timestamp) -> String {
    let info = match found {
        Found::Nobody => return render::sheet(12, [("state", "not running".to_owned())]),
        Found::Lost(LockHolder { process, socket }) => {
            let state = match socket {
                Some(socket) => format!("does not listen on `{}`", socket.display()),
                None => "starting or stopping".to_owned(),
            };
            return render::sheet(12, [("state", state), ("pid", process.pid.to_string())]);
        }
        Found::Listens(_, info) => info,
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
    use std::path::Path;

    use banger_api::{API_VERSION, DaemonInfo};
    use banger_client::Client;
    use banger_sys::process::ProcessIdentity;

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
        let found = Found::Listens(Client::new(Path::new("/s")), info);
        insta::assert_snapshot!(sheet(&found, "2026-01-01T00:00:09Z".parse().unwrap()), @r"
        state       running
        version     0.1.0
        pid         77
        started     9 seconds ago (2026-01-01T00:00:00Z)
        work        1 operation or session
        memory      12.0 MiB
        ");
        let told = |found| sheet(&found, Timestamp::UNIX_EPOCH);
        assert_eq!(told(Found::Nobody), "state       not running\n");
        let process = ProcessIdentity { pid: 77, start_ticks: 1 };
        let lost = |socket: Option<&str>| Found::Lost(LockHolder { process, socket: socket.map(Into::into) });
        assert_eq!(told(lost(Some("/s"))), "state       does not listen on `/s`\npid         77\n");
        assert_eq!(told(lost(None)), "state       starting or stopping\npid         77\n");
    }
}
