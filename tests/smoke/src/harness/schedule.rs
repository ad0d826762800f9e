//! The order in which scenarios run.

use std::collections::VecDeque;

use super::scenario::{Class, Scenario};

/// Scenarios that run one after the other.
pub(super) type Chain<'a> = Vec<&'a Scenario>;

/// Two phases: scenarios that run side by side, then those that run alone.
#[derive(Debug, Default)]
pub(super) struct Schedule<'a> {
    /// Each free job takes the first one.
    pub(super) pool: VecDeque<Chain<'a>>,
    /// After the pool.
    pub(super) alone: Chain<'a>,
}

impl<'a> Schedule<'a> {
    /// Puts the longest first, because the last one to start decides when the pool is empty, and should be short.
    pub(super) fn of(scenarios: &[&'a Scenario]) -> Self {
        let of_class = |class: Class| scenarios.iter().copied().filter(move |found| found.class == class);
        let chain: Chain<'a> = of_class(Class::Repodir).collect();
        let mut pool: Vec<Chain<'a>> = of_class(Class::Pure).map(|scenario| vec![scenario]).collect();
        if !chain.is_empty() {
            pool.push(chain);
        }
        pool.sort_by_key(|chain| {
            std::cmp::Reverse(chain.iter().map(|scenario| scenario.seconds).sum::<u32>())
        });
        Self { pool: pool.into(), alone: of_class(Class::Global).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(schedule: &Schedule<'_>) -> (Vec<Vec<&'static str>>, Vec<&'static str>) {
        let of = |chain: &Chain<'_>| chain.iter().map(|scenario| scenario.name).collect();
        (schedule.pool.iter().map(of).collect(), of(&schedule.alone))
    }

    #[test]
    fn the_long_ones_begin_first_the_chain_is_one_of_them_and_global_ones_come_after() {
        let scenarios = [
            Scenario::global("g1", 90, "", || {}),
            Scenario::pure("short", 2, "", || {}),
            Scenario::repodir("r1", 4, "", || {}),
            Scenario::pure("long", 9, "", || {}),
            Scenario::repodir("r2", 3, "", || {}),
            Scenario::global("g2", 1, "", || {}),
        ];
        let chosen: Vec<&Scenario> = scenarios.iter().collect();
        let (pool, alone) = names(&Schedule::of(&chosen));
        assert_eq!(pool, [vec!["long"], vec!["r1", "r2"], vec!["short"]]);
        assert_eq!(alone, ["g1", "g2"]);
    }

    #[test]
    fn nothing_chosen_is_nothing_to_do() {
        let schedule = Schedule::of(&[]);
        assert!(schedule.pool.is_empty() && schedule.alone.is_empty());
    }
}
