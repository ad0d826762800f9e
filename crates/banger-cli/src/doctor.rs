//! `doctor`: what is missing on the host, and the command that fixes it. A daemon that cannot start is a finding, too.

use banger_api::{CheckOutcome, CheckView, DoctorReport, route};
use banger_client::{ClientError, EnsureError};
use banger_model::{Hint, count};
use banger_sys::paths::Paths;

use crate::ensure::{self, ensure};
use crate::error::{CliError, chain};
use crate::hint;
use crate::painted::Colour;
use crate::painted::{Paint, Painted};
use crate::render;

/// Why the daemon could not tell.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error(transparent)]
    Ensure(EnsureError),
    #[error(transparent)]
    Ask(ClientError),
}

/// Prints the report; fails when a check failed.
pub(crate) async fn doctor(paths: &Paths, as_json: bool) -> Result<(), CliError> {
    let report = ask(paths).await.unwrap_or_else(|error| unreachable_daemon(&error));
    if as_json {
        render::print_json(&report)?;
    } else {
        render::print_painted(&draw(&report, Colour::of_stdout()))?;
    }
    let has_failed = report.checks.iter().any(|check| check.outcome == CheckOutcome::Fail);
    if has_failed { Err(CliError::told()) } else { Ok(()) }
}

async fn ask(paths: &Paths) -> Result<DoctorReport, AskError> {
    let client = ensure(paths).await.map_err(AskError::Ensure)?;
    client.get(route::SHOW_DOCTOR).await.map_err(AskError::Ask)
}

fn unreachable_daemon(error: &AskError) -> DoctorReport {
    let fix = match error {
        AskError::Ensure(error) => ensure::hint(error).map(Hint::advice),
        AskError::Ask(_) => None,
    };
    let check =
        CheckView { name: "daemon".to_owned(), outcome: CheckOutcome::Fail, detail: chain(error), fix };
    DoctorReport { checks: vec![check] }
}

fn draw(report: &DoctorReport, colour: Colour) -> Painted {
    let mut text = Painted::default();
    for check in &report.checks {
        let (paint, outcome) = match check.outcome {
            CheckOutcome::Pass => (Paint::Green, "PASS"),
            CheckOutcome::Warn => (Paint::Yellow, "WARN"),
            CheckOutcome::Fail => (Paint::Red, "FAIL"),
        };
        text = text.paint(colour, paint, outcome).push("  ").push(&check.name).end_line();
        for line in check.detail.lines() {
            text = text.push("      ").push(line).end_line();
        }
        if let Some(fix) = check.fix.as_ref().and_then(hint::words) {
            text = text.push("      fix: ").push(&fix).end_line();
        }
    }
    text.push(&summary(report)).end_line()
}

/// Returns one line that tells whether something is to be done.
fn summary(report: &DoctorReport) -> String {
    let number = |outcome| report.checks.iter().filter(|check| check.outcome == outcome).count();
    match (number(CheckOutcome::Fail), number(CheckOutcome::Warn)) {
        (0, 0) => "no problems".to_owned(),
        (0, warnings) => format!("no problems, {}", count("warning", warnings)),
        (problems, 0) => count("problem", problems),
        (problems, warnings) => format!("{}, {}", count("problem", problems), count("warning", warnings)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_says_whether_something_is_to_be_done() {
        use CheckOutcome::{Fail, Pass, Warn};
        let told = |outcomes: &[CheckOutcome]| {
            let check = |outcome: &CheckOutcome| CheckView {
                name: "x".into(),
                outcome: *outcome,
                detail: String::new(),
                fix: None,
            };
            summary(&DoctorReport { checks: outcomes.iter().map(check).collect() })
        };
        assert_eq!(told(&[Pass]), "no problems");
        assert_eq!(told(&[Pass, Warn]), "no problems, 1 warning");
        assert_eq!(told(&[Fail, Fail]), "2 problems");
        assert_eq!(told(&[Fail, Warn, Fail, Warn, Fail]), "3 problems, 2 warnings");
    }

    #[test]
    fn findings_come_with_their_fix() {
        let check = |name: &str, outcome, detail: &str, fix: Option<Hint>| CheckView {
            name: name.into(),
            outcome,
            detail: detail.into(),
            fix,
        };
        let report = DoctorReport {
            checks: vec![
                check(
                    "qemu",
                    CheckOutcome::Fail,
                    "qemu-system-x86_64 is not installed",
                    Some(Hint::install("qemu-system-x86")),
                ),
                check("kvm", CheckOutcome::Warn, "no hardware virtualisation: guests are slow", None),
                check("space", CheckOutcome::Pass, "20.0 GiB free", None),
            ],
        };
        insta::assert_snapshot!(draw(&report, Colour::Off), @r"
        FAIL  qemu
              qemu-system-x86_64 is not installed
              fix: sudo apt-get install qemu-system-x86
        WARN  kvm
              no hardware virtualisation: guests are slow
        PASS  space
              20.0 GiB free
        1 problem, 1 warning
        ");
        assert!(draw(&report, Colour::On).as_str().starts_with("\u{1b}[31mFAIL\u{1b}[0m  qemu\n"));
    }
}
