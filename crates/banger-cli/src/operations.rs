//! `operation list|show|cancel`.

use banger_api::{OperationState, OperationView, StageView, route};
use banger_client::cancel;
use banger_sys::paths::Paths;

use crate::args::daemon::OperationCommand;
use crate::ensure::ensure;
use crate::error::CliError;
use crate::form::Form;
use crate::progress::Board;
use crate::render::{self, seconds};

pub(crate) async fn run(paths: &Paths, command: OperationCommand, board: &Board) -> Result<(), CliError> {
    let client = ensure(paths).await?;
    match command {
        OperationCommand::List(args) => {
            let operations: Vec<OperationView> = client.get(route::LIST_OPERATIONS).await?;
            let form = Form::of(args.json, board);
            form.print_all(&operations, |operation| &operation.id, || table(&operations))
        }
        OperationCommand::Show { id, json } => {
            let operation: OperationView = client.operation(id.as_str(), 0).await?;
            Form::of(json.json, board).print(&operation, &operation.id, || sheet(&operation))
        }
        OperationCommand::Cancel { id, json } => {
            let operation = cancel(&client, &id).await?;
            let told = || format!("{}\n", cancel_line(&operation));
            Form::of(json.json, board).print(&operation, &operation.id, told)
        }
    }
}

/// Tells what came of a cancellation. One that has failed or succeeded had ended before.
fn cancel_line(operation: &OperationView) -> String {
    let state = word(&operation.state);
    match operation.state {
        OperationState::Failed | OperationState::Succeeded => {
            format!("{} had already ended ({state})", operation.id)
        }
        OperationState::Running | OperationState::Cancelling | OperationState::Cancelled => {
            format!("{state} {}", operation.id)
        }
    }
}

fn table(operations: &[OperationView]) -> String {
    let row = |operation: &OperationView| {
        let stage = operation.stages.last().map(stage_text).unwrap_or_default();
        vec![
            operation.id.clone(),
            word(&operation.kind),
            operation.target.clone(),
            word(&operation.state),
            stage,
        ]
    };
    let head = ["ID", "KIND", "TARGET", "STATE", "STAGE"];
    render::table(&head, &operations.iter().map(row).collect::<Vec<_>>())
}

fn sheet(operation: &OperationView) -> String {
    let mut lines = vec![
        ("id", operation.id.clone()),
        ("kind", word(&operation.kind)),
        ("target", operation.target.clone()),
        ("state", word(&operation.state)),
    ];
    lines.extend(operation.stages.iter().map(|stage| ("stage", stage_text(stage))));
    lines.extend(operation.warnings.iter().map(|warning| ("warning", warning.clone())));
    lines.extend(operation.error.iter().map(|error| ("error", error.message.clone())));
    render::sheet(8, lines)
}

fn stage_text(stage: &StageView) -> String {
    let detail = if stage.detail.is_empty() { String::new() } else { format!(": {}", stage.detail) };
    let took = stage.took_ms.map(|took| format!(" ({})", seconds(took))).unwrap_or_default();
    format!("{}{detail}{took}", stage.name)
}

/// The word that a value is in JSON, with spaces.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word.replace('_', " "),
        Ok(_) | Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_shown_with_its_stages_and_its_error() {
        let operation: OperationView = serde_json::from_value(serde_json::json!({
            "id": "op-12ab", "kind": "vm_create", "target": "dev", "state": "failed", "revision": 7,
            "stages": [
                { "name": "create disks", "started_ms": 0, "took_ms": 120 },
                { "name": "start machine", "detail": "qemu/tcg", "started_ms": 120 },
            ],
            "warnings": ["Firecracker 1.18.0 is newer than all that was tried"],
            "error": { "code": "operation_failed", "message": "the machine of VM `dev` does not start" }
        }))
        .unwrap();
        insta::assert_snapshot!(sheet(&operation), @r"
        id      op-12ab
        kind    vm create
        target  dev
        state   failed
        stage   create disks (0.1 s)
        stage   start machine: qemu/tcg
        warning Firecracker 1.18.0 is newer than all that was tried
        error   the machine of VM `dev` does not start
        ");
        assert_eq!(cancel_line(&operation), "op-12ab had already ended (failed)");
        insta::assert_snapshot!(table(&[operation]), @r"
        ID       KIND       TARGET  STATE   STAGE
        op-12ab  vm create  dev     failed  start machine: qemu/tcg
        ");
    }
}
