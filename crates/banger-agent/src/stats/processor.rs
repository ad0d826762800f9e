//! `/proc/stat` (`proc_stat(5)`): the line `cpu` sums all processors, one line `cpu<n>` follows for each.
//!
//! ```text
//! cpu  user nice system idle iowait irq softirq steal guest guest_nice
//! ```
//! Times are in ticks of `USER_HZ`, which is 100 on every architecture that we run on. The time of nested guests (the last
//! two) is contained in `user` and `nice`.

use banger_agent_proto::CpuFigures;

/// Milliseconds per tick of `USER_HZ`.
const TICK_MILLIS: u64 = 10;

pub(super) fn parse(text: &str) -> Option<CpuFigures> {
    let mut times = None;
    let mut count = 0;
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        match fields.next() {
            Some("cpu") => times = Some(fields.map_while(|field| field.parse().ok()).collect::<Vec<u64>>()),
            Some(name) if name.starts_with("cpu") => count += 1,
            Some(_) | None => {}
        }
    }
    let times = times?;
    let &[user, nice, system, idle, iowait, irq, softirq, steal, ..] = times.as_slice() else { return None };
    let millis =
        |ticks: &[u64]| ticks.iter().fold(0_u64, |sum, t| sum.saturating_add(*t)).saturating_mul(TICK_MILLIS);
    Some(CpuFigures {
        count,
        busy_millis: millis(&[user, nice, system, irq, softirq]),
        idle_millis: millis(&[idle, iowait]),
        steal_millis: millis(&[steal]),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_summed_and_processors_counted() {
        let text = "cpu  10 1 5 100 20 2 3 7 4 0\ncpu0 5 0 2 50 10 1 1 3 4 0\ncpu1 5 1 3 50 10 1 2 4 0 0\nintr 1 2\nctxt 9\n";
        let expected = CpuFigures { count: 2, busy_millis: 210, idle_millis: 1200, steal_millis: 70 };
        assert_eq!(parse(text), Some(expected));
        assert_eq!(parse("cpu 1 2 3\n"), None);
        assert_eq!(parse("intr 5"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(numbers in prop::collection::vec(any::<u64>(), 0..12), text in "\\PC{0,80}") {
            let numbers: Vec<_> = numbers.iter().map(u64::to_string).collect();
            let _ = parse(&format!("cpu {}\n{text}", numbers.join(" ")));
        }
    }
}
