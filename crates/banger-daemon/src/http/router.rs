//! All routes.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, Uri};
use axum::middleware::Next;
use axum::response::Response;
use banger_api::{ErrorBody, ErrorCode, route};
use banger_model::{Hint, VmRef};
use bytes::Bytes;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::BODY_BYTES_MAX;
use super::refusal::Refusal;
use super::request_rules::{RequestRules, hold};
use super::state::ApiState;
use super::{
    channel, daemon_routes, document, event_routes, image_routes, kernel_routes, operation_routes, vm_routes,
};
use crate::operation::within_new;

#[derive(OpenApi)]
#[openapi(
    info(title = "bangerd", description = "Development sandboxes on microVMs"),
    components(schemas(VmRef))
)]
struct Document;

fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(daemon_routes::service))
        .routes(routes!(daemon_routes::info))
        .routes(routes!(daemon_routes::defaults))
        .routes(routes!(daemon_routes::doctor))
        .routes(routes!(daemon_routes::shutdown))
        .routes(routes!(vm_routes::list, vm_routes::create))
        .routes(routes!(vm_routes::show))
        .routes(routes!(vm_routes::start))
        .routes(routes!(vm_routes::stop))
        .routes(routes!(vm_routes::restart))
        .routes(routes!(vm_routes::kill))
        .routes(routes!(vm_routes::delete))
        .routes(routes!(vm_routes::set))
        .routes(routes!(vm_routes::touch))
        .routes(routes!(vm_routes::logs))
        .routes(routes!(vm_routes::ports))
        .routes(routes!(vm_routes::stats))
        .routes(routes!(vm_routes::ssh))
        .routes(routes!(vm_routes::ending))
        .routes(routes!(channel::open))
        .routes(routes!(kernel_routes::list, kernel_routes::import))
        .routes(routes!(kernel_routes::pull))
        .routes(routes!(kernel_routes::show))
        .routes(routes!(kernel_routes::delete))
        .routes(routes!(kernel_routes::list_catalog))
        .routes(routes!(image_routes::list, image_routes::register))
        .routes(routes!(image_routes::show))
        .routes(routes!(image_routes::promote))
        .routes(routes!(image_routes::delete))
        .routes(routes!(image_routes::pull))
        .routes(routes!(image_routes::pull_bundle))
        .routes(routes!(image_routes::pack_bundle))
        .routes(routes!(image_routes::prune_cache))
        .routes(routes!(event_routes::list))
        .routes(routes!(operation_routes::list))
        .routes(routes!(operation_routes::status))
        .routes(routes!(operation_routes::cancel))
}

/// Returns all routes, and the whole document about them.
fn documented_routes() -> (Router<ApiState>, utoipa::openapi::OpenApi) {
    let (router, mut document) = routes().split_for_parts();
    document::complete(&mut document);
    (router, document)
}

/// Returns the OpenAPI document.
#[must_use]
pub fn api_document() -> utoipa::openapi::OpenApi {
    documented_routes().1
}

/// Returns the service behind the socket.
pub fn router(state: ApiState) -> Router {
    let (router, document) = documented_routes();
    let rules = RequestRules::of(&document, route::SHOW_DOCUMENT.template);
    // Written once: it is long, and nothing in it changes.
    let text = document.to_json().map(Bytes::from).map_err(|error| Refusal(ErrorBody::internal(&error)));
    let text = text.map(|text| ([(CONTENT_TYPE, "application/json")], text));
    router
        .route(route::SHOW_DOCUMENT.template, axum::routing::get(move || std::future::ready(text.clone())))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(axum::middleware::from_fn_with_state(rules, hold))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(axum::middleware::from_fn(mint_operation_id))
        .with_state(state)
}

/// Whoever asks for work gets the id of its operation with the request, so that a refusal has it, too.
async fn mint_operation_id(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_about_work =
        path.starts_with(route::LIST_OPERATIONS.template) || path == route::SHUT_DOWN.template;
    if request.method() != Method::POST || is_about_work {
        return next.run(request).await;
    }
    within_new(next.run(request)).await
}

/// A route that exists; its methods are in the header `Allow`.
async fn unknown_method(method: Method, uri: Uri) -> Refusal {
    let message = format!("the route `{}` has no method `{method}`", uri.path());
    Refusal(ErrorBody::new(ErrorCode::UnknownMethod, message))
}

async fn unknown_path(uri: Uri) -> Refusal {
    let message = format!("there is no route `{}`", uri.path());
    let hint = Hint::advice(format!("the document `{}` has all routes", route::SHOW_DOCUMENT.template));
    Refusal(ErrorBody::new(ErrorCode::UnknownPath, message).with_hint(hint))
}
