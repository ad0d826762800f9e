//! What is to be looked at later. An entry that is too early costs a look and nothing else, so nothing is ever taken out.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::source::Source;

/// How late something may be looked at.
const SLACK: Duration = Duration::from_millis(8);

#[derive(Default)]
pub(super) struct Timers(BinaryHeap<Reverse<(Instant, Source)>>);

impl Timers {
    pub(super) fn add(&mut self, at: Instant, source: Source) {
        self.0.push(Reverse((at, source)));
    }

    /// Returns what is due.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<Source> {
        let Reverse((at, _)) = self.0.peek()?;
        if *at > now {
            return None;
        }
        self.0.pop().map(|Reverse((_, source))| source)
    }

    /// Returns how long to wait for what is due next, and for what is due soon after: connections that have ended leave entries
    /// behind, and each would be a wake-up of its own.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        self.0.peek().map(|Reverse((at, _))| at.saturating_duration_since(now) + SLACK)
    }
}

/// The earliest entry of one thing, so that it has few of them.
#[derive(Default)]
pub(super) struct Alarm(Option<Instant>);

impl Alarm {
    /// Has the thing looked at then, or earlier.
    pub(super) fn set(&mut self, at: Option<Instant>, source: Source, timers: &mut Timers) {
        let Some(at) = at else { return };
        if self.0.is_none_or(|scheduled| at < scheduled) {
            self.0 = Some(at);
            timers.add(at, source);
        }
    }

    /// The thing is looked at. `false`: by an entry that an earlier one has replaced.
    pub(super) fn rings(&mut self, now: Instant) -> bool {
        let is_due = self.0.is_some_and(|scheduled| scheduled <= now);
        if is_due {
            self.0 = None;
        }
        is_due
    }
}
