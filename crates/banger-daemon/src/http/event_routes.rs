//! Events, a line of JSON each.

use axum::Extension;
use axum::body::Body as ResponseBody;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use banger_api::{ErrorBody, EventView};
use bytes::Bytes;
use futures::stream;
use serde::Deserialize;

use super::connections::Patience;
use super::extract::Parameters;
use super::refusal::Refusal;
use super::state::ApiState;
use crate::vm::VmError;

const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    /// Cursor of the last event that the caller knows; absent: events from now on.
    #[param(minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    after: Option<i64>,
    /// Go on with what comes.
    #[serde(default)]
    follow: bool,
}

#[utoipa::path(get, path = "/v1/events", operation_id = "list_events", params(EventsQuery), responses((status = 200, body = EventView, content_type = "application/x-ndjson"), (status = 400, body = ErrorBody)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Extension(patience): Extension<Patience>,
    Parameters(query): Parameters<EventsQuery>,
) -> Result<Response, Refusal> {
    patience.grant();
    let reader = state.events.read_after(query.after).map_err(VmError::Store)?;
    let shutdown = state.shutdown.clone();
    let chunks = stream::try_unfold(reader, move |mut reader| {
        let shutdown = shutdown.clone();
        async move {
            let events = tokio::select! {
                biased;
                () = shutdown.cancelled() => None,
                events = reader.next(query.follow) => events.map_err(std::io::Error::other)?,
            };
            let Some(events) = events else { return Ok::<_, std::io::Error>(None) };
            let mut lines = Vec::new();
            for event in events {
                serde_json::to_writer(&mut lines, &event)?;
                lines.push(b'\n');
            }
            Ok(Some((Bytes::from(lines), reader)))
        }
    });
    let mut response = ResponseBody::from_stream(chunks).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, NDJSON);
    Ok(response)
}
