//! Shows how far an operation is, on stderr. On a terminal the stage at work is a live line and each finished one stays
//! as a line with its time; elsewhere each stage is one plain line.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use banger_api::{OperationView, StagePartView, StageView};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::painted::{Colour, is_dumb};
use crate::painted::{Paint, Painted};
use crate::render::{bytes, say, seconds};

/// How often the live line is drawn while nothing happens.
const TICK: Duration = Duration::from_millis(100);
/// Most parts of a stage that have a line of their own.
const PARTS_MAX: usize = 8;

/// Where progress is shown.
#[derive(Clone, Debug)]
pub(crate) enum Board {
    Live(MultiProgress),
    Plain,
    Quiet,
}

impl Board {
    /// Chooses by what stderr is.
    pub(crate) fn new(is_quiet: bool) -> Self {
        if is_quiet {
            Self::Quiet
        } else if io::stderr().is_terminal() && !is_dumb() {
            Self::Live(MultiProgress::with_draw_target(ProgressDrawTarget::stderr()))
        } else {
            Self::Plain
        }
    }

    /// Returns the progress of one operation. `label` tells it from others that are shown beside it.
    pub(crate) fn progress(&self, label: Option<&str>) -> Progress {
        let view = match self {
            Self::Live(board) => View::Live { board: board.clone(), bar: None, parts: Vec::new() },
            Self::Plain => View::Plain,
            Self::Quiet => View::Quiet,
        };
        let label = label.map(|label| format!("{label}: ")).unwrap_or_default();
        Progress { view, label, told: 0, warned: 0, begun: Instant::now() }
    }
}

/// The progress of one operation.
#[derive(Debug)]
pub(crate) struct Progress {
    view: View,
    label: String,
    /// Stages that have their line: begun ones in plain view, finished ones in live view.
    told: usize,
    /// Warnings that have their line.
    warned: usize,
    begun: Instant,
}

#[derive(Debug)]
enum View {
    Live { board: MultiProgress, bar: Option<Bar>, parts: Vec<Bar> },
    Plain,
    Quiet,
}

impl Progress {
    /// Shows what is new.
    pub(crate) fn show(&mut self, operation: &OperationView) {
        for warning in operation.warnings.iter().skip(self.warned) {
            self.warn(&format!("{}warning: {warning}", self.label));
        }
        self.warned = self.warned.max(operation.warnings.len());
        match &mut self.view {
            View::Quiet => {}
            View::Plain => {
                for stage in operation.stages.iter().skip(self.told) {
                    say(&format!("{}{}", self.label, plain_line(stage)));
                }
                self.told = self.told.max(operation.stages.len());
            }
            View::Live { board, bar, parts } => {
                let bar = bar.get_or_insert_with(|| Bar::add(board, "{spinner} {msg}  {elapsed}", true));
                let finished =
                    operation.stages.iter().skip(self.told).take_while(|stage| stage.took_ms.is_some());
                for stage in finished {
                    bar.println(&finished_line(&self.label, stage));
                    self.told += 1;
                }
                let at_work = operation.stages.iter().skip(self.told).find(|stage| stage.took_ms.is_none());
                bar.show(&at_work.map_or(self.label.clone(), |stage| {
                    format!("{}{}{}", self.label, plain_line(stage), amount(stage))
                }));
                show_parts(board, parts, at_work.map_or(&[], |stage| &stage.parts));
            }
        }
    }

    /// Writes a line, also to who wants no progress: of trouble they want to know all the same.
    fn warn(&mut self, line: &str) {
        match &self.view {
            View::Live { .. } | View::Plain => self.note(line),
            View::Quiet => say(line),
        }
    }

    /// Writes a line above the live one.
    #[expect(clippy::disallowed_methods, reason = "the line is escaped")]
    pub(crate) fn note(&mut self, line: &str) {
        match &self.view {
            // A terminal that takes no lines wants to know nothing.
            View::Live { board, .. } => drop(board.println(Painted::line(line).as_str())),
            View::Plain => say(line),
            View::Quiet => {}
        }
    }

    /// Ends the display; tells the whole time of what became ready.
    pub(crate) fn finish(mut self, ready: Option<&str>) {
        self.clear();
        let millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        match (&self.view, ready) {
            (View::Quiet, _) | (_, None) => {}
            (View::Live { .. } | View::Plain, Some(what)) => {
                say(&format!("{}{what} ready in {}", self.label, seconds(millis)));
            }
        }
    }

