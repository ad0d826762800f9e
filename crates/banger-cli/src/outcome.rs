//! What came of a command with several targets: told in the order in which they were typed; one failure is a failure.

use serde_json::{Value, json};

use crate::error::{CliError, chain};
use crate::render::{self, complain};

/// What came of one target.
pub(crate) struct Outcome {
    pub(crate) target: String,
    pub(crate) result: Result<Option<Value>, CliError>,
}

/// Tells what was done to which target, and what failed. In JSON, what came out stands under `kind`.
pub(crate) fn tell(done: &str, kind: &str, outcomes: &[Outcome], as_json: bool) -> Result<(), CliError> {
    if as_json {
        render::print_json(&outcomes.iter().map(|outcome| as_value(kind, outcome)).collect::<Vec<_>>())?;
    }
    let mut worst = Ok(());
    for outcome in outcomes {
        match &outcome.result {
            Ok(_) if as_json => {}
            Ok(_) => render::print(&format!("{done} {}\n", outcome.target))?,
            Err(error) => {
                complain((outcomes.len() > 1).then_some(outcome.target.as_str()), error);
                worst = match (worst, error) {
                    (Ok(()), CliError::Interrupted { stop, .. }) => Err(CliError::ToldStop(*stop)),
                    (Err(CliError::ToldStop(stop)), _) => Err(CliError::ToldStop(stop)),
                    (_, _) => Err(CliError::Told),
                };
            }
        }
    }
    worst
}

fn as_value(kind: &str, outcome: &Outcome) -> Value {
    let target = &outcome.target;
    match &outcome.result {
        Ok(result) => json!({ "target": target, "ok": true, kind: result }),
        Err(CliError::Refused(body)) => json!({ "target": target, "ok": false, "error": body }),
        Err(error) => json!({ "target": target, "ok": false, "error": { "message": chain(error) } }),
    }
}
