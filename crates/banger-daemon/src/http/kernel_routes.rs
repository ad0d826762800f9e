//! Kernels.

use axum::Json;
use axum::extract::State;
use banger_api::{ErrorBody, KernelView, OperationView, PullRequest};

use super::extract::Body;
use super::fault::Refusal;
use super::router::ApiState;

type Answer<T> = Result<Json<T>, Refusal>;

#[utoipa::path(get, path = "/v1/kernels", operation_id = "list_kernels", responses((status = 200, body = Vec<KernelView>)))]
pub(super) async fn list(State(state): State<ApiState>) -> Answer<Vec<KernelView>> {
    Ok(Json(state.kernels.list()?))
}

#[utoipa::path(post, path = "/v1/kernels/pull", operation_id = "pull_kernel", request_body = PullRequest, responses((status = 200, body = OperationView), (status = 400, body = ErrorBody)))]
pub(super) async fn pull(
    State(state): State<ApiState>,
    Body(request): Body<PullRequest>,
) -> Answer<OperationView> {
    Ok(Json(state.kernels.pull(&request)?))
}
