//! Operations.

use axum::Json;
use axum::extract::State;
use banger_api::{ErrorBody, ErrorCode, OperationView};
use serde::Deserialize;

use super::extract::{Parameters, Segment};
use super::refusal::Refusal;
use super::state::ApiState;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct StatusQuery {
    /// The last revision that the caller knows.
    #[serde(default)]
    #[param(maximum = 9_007_199_254_740_991_u64)]
    after: u64,
}

#[utoipa::path(get, path = "/v1/operations", operation_id = "list_operations", responses((status = 200, body = Vec<OperationView>)))]
pub(super) async fn list(State(state): State<ApiState>) -> Json<Vec<OperationView>> {
    Json(state.operations.list())
}

#[utoipa::path(get, path = "/v1/operations/{id}", operation_id = "show_operation", params(("id" = String, Path), StatusQuery), responses((status = 200, body = OperationView), (status = 404, body = ErrorBody)))]
pub(super) async fn status(
    State(state): State<ApiState>,
    Segment(id): Segment,
    Parameters(query): Parameters<StatusQuery>,
) -> Result<Json<OperationView>, Refusal> {
    state.operations.status(&id, query.after).await.map(Json).ok_or_else(|| unknown(&id))
}

#[utoipa::path(post, path = "/v1/operations/{id}/cancel", operation_id = "cancel_operation", params(("id" = String, Path)), responses((status = 200, body = OperationView), (status = 404, body = ErrorBody)))]
pub(super) async fn cancel(
    State(state): State<ApiState>,
    Segment(id): Segment,
) -> Result<Json<OperationView>, Refusal> {
    state.operations.cancel(&id).map(Json).ok_or_else(|| unknown(&id))
}

fn unknown(id: &str) -> Refusal {
    Refusal(ErrorBody::new(ErrorCode::NotFound, format!("there is no operation `{id}`")))
}
