//! Operations as clients see them, with what came out in the form in which its own route shows it.

use banger_api::{ErrorBody, OperationView, StagePartView, StageView};
use serde_json::Value;

use super::image::bundle;
use super::{image, kernel, vm};
use crate::facts::Outcome;
use crate::operation::{OperationStatus, Stage};

/// Returns an operation.
pub(in crate::http) fn operation(status: OperationStatus) -> OperationView {
    let (result, no_result) = match status.outcome.as_ref().map(value).transpose() {
        Ok(result) => (result, None),
        Err(error) => (None, Some(error)),
    };
    OperationView {
        id: status.id,
        kind: status.kind,
        target: status.target,
        state: status.state,
        revision: status.revision,
        stages: status.stages.into_iter().map(stage).collect(),
        warnings: status.warnings,
        result,
        error: status.failure.map(ErrorBody::from).or(no_result),
        was_already: status.was_already,
        notes: status.notes,
    }
}

fn value(outcome: &Outcome) -> Result<Value, ErrorBody> {
    let written = match outcome {
        Outcome::Nothing => Ok(Value::Null),
        Outcome::Vm(facts) => serde_json::to_value(vm(facts)),
        Outcome::Image(facts) => serde_json::to_value(image(facts)),
        Outcome::Kernel(facts) => serde_json::to_value(kernel(facts)),
        Outcome::Bundle(packed) => serde_json::to_value(bundle(packed)?),
    };
    written.map_err(|error| ErrorBody::internal(&error))
}

fn stage(stage: Stage) -> StageView {
    let parts = stage.parts.into_iter().map(|part| StagePartView {
        label: part.label,
        done_bytes: part.done_bytes,
        total_bytes: part.total_bytes,
    });
    StageView {
        name: stage.name,
        detail: stage.detail,
        started_ms: stage.started_ms,
        took_ms: stage.took_ms,
        done_bytes: stage.done_bytes,
        total_bytes: stage.total_bytes,
        parts: parts.collect(),
    }
}
