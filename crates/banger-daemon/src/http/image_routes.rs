//! Kernels and images.

use axum::Json;
use axum::extract::State;
use banger_api::{ErrorBody, ImageView, KernelView, OperationView, PullRequest};

use super::extract::Body;
use super::fault::Refusal;
use super::router::ApiState;

type Answer<T> = Result<Json<T>, Refusal>;

#[utoipa::path(get, path = "/v1/kernels", responses((status = 200, body = Vec<KernelView>)))]
pub(super) async fn list_kernels(State(state): State<ApiState>) -> Answer<Vec<KernelView>> {
    Ok(Json(state.images.list_kernels()?))
}

#[utoipa::path(get, path = "/v1/images", responses((status = 200, body = Vec<ImageView>)))]
pub(super) async fn list_images(State(state): State<ApiState>) -> Answer<Vec<ImageView>> {
    Ok(Json(state.images.list_images()?))
}

#[utoipa::path(post, path = "/v1/kernels/pull", request_body = PullRequest, responses((status = 200, body = OperationView), (status = 400, body = ErrorBody)))]
pub(super) async fn pull_kernel(
    State(state): State<ApiState>,
    Body(request): Body<PullRequest>,
) -> Answer<OperationView> {
    Ok(Json(state.images.pull_kernel(&request)?))
}

#[utoipa::path(post, path = "/v1/images/pull", request_body = PullRequest, responses((status = 200, body = OperationView), (status = 400, body = ErrorBody)))]
pub(super) async fn pull_image(
    State(state): State<ApiState>,
    Body(request): Body<PullRequest>,
) -> Answer<OperationView> {
    Ok(Json(state.images.pull_image(&request)?))
}
