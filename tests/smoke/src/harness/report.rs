//! The report of a run: a line for each scenario as it ends, a summary with times, JUnit XML.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::scenario::{Missing, Scenario};

/// The result of one scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    Failed(String),
    /// The host lacks something.
    Skipped(&'static str),
    /// The run was interrupted before the scenario started.
    NotRun,
}

/// One finished scenario.
#[derive(Clone, Debug)]
pub(super) struct Outcome<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) verdict: Verdict,
    pub(super) took: Duration,
    pub(super) output: String,
}

/// The results of a run.
#[derive(Debug)]
pub(super) struct Results<'a> {
    pub(super) outcomes: Vec<Outcome<'a>>,
    pub(super) missing: &'a [Missing],
    pub(super) jobs: usize,
    pub(super) took: Duration,
}

impl Outcome<'_> {
    /// Returns the scenario's line, with its whole output if requested or needed.
    pub(super) fn shown(&self, with_output: bool) -> String {
        let mut text = format!("{}\n", self.line());
        let is_failure = matches!(self.verdict, Verdict::Failed(_));
        if (with_output || is_failure) && !self.output.is_empty() {
            let _ = writeln!(text, "--- output of {}:\n{}", self.scenario.name, self.output.trim_end());
            let _ = writeln!(text, "--- end of {}", self.scenario.name);
        }
        text
    }

    fn line(&self) -> String {
        let (word, note) = match &self.verdict {
            Verdict::Passed => ("ok", String::new()),
            Verdict::Failed(why) => ("FAILED", format!(": {why}")),
            Verdict::Skipped(why) => ("skipped", format!(": {why}")),
            Verdict::NotRun => ("not run", String::new()),
        };
        format!("{word:8}{:>6.1} s  {}{note}", self.took.as_secs_f64(), self.scenario.name)
    }
}

impl Results<'_> {
    pub(super) fn is_good(&self) -> bool {
        self.outcomes.iter().all(|outcome| match outcome.verdict {
            Verdict::Passed | Verdict::Skipped(_) => true,
            Verdict::Failed(_) | Verdict::NotRun => false,
        })
    }

    /// Lists all scenarios, the longest first, then the missing ones, then the figures in one line.
    pub(super) fn summary(&self) -> String {
        let mut text = String::from("\nsummary\n");
        let mut outcomes: Vec<&Outcome<'_>> = self.outcomes.iter().collect();
        outcomes.sort_by_key(|outcome| std::cmp::Reverse(outcome.took));
        for outcome in outcomes {
            let _ = writeln!(text, "  {:8}{}", outcome.scenario.class.name(), outcome.line());
        }
        for (feature, names) in by_feature(self.missing) {
            let _ = writeln!(text, "  missing: {feature} ({})", names.join(", "));
        }
        text + &self.figures()
    }

    /// Returns the figures of the run in one line.
    pub(super) fn figures(&self) -> String {
        let count =
            |is: fn(&Verdict) -> bool| self.outcomes.iter().filter(|found| is(&found.verdict)).count();
        let in_turn: Duration = self.outcomes.iter().map(|outcome| outcome.took).sum();
        let mut text = format!(
            "smoke: {} passed, {} failed, {} skipped, {} missing",
            count(|verdict| *verdict == Verdict::Passed),
            count(|verdict| matches!(verdict, Verdict::Failed(_))),
            count(|verdict| matches!(verdict, Verdict::Skipped(_))),
            self.missing.len(),
        );
        let not_run = count(|verdict| *verdict == Verdict::NotRun);
        if not_run > 0 {
            let _ = write!(text, ", {not_run} not run");
        }
        let _ = writeln!(
            text,
            "; {:.1} s with {} at once, {:.1} s of scenarios",
            self.took.as_secs_f64(),
            self.jobs,
            in_turn.as_secs_f64()
        );
        text
    }

    /// Returns the results as JUnit XML, one suite for each class.
    pub(super) fn junit(&self) -> String {
        let mut suites: BTreeMap<&str, TestSuite> = BTreeMap::new();
        for outcome in &self.outcomes {
            let class = outcome.scenario.class.name();
            let status = match &outcome.verdict {
                Verdict::Passed => TestCaseStatus::success(),
                Verdict::Failed(why) => {
                    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                    status.set_message(why.clone());
                    status
                }
                Verdict::Skipped(why) => skipped(why),
                Verdict::NotRun => skipped("the run was interrupted"),
            };
            let mut case = TestCase::new(outcome.scenario.name, status);
            case.set_classname(format!("smoke.{class}")).set_time(outcome.took);
            if !outcome.output.is_empty() {
                case.set_system_out(outcome.output.clone());
            }
            suites.entry(class).or_insert_with(|| TestSuite::new(class)).add_test_case(case);
        }
        for missing in self.missing {
            let mut case = TestCase::new(missing.name, skipped(&format!("missing: {}", missing.feature)));
            case.set_classname("smoke.missing");
            suites.entry("missing").or_insert_with(|| TestSuite::new("missing")).add_test_case(case);
        }
        let mut report = Report::new("smoke");
        report.set_time(self.took).add_test_suites(suites.into_values());
        report.to_string().unwrap_or_default()
    }
}

