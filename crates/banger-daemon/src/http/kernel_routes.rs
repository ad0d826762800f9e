//! Kernels.

use axum::Json;
use axum::extract::State;
use banger_api::{
    CatalogKernel, DeleteKernelQuery, ErrorBody, ImportKernel, KernelDetails, KernelView, OperationView,
    PullRequest, route,
};
use banger_image::Replace;
use banger_model::KernelName;

use super::extract::{Body, Parameters, Segment};
use super::refusal::Refusal;
use super::state::ApiState;
use super::{requests, views};

type Answer<T> = Result<Json<T>, Refusal>;

#[utoipa::path(get, path = route::LIST_KERNELS.template, operation_id = "list_kernels", responses((status = 200, body = Vec<KernelView>)))]
pub(super) async fn list(State(state): State<ApiState>) -> Answer<Vec<KernelView>> {
    Ok(Json(state.kernels.list()?.iter().map(views::kernel).collect()))
}

#[utoipa::path(get, path = route::SHOW_KERNEL.template, operation_id = "show_kernel", params(("name" = KernelName, Path)), responses((status = 200, body = KernelDetails), (status = 404, body = ErrorBody)))]
pub(super) async fn show(State(state): State<ApiState>, Segment(name): Segment) -> Answer<KernelDetails> {
    Ok(Json(views::kernel_details(state.kernels.show(&name)?)))
}

#[utoipa::path(get, path = route::LIST_CATALOG_KERNELS.template, operation_id = "list_catalog_kernels", responses((status = 200, body = Vec<CatalogKernel>)))]
pub(super) async fn list_catalog(State(state): State<ApiState>) -> Answer<Vec<CatalogKernel>> {
    Ok(Json(state.kernels.catalog().into_iter().map(views::catalog_kernel).collect()))
}

#[utoipa::path(post, path = route::IMPORT_KERNEL.template, operation_id = "import_kernel", request_body = ImportKernel, responses((status = 200, body = OperationView), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn import(
    State(state): State<ApiState>,
    Body(request): Body<ImportKernel>,
) -> Answer<OperationView> {
    let (request, replace) = requests::import_request(request);
    Ok(Json(views::operation(state.kernels.import(request, replace).await?)))
}

#[utoipa::path(post, path = route::PULL_KERNEL.template, operation_id = "pull_kernel", request_body = PullRequest, responses((status = 200, body = OperationView), (status = 400, body = ErrorBody)))]
pub(super) async fn pull(
    State(state): State<ApiState>,
    Body(request): Body<PullRequest>,
) -> Answer<OperationView> {
    Ok(Json(views::operation(state.kernels.pull(request.name, Replace::when(request.force))?)))
}

#[utoipa::path(post, path = route::DELETE_KERNEL.template, operation_id = "delete_kernel", params(("name" = KernelName, Path), DeleteKernelQuery), responses((status = 200, body = OperationView), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn delete(
    State(state): State<ApiState>,
    Segment(name): Segment,
    Parameters(query): Parameters<DeleteKernelQuery>,
) -> Answer<OperationView> {
    Ok(Json(views::operation(state.kernels.delete(&name, query.force)?)))
}
