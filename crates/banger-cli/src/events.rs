//! `events`: what happens, a line of JSON each.

use banger_api::{EventView, EventsQuery, route};
use banger_client::{Client, ClientError};
use banger_sys::paths::Paths;
use http_body_util::BodyExt as _;

use crate::args::daemon::EventsArgs;
use crate::ensure::ensure;
use crate::error::{CliError, Kind};
use crate::render;

const NEWLINE: u8 = b'\n';

/// The daemon sent something that is not an event.
#[derive(Debug, thiserror::Error)]
#[error("the daemon sent an invalid event")]
struct BadEvent(#[source] serde_json::Error);

impl From<BadEvent> for CliError {
    fn from(error: BadEvent) -> Self {
        Self::new(Kind::Unreadable, error)
    }
}

/// Prints events as they come. When the daemon goes away, its successor is asked for what came since.
pub(crate) async fn events(paths: &Paths, args: &EventsArgs) -> Result<(), CliError> {
    let mut after = args.after;
    loop {
        let client = ensure(paths).await?;
        let is_over = print_stream(&client, &mut after, !args.no_follow).await?;
        if is_over || args.no_follow {
            return Ok(());
        }
    }
}

/// Prints one stream to its end; tells whether that is the end of all.
async fn print_stream(client: &Client, after: &mut Option<i64>, follow: bool) -> Result<bool, CliError> {
    let path = route::LIST_EVENTS.asking(&EventsQuery { after: *after, follow });
    let mut body = match client.stream(&path).await {
        Ok(body) => body,
        // It went away between two requests: the next one finds its successor.
        Err(ClientError::Broken { .. } | ClientError::NotReachable { .. }) if follow => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let mut waiting = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Ok(!follow) };
        let Ok(bytes) = frame.into_data() else { continue };
        waiting.extend_from_slice(&bytes);
        let Some(last) = waiting.iter().rposition(|byte| *byte == NEWLINE) else { continue };
        let rest = waiting.split_off(last + 1);
        for line in waiting.split(|byte| *byte == NEWLINE).filter(|line| !line.is_empty()) {
            let event: EventView = serde_json::from_slice(line).map_err(BadEvent)?;
            *after = Some(event.cursor);
        }
        render::print_json_text(&waiting)?;
        waiting = rest;
    }
    Ok(!follow)
}
