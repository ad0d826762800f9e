//! Completes the OpenAPI document: what holds for every route is said here once, not at each of them.
//! Source of the format: OpenAPI Specification 3.1.0, "Responses Object" and "Response Object".

use banger_api::{ErrorCode, http_status};
use utoipa::openapi::path::{Operation, Parameter, ParameterIn};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder};

/// Adds the errors that a route can answer with, and a description to every answer.
pub(super) fn complete(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        let (get, post) = (item.get.iter_mut(), item.post.iter_mut());
        get.for_each(|operation| complete_operation(operation, false));
        post.for_each(|operation| complete_operation(operation, true));
    }
}

fn complete_operation(operation: &mut Operation, is_work: bool) {
    for code in errors_of(operation, is_work) {
        let status = http_status(code).to_string();
        operation.responses.responses.entry(status).or_insert_with(|| RefOr::T(error()));
    }
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            describe(status).clone_into(&mut response.description);
        }
    }
}

/// Returns one error of each status that a route can answer with.
fn errors_of(operation: &Operation, is_work: bool) -> Vec<ErrorCode> {
    let parameters = operation.parameters.as_deref().unwrap_or_default();
    let is_in_path = |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Path);
    let names_something = parameters.iter().any(is_in_path);
    // Whatever is asked can have a parameter or a body too many.
    let mut errors = vec![ErrorCode::OperationFailed, ErrorCode::BadRequest, ErrorCode::RequestTooLarge];
    if operation.request_body.is_some() {
        errors.push(ErrorCode::UnsupportedMediaType);
    }
    if names_something || is_work {
        errors.extend([ErrorCode::NotFound, ErrorCode::NotRunning]);
    }
    errors
}

fn error() -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
    ResponseBuilder::new().content("application/json", content).build()
}

fn describe(status: &str) -> &'static str {
    match status {
        "101" => "The connection is a stream to the guest from here on.",
        "200" => "What was asked for.",
        "400" => "The request is not valid. Nothing was made or changed.",
        "404" => "What the request names does not exist.",
        "409" => "The state of what the request names does not allow it.",
        "413" => "The request's body is too long. Nothing was made or changed.",
        "415" => "The request's body is not JSON. Nothing was made or changed.",
        _ => "The work failed.",
    }
}