fn skipped(why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(why);
    status
}

/// Lists all scenarios with their claims, and those that are missing.
pub(super) fn list(scenarios: &[&Scenario], missing: &[Missing]) -> String {
    let mut text = String::new();
    for scenario in scenarios {
        let _ = writeln!(text, "{:8} {:31} {}", scenario.class.name(), scenario.name, scenario.proves);
    }
    for missing in missing {
        let _ = writeln!(text, "{:8} {:31} missing: {}", "-", missing.name, missing.feature);
    }
    text
}

fn by_feature(missing: &[Missing]) -> BTreeMap<&str, Vec<&str>> {
    let mut features: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for one in missing {
        features.entry(one.feature).or_default().push(one.name);
    }
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Scenario = Scenario::pure("vm_exec", 1, "a command runs", || {});
    const BAD: Scenario = Scenario::global("vm_prune", 1, "only what is stopped goes", || {});
    const KVM: Scenario = Scenario::pure("kvm", 1, "hardware is used", || {});
    const MISSING: [Missing; 2] = [
        Missing { name: "update_check", feature: "self update" },
        Missing { name: "update_dry_run", feature: "self update" },
    ];

    fn results() -> Results<'static> {
        let outcome = |scenario, verdict, seconds, output: &str| Outcome {
            scenario,
            verdict,
            took: Duration::from_secs(seconds),
            output: output.to_owned(),
        };
        Results {
            outcomes: vec![
                outcome(&GOOD, Verdict::Passed, 3, "$ banger vm exec\n"),
                outcome(&BAD, Verdict::Failed("failed with status 101".to_owned()), 7, "a <b>\u{1b}[0m\n"),
                outcome(&KVM, Verdict::Skipped("there is no /dev/kvm"), 0, ""),
            ],
            missing: &MISSING,
            jobs: 2,
            took: Duration::from_millis(8500),
        }
    }

    #[test]
    fn the_summary_has_every_scenario_once_with_its_time_and_what_is_missing() {
        insta::assert_snapshot!(results().summary(), @r"
        summary
          global  FAILED     7.0 s  vm_prune: failed with status 101
          pure    ok         3.0 s  vm_exec
          pure    skipped    0.0 s  kvm: there is no /dev/kvm
          missing: self update (update_check, update_dry_run)
        smoke: 1 passed, 1 failed, 1 skipped, 2 missing; 8.5 s with 2 at once, 10.0 s of scenarios
        ");
        assert!(!results().is_good());
    }

    #[test]
    fn the_output_of_a_failure_is_shown_whole_and_that_of_a_success_when_it_is_wanted() {
        let results = results();
        let [good, bad, _] = results.outcomes.as_slice() else { panic!("three outcomes") };
        assert_eq!(good.shown(false), "ok         3.0 s  vm_exec\n");
        assert!(good.shown(true).contains("--- output of vm_exec:\n$ banger vm exec\n--- end of vm_exec\n"));
        assert!(bad.shown(false).contains("--- output of vm_prune:\na <b>"), "{}", bad.shown(false));
    }

    #[test]
    fn what_was_not_run_is_no_success() {
        let mut results = results();
        results.outcomes.remove(1);
        assert!(results.is_good());
        results.outcomes[0].verdict = Verdict::NotRun;
        assert!(!results.is_good());
        assert!(results.figures().contains("1 not run"));
    }

    #[test]
    fn junit_tells_failures_skips_and_what_is_missing_apart() {
        let xml = results().junit();
        let report = Report::deserialize_from_str(&xml).expect("it is JUnit");
        assert_eq!(report.tests, 5);
        assert_eq!(report.failures, 1);
        assert_eq!(xml.matches("<skipped").count(), 3, "{xml}");
        assert!(xml.contains("missing: self update"), "{xml}");
    }
}
