//! What came of a command with several targets: told in the order in which they were typed; one failure is a failure.

use banger_api::OperationView;
use serde_json::{Value, json};

use crate::error::CliError;
use crate::form::Form;
use crate::render::{self, complain, say};

/// What came of one target.
pub(crate) struct Outcome {
    pub(crate) target: String,
    /// What `-q` prints of it.
    pub(crate) id: String,
    pub(crate) result: Result<Done, CliError>,
}

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// What came out, as JSON shows it.
    pub(crate) value: Option<Value>,
    /// It was so already.
    pub(crate) was_already: bool,
    /// What the user should know.
    pub(crate) notes: Vec<String>,
}

impl From<OperationView> for Done {
    fn from(operation: OperationView) -> Self {
        Self { value: operation.result, was_already: operation.was_already, notes: operation.notes }
    }
}

/// Tells what was done to which target, and what failed. In JSON, what came out stands under `kind`.
pub(crate) fn tell(done: &str, kind: &str, outcomes: &[Outcome], form: Form) -> Result<(), CliError> {
    if form == Form::Json {
        render::print_json(&outcomes.iter().map(|outcome| as_value(kind, outcome)).collect::<Vec<_>>())?;
    }
    let mut worst = Ok(());
    for outcome in outcomes {
        match &outcome.result {
            Ok(what) => tell_done(done, outcome, what, form)?,
            Err(error) => {
                complain((outcomes.len() > 1).then_some(outcome.target.as_str()), error);
                worst = match worst {
                    Ok(()) => Err(error.told_already()),
                    Err(told) => Err(told),
                };
            }
        }
    }
    worst
}

fn tell_done(done: &str, outcome: &Outcome, what: &Done, form: Form) -> Result<(), CliError> {
    match form {
        Form::Json => Ok(()),
        Form::Ids => render::print(&format!("{}\n", outcome.id)),
        Form::Text => {
            what.notes.iter().for_each(|note| say(note));
            if what.was_already { Ok(()) } else { render::print(&format!("{done} {}\n", outcome.target)) }
        }
    }
}

fn as_value(kind: &str, outcome: &Outcome) -> Value {
    let target = &outcome.target;
    match &outcome.result {
        Ok(Done { value, was_already, notes }) => {
            let parts = [
                Some(("target", json!(target))),
                Some(("ok", json!(true))),
                Some((kind, json!(value))),
                was_already.then(|| ("was_already", json!(true))),
                (!notes.is_empty()).then(|| ("notes", json!(notes))),
            ];
            parts.into_iter().flatten().map(|(name, value)| (name.to_owned(), value)).collect()
        }
        Err(error) => json!({ "target": target, "ok": false, "error": error.to_json() }),
    }
}
