//! How long a machine has done nothing: a guest that has halted uses no processor time, one that is busy with its last
//! writes does.

use std::time::{Duration, Instant};

/// Processor time that a VMM uses for itself while its guest does nothing.
const IDLE_TIME: Duration = Duration::from_millis(20);
/// The same, as a part of the time that has passed.
const IDLE_PART: u32 = 100;

/// When a machine has begun to do nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stillness(Option<Begin>);

#[derive(Clone, Copy, Debug)]
struct Begin {
    at: Instant,
    cpu_time: Duration,
}

impl Stillness {
    /// Takes the processor time that a machine has used up to now; returns how long it has done nothing.
    pub(super) fn look(&mut self, now: Instant, cpu_time: Option<Duration>) -> Duration {
        let begun = self.0.filter(|begin| {
            let idle = IDLE_TIME + now.saturating_duration_since(begin.at) / IDLE_PART;
            cpu_time.is_some_and(|cpu_time| cpu_time.saturating_sub(begin.cpu_time) <= idle)
        });
        self.0 = begun.or(cpu_time.map(|cpu_time| Begin { at: now, cpu_time }));
        self.0.map_or(Duration::ZERO, |begin| now.saturating_duration_since(begin.at))
    }

    /// It has done something.
    pub(super) fn end(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_still_as_long_as_it_uses_next_to_no_processor_time() {
        let begin = Instant::now();
        let mut stillness = Stillness::default();
        let mut look = |secs: u64, cpu_ms: Option<u64>| {
            stillness.look(begin + Duration::from_secs(secs), cpu_ms.map(Duration::from_millis)).as_secs()
        };
        assert_eq!(look(0, Some(500)), 0);
        assert_eq!(look(5, Some(560)), 5);
        assert_eq!(look(10, Some(610)), 10);
        assert_eq!(look(15, Some(1000)), 0, "it has worked");
        assert_eq!(look(20, Some(1000)), 5);
        assert_eq!(look(25, None), 0, "nobody knows");
        assert_eq!(look(30, Some(1000)), 0);
        stillness.end();
        assert_eq!(stillness.look(begin + Duration::from_secs(40), Some(Duration::ZERO)), Duration::ZERO);
    }
}
