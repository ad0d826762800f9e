//! The README's tour, command by command, as a user pastes it.

use std::fs;
use std::path::Path;
use std::process::Command;

use banger_smoke::harness::Scenario;
use banger_smoke::{Home, programs};

pub(crate) const SCENARIOS: &[Scenario] = &[Scenario::pure(
    "readme_tour",
    6,
    "the commands of the README's tour print what the README says",
    readme_tour,
)];

const README: &str = include_str!("../../../../README.md");

/// A command of the tour, and the output that the README shows below it.
struct Step {
    command: String,
    lines: Vec<String>,
}

fn readme_tour() {
    let home = Home::ready();
    let here = tempfile::tempdir().unwrap();
    fs::create_dir(here.path().join("site")).unwrap();
    fs::write(here.path().join("site/index.html"), "<h1>hello</h1>").unwrap();
    let steps = steps();
    assert!(steps.len() > 10, "{}", steps.len());
    for Step { command, lines } in steps {
        let printed = one_space(&shell(&home, here.path(), &command));
        for line in lines.iter().map(|line| one_space(line)) {
            let Some(line) = stable(&line) else { continue };
            assert!(
                printed.lines().any(|printed| printed.starts_with(line)),
                "{command}: no `{line}` in\n{printed}"
            );
        }
    }
    home.assert_nothing_left();
}

fn steps() -> Vec<Step> {
    let tour = README.split("## A first tour").nth(1).and_then(|rest| rest.split("```").nth(1)).unwrap();
    let mut steps: Vec<Step> = Vec::new();
    for line in tour.lines().filter(|line| !line.is_empty()) {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push(Step { command: command.to_owned(), lines: Vec::new() }),
            (None, Some(step)) => step.lines.push(line.to_owned()),
            (None, None) => panic!("the tour begins with `{line}`"),
        }
    }
    steps
}

/// Returns the part of a line that is the same on every host: all of it, or its first word if figures follow.
fn stable(line: &str) -> Option<&str> {
    let is_figure = |text: &str| text.contains(|c: char| c.is_ascii_digit());
    let first = line.split(' ').next().unwrap_or_default();
    match line {
        _ if line.starts_with("start machine") => Some("start machine"),
        _ if !is_figure(line) => Some(line),
        _ => Some(first).filter(|first| !is_figure(first)),
    }
}

/// The width of columns depends on the figures in them.
fn one_space(text: &str) -> String {
    let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Returns the command's output, stdout and stderr.
fn shell(home: &Home, here: &Path, command: &str) -> String {
    let path = format!("{}:{}", programs().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{{ {command}; }} 2>&1")]).current_dir(here);
    let output = shell.env("PATH", path).env("BANGER_HOME", home.path()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
