//! Checks of the host as clients see them.

use banger_api::{CheckOutcome, CheckView, DoctorReport};

use crate::doctor::{Check, Outcome};

/// Returns the report of all checks.
pub(in crate::http) fn report(checks: Vec<Check>) -> DoctorReport {
    DoctorReport { checks: checks.into_iter().map(check).collect() }
}

fn check(check: Check) -> CheckView {
    let Check { name, outcome, detail, fix } = check;
    let outcome = match outcome {
        Outcome::Pass => CheckOutcome::Pass,
        Outcome::Warn => CheckOutcome::Warn,
        Outcome::Fail => CheckOutcome::Fail,
    };
    CheckView { name, outcome, detail, fix }
}