    fn clear(&mut self) {
        if let View::Live { bar, parts, .. } = &mut self.view {
            // The lines below first, or the upper one would leave a gap.
            parts.drain(..).rev().chain(bar.take()).for_each(|bar| bar.clear());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A live line. What it shows is escaped: details of stages are names that others chose.
#[derive(Debug)]
pub(crate) struct Bar(ProgressBar);

#[expect(clippy::disallowed_methods, reason = "the one place where live lines are written")]
impl Bar {
    /// Adds a line below the others. A template of ours: a mistake in it shows in the first run, and plain dots are no
    /// harm.
    pub(crate) fn add(board: &MultiProgress, template: &str, is_moving: bool) -> Self {
        let bar = board.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.tick_chars("|/-\\ "));
        }
        if is_moving {
            bar.enable_steady_tick(TICK);
        }
        Self(bar)
    }

    /// Shows a text in the place of the one before.
    pub(crate) fn show(&self, text: &str) {
        self.0.set_message(Painted::line(text).to_string());
    }

    /// Writes a line above the live ones, which stays.
    pub(crate) fn println(&self, line: &Painted) {
        self.0.println(line.as_str());
    }

    /// Takes it away.
    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

/// Shows a line for each part that is on its way, below the line of its stage.
fn show_parts(board: &MultiProgress, bars: &mut Vec<Bar>, parts: &[StagePartView]) {
    let lines: Vec<_> =
        parts.iter().filter(|part| is_on_its_way(part)).take(PARTS_MAX).map(part_line).collect();
    while bars.len() > lines.len() {
        bars.pop().iter().for_each(Bar::clear);
    }
    while bars.len() < lines.len() {
        bars.push(Bar::add(board, "    {msg}", false));
    }
    for (bar, line) in bars.iter().zip(lines) {
        bar.show(&line);
    }
}

fn is_on_its_way(part: &StagePartView) -> bool {
    part.done_bytes > 0 && part.done_bytes < part.total_bytes
}

fn part_line(part: &StagePartView) -> String {
    format!("{}{}", part.label, of_total(part.done_bytes, part.total_bytes))
}

fn plain_line(stage: &StageView) -> String {
    if stage.detail.is_empty() { stage.name.clone() } else { format!("{}: {}", stage.name, stage.detail) }
}

fn finished_line(label: &str, stage: &StageView) -> Painted {
    let took = seconds(stage.took_ms.unwrap_or(0));
    let line = Painted::line("  ").push(label).push(&plain_line(stage)).push("  ");
    line.paint(Colour::of_stderr(), Paint::Dim, &took)
}

fn amount(stage: &StageView) -> String {
    match (stage.done_bytes, stage.total_bytes) {
        (Some(done), Some(total)) if total > 0 => of_total(done, total),
        (Some(done), _) => format!("  {}", bytes(done)),
        (None, _) => String::new(),
    }
}

fn of_total(done: u64, total: u64) -> String {
    let percent = u128::from(done) * 100 / u128::from(total.max(1));
    format!("  {} of {} ({percent}%)", bytes(done), bytes(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_on_their_way_have_a_line_each_and_the_others_none() {
        let board = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let part =
            |label: &str, done_bytes| StagePartView { label: label.into(), done_bytes, total_bytes: 4 << 20 };
        let mut bars = Vec::new();
        show_parts(&board, &mut bars, &[part("a", 4 << 20), part("b", 1 << 20), part("c", 0), part("d", 1)]);
        let lines: Vec<_> = bars.iter().map(|bar| bar.0.message()).collect();
        assert_eq!(lines, ["b  1.0 MiB of 4.0 MiB (25%)", "d  1 B of 4.0 MiB (0%)"]);
        show_parts(&board, &mut bars, &[]);
        assert!(bars.is_empty());
    }

    #[test]
    fn a_stage_is_told_with_what_is_known() {
        let mut stage = StageView {
            name: "pull image".into(),
            detail: "debian-bookworm".into(),
            started_ms: 0,
            took_ms: None,
            done_bytes: Some(5 << 20),
            total_bytes: Some(20 << 20),
            parts: Vec::new(),
        };
        let line = |stage: &StageView| format!("{}{}", plain_line(stage), amount(stage));
        assert_eq!(line(&stage), "pull image: debian-bookworm  5.0 MiB of 20.0 MiB (25%)");
        stage.total_bytes = None;
        assert_eq!(line(&stage), "pull image: debian-bookworm  5.0 MiB");
        stage.done_bytes = None;
        stage.detail.clear();
        assert_eq!(line(&stage), "pull image");
    }
}
