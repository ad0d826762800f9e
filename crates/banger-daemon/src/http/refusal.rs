//! Errors as responses.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use banger_api::ErrorBody;
use tracing::info;

use crate::fault::{Failure, Fault};
use crate::operation::current_id;

/// An error as a response.
#[derive(Clone, Debug)]
pub(super) struct Refusal(pub(super) ErrorBody);

impl<F: Fault> From<F> for Refusal {
    fn from(fault: F) -> Self {
        Self(fault.to_failure().into())
    }
}

impl From<Failure> for ErrorBody {
    fn from(failure: Failure) -> Self {
        let Failure { code, message, hint, op_id, console } = failure;
        Self { code, message, hint, op_id, console }
    }
}

impl IntoResponse for Refusal {
    fn into_response(mut self) -> Response {
        if let Some(id) = current_id() {
            info!(op = id, error = self.0.message, "refused");
            self.0.op_id.get_or_insert(id);
        }
        let status = StatusCode::from_u16(banger_api::http_status(self.0.code));
        (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), Json(self.0)).into_response()
    }
}
