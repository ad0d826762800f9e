//! The entry point of `cargo test` and `make smoke`.

use std::collections::HashSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use libtest_mimic::Arguments;

use super::choose::Wishes;
use super::evidence;
use super::interrupt::Groups;
use super::process;
use super::report::{Outcome, Results, Verdict, list};
use super::scenario::{Class, Missing, Scenario};
use super::schedule::{Chain, Schedule};
use crate::home::{self, PULLED, ROOM};

/// The scenario that this process should run.
const ONE: &str = "BANGER_SMOKE_ONE";
/// The directory that the scenarios of a chain share.
const SHARED: &str = "BANGER_SMOKE_SHARED";
/// Deadline of one scenario. The longest takes a sixth of it without hardware virtualisation.
const DEADLINE: Duration = Duration::from_mins(8);

/// Scenarios, including those that cannot be written yet.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names say what the fields are")]
pub struct Suite<'a> {
    pub scenarios: &'a [Scenario],
    /// Scenarios that cannot be written yet.
    pub missing: &'a [Missing],
}

/// Returns the directory that the scenarios of the repodir chain share; it lives as long as the chain.
///
/// # Panics
/// If called outside such a scenario.
#[must_use]
pub fn shared_directory() -> PathBuf {
    std::env::var_os(SHARED)
        .map(PathBuf::from)
        .expect("only scenarios of the class repodir share a directory")
}

impl Suite<'_> {
    /// Runs the requested scenarios, or the one that this process was started for.
    #[must_use]
    pub fn main(&self) -> ExitCode {
        if let Ok(name) = std::env::var(ONE) {
            return self.run_here(&name);
        }
        let wishes = Wishes::read(&Arguments::from_args(), |name| std::env::var(name).ok());
        let chosen = wishes.and_then(|wishes| {
            let chosen = wishes.choose(self.scenarios, self.missing)?;
            Ok((wishes, chosen))
        });
        let (wishes, chosen) = match chosen {
            Ok(chosen) => chosen,
            Err(error) => {
                eprintln!("smoke: {error}");
                return ExitCode::from(2);
            }
        };
        if let Some(name) = self.name_that_comes_twice() {
            eprintln!("smoke: two scenarios are called `{name}`");
            return ExitCode::from(2);
        }
        let missing = if wishes.is_everything() { self.missing } else { &[] };
        if wishes.list {
            print!("{}", list(&chosen, missing));
            return ExitCode::SUCCESS;
        }
        if chosen.is_empty() {
            println!("smoke: no scenario has such a name");
            return ExitCode::SUCCESS;
        }
        run_all(&wishes, &chosen, missing)
    }

    fn name_that_comes_twice(&self) -> Option<&'static str> {
        let names = self.scenarios.iter().map(|scenario| scenario.name);
        let mut seen = HashSet::new();
        names.chain(self.missing.iter().map(|missing| missing.name)).find(|name| !seen.insert(*name))
    }

    fn run_here(&self, name: &str) -> ExitCode {
        let Some(scenario) = self.scenarios.iter().find(|scenario| scenario.name == name) else {
            eprintln!("smoke: there is no scenario `{name}`");
            return ExitCode::from(2);
        };
        (scenario.run)();
        ExitCode::SUCCESS
    }
}

fn run_all<'a>(wishes: &Wishes, chosen: &[&'a Scenario], missing: &'a [Missing]) -> ExitCode {
    let run = Run::prepare(wishes);
    let begin = Instant::now();
    let Schedule { pool, alone } = Schedule::of(chosen);
    let pool = Mutex::new(pool);
    std::thread::scope(|scope| {
        for _ in 0..wishes.jobs {
            scope.spawn(|| {
                loop {
                    // The lock is released before the chain runs.
                    let next = pool.lock().expect("no job panics with it").pop_front();
                    let Some(chain) = next else { break };
                    run.chain(&chain);
                }
            });
        }
    });
    run.chain(&alone);
    let outcomes = run.outcomes.into_inner().expect("no job panics with it");
    let results = Results { outcomes, missing, jobs: wishes.jobs, took: begin.elapsed() };
    if wishes.is_quiet {
        print!("{}", results.figures());
    } else {
        print!("{}", results.summary());
    }
    let junit = run.target.join("junit.xml");
    fs::write(&junit, results.junit()).expect("the report can be written");
    if results.is_good() { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

/// Data that the scenarios of a run share.
struct Run<'a> {
    /// Directory of reports and evidence.
    target: PathBuf,
    pulled: PathBuf,
    is_verbose: bool,
    is_quiet: bool,
    groups: Groups,
    outcomes: Mutex<Vec<Outcome<'a>>>,
}

impl<'a> Run<'a> {
    /// Pulls kernel and image once for all scenarios.
    fn prepare(wishes: &Wishes) -> Self {
        let pulled = home::pulled().to_owned();
        let target = pulled.with_file_name("smoke-report");
        let _ = fs::remove_dir_all(&target);
        fs::create_dir_all(&target).expect("target can be written");
        let groups = Groups::default();
        groups.listen();
        let (is_verbose, is_quiet) = (wishes.is_verbose, wishes.is_quiet);
        Self { target, pulled, is_verbose, is_quiet, groups, outcomes: Mutex::default() }
    }

    fn chain(&self, chain: &Chain<'a>) {
        let shared = (chain.iter().any(|scenario| scenario.class == Class::Repodir))
            .then(|| tempfile::tempdir_in("/var/tmp").expect("a temporary directory"));
        for scenario in chain {
            let outcome = self.one(scenario, shared.as_ref().map(tempfile::TempDir::path));
            let mut outcomes = self.outcomes.lock().expect("no job panics with it");
            let is_worth_a_line = !self.is_quiet || matches!(outcome.verdict, Verdict::Failed(_));
            if is_worth_a_line {
                print!("{}", outcome.shown(self.is_verbose));
            }
            outcomes.push(outcome);
        }
    }

    fn one(&self, scenario: &'a Scenario, shared: Option<&Path>) -> Outcome<'a> {
        let begin = Instant::now();
        if self.groups.is_interrupted() {
            return Outcome {
                scenario,
                verdict: Verdict::NotRun,
                took: Duration::ZERO,
                output: String::new(),
            };
        }
        if let Some(why) = scenario.need.and_then(super::Need::missing_here) {
            let verdict = Verdict::Skipped(why);
            return Outcome { scenario, verdict, took: Duration::ZERO, output: String::new() };
        }
        // The path is short, because sockets are below it and a socket's path has at most 107 bytes. Other users may
        // traverse it, because a home may belong to one of them.
        let mode = Permissions::from_mode(0o711);
        let room = tempfile::Builder::new().prefix("bs").permissions(mode).tempdir_in("/var/tmp");
        let room = room.expect("a temporary directory");
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.env(ONE, scenario.name).env(ROOM, room.path()).env(PULLED, &self.pulled);
        if let Some(shared) = shared {
            command.env(SHARED, shared);
        }
        let mut ended = process::run(command, &room.path().join("output"), DEADLINE, &self.groups);
        let took = begin.elapsed();
        let verdict = match ended.failure {
            None => Verdict::Passed,
            Some(_) if self.groups.is_interrupted() => Verdict::NotRun,
            Some(why) => {
                ended.output += &evidence::gather(room.path(), &self.target.join(scenario.name));
                Verdict::Failed(why)
            }
        };
        evidence::clear(room.path());
        Outcome { scenario, verdict, took, output: ended.output }
    }
}
