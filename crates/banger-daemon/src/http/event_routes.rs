//! Events, a line of JSON each.

use axum::Extension;
use axum::body::Body as ResponseBody;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use banger_api::{ErrorBody, EventView, EventsQuery, route};
use bytes::Bytes;
use futures::stream;

use super::connections::Patience;
use super::extract::Parameters;
use super::refusal::Refusal;
use super::state::ApiState;
use super::views;
use crate::vm::VmError;

const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

#[utoipa::path(get, path = route::LIST_EVENTS.template, operation_id = "list_events", params(EventsQuery), responses((status = 200, body = EventView, content_type = "application/x-ndjson"), (status = 400, body = ErrorBody)))]
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
                serde_json::to_writer(&mut lines, &views::event(event))?;
                lines.push(b'\n');
            }
            Ok(Some((Bytes::from(lines), reader)))
        }
    });
    let mut response = ResponseBody::from_stream(chunks).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, NDJSON);
    Ok(response)
}
