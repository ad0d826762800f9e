//! Statistics of measured times.

use std::time::Duration;

/// Returns the median, or the later of the two in the middle; sorts the times. Returns zero if there are none.
pub fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Rounds a ratio to three decimal places.
#[must_use]
pub fn three_digits(ratio: f64) -> f64 {
    (ratio * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        let median_of = |seconds: &[u64]| {
            median(&mut seconds.iter().copied().map(Duration::from_secs).collect::<Vec<_>>()).as_secs()
        };
        assert_eq!([&[3, 1, 2][..], &[4, 1, 3, 2], &[5], &[]].map(median_of), [2, 3, 5, 0]);
    }

    #[test]
    fn a_ratio_has_three_digits() {
        assert!((three_digits(2.0 / 3.0) - 0.667).abs() < 1e-9);
    }
}
