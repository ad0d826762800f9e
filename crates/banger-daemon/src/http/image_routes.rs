//! Images.

use axum::Json;
use axum::extract::State;
use banger_api::{
    ErrorBody, ImageDetails, ImageView, OperationView, PackBundle, PruneCache, PrunedCache, PullBundle,
    PullImage, RegisterImage, route,
};
use banger_image::Prune;
use banger_model::ImageName;

use super::extract::{Body, Segment};
use super::refusal::Refusal;
use super::state::ApiState;
use super::{requests, views};

type Answer<T> = Result<Json<T>, Refusal>;

#[utoipa::path(get, path = route::LIST_IMAGES.template, operation_id = "list_images", responses((status = 200, body = Vec<ImageView>)))]
pub(super) async fn list(State(state): State<ApiState>) -> Answer<Vec<ImageView>> {
    Ok(Json(state.images.list()?.iter().map(views::image).collect()))
}

#[utoipa::path(get, path = route::SHOW_IMAGE.template, operation_id = "show_image", params(("name" = ImageName, Path)), responses((status = 200, body = ImageDetails), (status = 404, body = ErrorBody)))]
pub(super) async fn show(State(state): State<ApiState>, Segment(name): Segment) -> Answer<ImageDetails> {
    Ok(Json(views::image_details(state.images.show(&name)?)))
}

#[utoipa::path(post, path = route::REGISTER_IMAGE.template, operation_id = "register_image", request_body = RegisterImage, responses((status = 200, body = OperationView), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn register(
    State(state): State<ApiState>,
    Body(request): Body<RegisterImage>,
) -> Answer<OperationView> {
    Ok(Json(views::operation(state.images.register(requests::registration(request)?).await?)))
}

#[utoipa::path(post, path = route::PROMOTE_IMAGE.template, operation_id = "promote_image", params(("name" = ImageName, Path)), responses((status = 200, body = OperationView), (status = 404, body = ErrorBody)))]
pub(super) async fn promote(State(state): State<ApiState>, Segment(name): Segment) -> Answer<OperationView> {
    Ok(Json(views::operation(state.images.promote(&name)?)))
}

#[utoipa::path(post, path = route::DELETE_IMAGE.template, operation_id = "delete_image", params(("name" = ImageName, Path)), responses((status = 200, body = OperationView), (status = 404, body = ErrorBody)))]
pub(super) async fn delete(State(state): State<ApiState>, Segment(name): Segment) -> Answer<OperationView> {
    Ok(Json(views::operation(state.images.delete(&name)?)))
}

#[utoipa::path(post, path = route::PULL_IMAGE.template, operation_id = "pull_image", request_body = PullImage, responses((status = 200, body = OperationView), (status = 400, body = ErrorBody)))]
pub(super) async fn pull(
    State(state): State<ApiState>,
    Body(request): Body<PullImage>,
) -> Answer<OperationView> {
    Ok(Json(views::operation(state.images.pull(requests::image_wish(request)?)?)))
}

#[utoipa::path(post, path = route::PULL_IMAGE_BUNDLE.template, operation_id = "pull_image_bundle", request_body = PullBundle, responses((status = 200, body = OperationView), (status = 400, body = ErrorBody)))]
pub(super) async fn pull_bundle(
    State(state): State<ApiState>,
    Body(request): Body<PullBundle>,
) -> Answer<OperationView> {
    let force = request.force;
    Ok(Json(views::operation(state.images.pull_bundle(requests::bundle_pull(request)?, force)?)))
}

#[utoipa::path(post, path = route::PACK_IMAGE_BUNDLE.template, operation_id = "pack_image_bundle", params(("name" = ImageName, Path)), request_body = PackBundle, responses((status = 200, body = OperationView), (status = 404, body = ErrorBody)))]
pub(super) async fn pack_bundle(
    State(state): State<ApiState>,
    Segment(name): Segment,
    Body(request): Body<PackBundle>,
) -> Answer<OperationView> {
    Ok(Json(views::operation(state.images.pack_bundle(&name, request.output.into())?)))
}

#[utoipa::path(post, path = route::PRUNE_IMAGE_CACHE.template, operation_id = "prune_image_cache", request_body = PruneCache, responses((status = 200, body = PrunedCache)))]
pub(super) async fn prune_cache(
    State(state): State<ApiState>,
    Body(request): Body<PruneCache>,
) -> Answer<PrunedCache> {
    let prune = if request.dry_run { Prune::DryRun } else { Prune::Remove };
    let pruned = state.images.prune_cache(prune).await?;
    Ok(Json(PrunedCache { blobs: pruned.blobs, bytes: pruned.bytes }))
}
