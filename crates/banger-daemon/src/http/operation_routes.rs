//! Operations.

use axum::Json;
use axum::extract::State;
use banger_api::{ErrorBody, ErrorCode, OperationQuery, OperationView, route};

use super::extract::{Parameters, Segment};
use super::refusal::Refusal;
use super::state::ApiState;
use super::views;

#[utoipa::path(get, path = route::LIST_OPERATIONS.template, operation_id = "list_operations", responses((status = 200, body = Vec<OperationView>)))]
pub(super) async fn list(State(state): State<ApiState>) -> Json<Vec<OperationView>> {
    Json(state.operations.list().into_iter().map(views::operation).collect())
}

#[utoipa::path(get, path = route::SHOW_OPERATION.template, operation_id = "show_operation", params(("id" = String, Path), OperationQuery), responses((status = 200, body = OperationView), (status = 404, body = ErrorBody)))]
pub(super) async fn status(
    State(state): State<ApiState>,
    Segment(id): Segment,
    Parameters(query): Parameters<OperationQuery>,
) -> Result<Json<OperationView>, Refusal> {
    state
        .operations
        .status(&id, query.after)
        .await
        .map(views::operation)
        .map(Json)
        .ok_or_else(|| unknown(&id))
}

#[utoipa::path(post, path = route::CANCEL_OPERATION.template, operation_id = "cancel_operation", params(("id" = String, Path)), responses((status = 200, body = OperationView), (status = 404, body = ErrorBody)))]
pub(super) async fn cancel(
    State(state): State<ApiState>,
    Segment(id): Segment,
) -> Result<Json<OperationView>, Refusal> {
    state.operations.cancel(&id).map(views::operation).map(Json).ok_or_else(|| unknown(&id))
}

fn unknown(id: &str) -> Refusal {
    Refusal(ErrorBody::new(ErrorCode::NotFound, format!("there is no operation `{id}`")))
}
