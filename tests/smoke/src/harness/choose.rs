//! Selects which scenarios run, how many at once, and how much is printed, from the arguments of `cargo test` and from the
//! environment, where `make smoke` puts its own settings.

use std::num::NonZero;

use libtest_mimic::Arguments;

use super::scenario::{Missing, Scenario};

/// More at once would not make a host faster.
const JOBS_MAX: usize = 8;

/// The caller's selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wishes {
    /// Number of scenarios that run at once.
    pub(super) jobs: usize,
    /// Names; if there are none, all scenarios run.
    pub(super) names: Vec<String>,
    /// A part of a name, or a whole name.
    pub(super) filter: Option<Filter>,
    /// Parts of names that are skipped.
    pub(super) skip: Vec<String>,
    /// Whether the scenarios are only listed.
    pub(super) list: bool,
    /// Whether the output of passed scenarios is shown.
    pub(super) is_verbose: bool,
    /// Whether the lines of passed scenarios are suppressed.
    pub(super) is_quiet: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    Part(String),
    Whole(String),
}

/// The reason why nothing runs.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ChooseError {
    #[error("`{0}` is not a number of jobs; it can be 1 to 8, as in JOBS=4")]
    Jobs(String),
    #[error("there is no scenario `{0}`; `make smoke-list` shows them")]
    Unknown(String),
    #[error("the scenario `{name}` cannot run yet: banger has no {feature}")]
    Missing { name: String, feature: &'static str },
}

impl Wishes {
    /// Reads the arguments of `cargo test` and the variables of `make smoke`.
    pub(super) fn read(
        arguments: &Arguments,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ChooseError> {
        let given = |name: &str| variable(name).filter(|text| !text.trim().is_empty());
        let jobs = match (given("BANGER_SMOKE_JOBS"), arguments.test_threads) {
            (Some(text), _) => text.trim().parse().map_err(|_not_a_number| ChooseError::Jobs(text))?,
            (None, Some(threads)) => threads,
            (None, None) => std::thread::available_parallelism().map_or(1, NonZero::get).min(JOBS_MAX),
        };
        if jobs == 0 || jobs > JOBS_MAX && arguments.test_threads != Some(jobs) {
            return Err(ChooseError::Jobs(jobs.to_string()));
        }
        let names = given("BANGER_SMOKE_SCENARIO").unwrap_or_default();
        let filter = arguments.filter.clone();
        let filter = filter.map(if arguments.exact { Filter::Whole } else { Filter::Part });
        Ok(Self {
            jobs,
            names: names.split([',', ' ']).filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            filter,
            skip: arguments.skip.clone(),
            list: arguments.list,
            is_verbose: arguments.nocapture
                || arguments.show_output
                || given("BANGER_SMOKE_VERBOSE").is_some(),
            is_quiet: arguments.quiet,
        })
    }

    /// Tells whether all scenarios were requested.
    pub(super) fn is_everything(&self) -> bool {
        self.names.is_empty() && self.filter.is_none() && self.skip.is_empty()
    }

    /// Returns the requested scenarios. An unknown name is an error, never an empty run.
    pub(super) fn choose<'a>(
        &self,
        scenarios: &'a [Scenario],
        missing: &[Missing],
    ) -> Result<Vec<&'a Scenario>, ChooseError> {
        for name in &self.names {
            if let Some(found) = missing.iter().find(|missing| missing.name == name) {
                return Err(ChooseError::Missing { name: name.clone(), feature: found.feature });
            }
            if !scenarios.iter().any(|scenario| scenario.name == name) {
                return Err(ChooseError::Unknown(name.clone()));
            }
        }
        let is_wanted = |scenario: &&Scenario| {
            (self.names.is_empty() || self.names.iter().any(|name| scenario.name == name))
                && match &self.filter {
                    None => true,
                    Some(Filter::Part(part)) => scenario.name.contains(part),
                    Some(Filter::Whole(name)) => scenario.name == name,
                }
                && !self.skip.iter().any(|part| scenario.name.contains(part))
        };
        Ok(scenarios.iter().filter(is_wanted).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENARIOS: [Scenario; 3] = [
        Scenario::pure("vm_exec", 1, "", || {}),
        Scenario::pure("vm_kill", 1, "", || {}),
        Scenario::pure("invalid_name", 1, "", || {}),
    ];
    const MISSING: [Missing; 1] = [Missing { name: "update_check", feature: "self update" }];

    fn wishes(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Wishes, ChooseError> {
        let arguments = Arguments::from_iter(["guests"].iter().chain(arguments));
        Wishes::read(&arguments, |name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn chosen(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Vec<&'static str>, ChooseError> {
        let chosen = wishes(arguments, variables)?.choose(&SCENARIOS, &MISSING)?;
        Ok(chosen.into_iter().map(|scenario| scenario.name).collect())
    }

    #[test]
    fn without_a_wish_everything_runs_on_all_cores_but_not_on_more_than_eight() {
        assert_eq!(chosen(&[], &[]).unwrap().len(), 3);
        let jobs = wishes(&[], &[("BANGER_SMOKE_JOBS", "")]).unwrap().jobs;
        assert!((1..=8).contains(&jobs));
    }

    #[test]
    fn names_are_whole_and_a_filter_is_a_part() {
        let by_names = chosen(&[], &[("BANGER_SMOKE_SCENARIO", "invalid_name,vm_exec")]).unwrap();
        assert_eq!(by_names, ["vm_exec", "invalid_name"]);
        assert_eq!(chosen(&["vm_"], &[]).unwrap(), ["vm_exec", "vm_kill"]);
        assert_eq!(chosen(&["vm_", "--skip", "kill"], &[]).unwrap(), ["vm_exec"]);
        assert_eq!(chosen(&["vm_", "--exact"], &[]).unwrap(), [""; 0]);
    }

    #[test]
    fn a_name_that_is_unknown_or_missing_is_an_error_and_not_an_empty_run() {
        let unknown = chosen(&[], &[("BANGER_SMOKE_SCENARIO", "vm_exec,vm_exce")]).unwrap_err();
        assert_eq!(unknown.to_string(), "there is no scenario `vm_exce`; `make smoke-list` shows them");
        let missing = chosen(&[], &[("BANGER_SMOKE_SCENARIO", "update_check")]).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "the scenario `update_check` cannot run yet: banger has no self update"
        );
    }

    #[test]
    fn a_number_of_jobs_that_makes_no_sense_is_refused() {
        for text in ["0", "9", "-1", "many"] {
            let error = wishes(&[], &[("BANGER_SMOKE_JOBS", text)]).unwrap_err();
            assert_eq!(error, ChooseError::Jobs(text.to_owned()));
        }
        assert_eq!(wishes(&[], &[("BANGER_SMOKE_JOBS", "4")]).unwrap().jobs, 4);
        assert_eq!(wishes(&["--test-threads", "12"], &[]).unwrap().jobs, 12);
    }
}
