//! Images.

use axum::Json;
use axum::extract::State;
use banger_api::{
    ErrorBody, ImageView, OperationView, PackBundle, PruneCache, PrunedCache, PullBundle, PullImage,
};

use super::extract::{Body, Segment};
use super::fault::Refusal;
use super::router::ApiState;

type Answer<T> = Result<Json<T>, Refusal>;

#[utoipa::path(get, path = "/v1/images", operation_id = "list_images", responses((status = 200, body = Vec<ImageView>)))]
pub(super) async fn list(State(state): State<ApiState>) -> Answer<Vec<ImageView>> {
    Ok(Json(state.images.list()?))
}

#[utoipa::path(post, path = "/v1/images/pull", operation_id = "pull_image", request_body = PullImage, responses((status = 200, body = OperationView), (status = 400, body = ErrorBody)))]
pub(super) async fn pull(
    State(state): State<ApiState>,
    Body(request): Body<PullImage>,
) -> Answer<OperationView> {
    Ok(Json(state.images.pull(&request)?))
}

#[utoipa::path(post, path = "/v1/images/pull-bundle", operation_id = "pull_image_bundle", request_body = PullBundle, responses((status = 200, body = OperationView), (status = 400, body = ErrorBody)))]
pub(super) async fn pull_bundle(
    State(state): State<ApiState>,
    Body(request): Body<PullBundle>,
) -> Answer<OperationView> {
    Ok(Json(state.images.pull_bundle(&request)?))
}

#[utoipa::path(post, path = "/v1/images/{image}/bundle", operation_id = "pack_image_bundle", params(("image" = String, Path)), request_body = PackBundle, responses((status = 200, body = OperationView), (status = 404, body = ErrorBody)))]
pub(super) async fn pack_bundle(
    State(state): State<ApiState>,
    Segment(image): Segment,
    Body(request): Body<PackBundle>,
) -> Answer<OperationView> {
    Ok(Json(state.images.pack_bundle(&image, request)?))
}

#[utoipa::path(post, path = "/v1/images/cache/prune", operation_id = "prune_image_cache", request_body = PruneCache, responses((status = 200, body = PrunedCache)))]
pub(super) async fn prune_cache(
    State(state): State<ApiState>,
    Body(request): Body<PruneCache>,
) -> Answer<PrunedCache> {
    Ok(Json(state.images.prune_cache(request).await?))
}
