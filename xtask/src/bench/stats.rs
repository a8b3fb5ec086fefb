//! Numbers out of repeated measurements: medians, ranges, and what pairs say about each other.
//!
//! Pure. A machine that others use is slow for a while and then fast again; two measurements taken
//! one after the other see the same of it, so that pairs are compared, not averages. Tests: below.

use std::time::Duration;

/// The middle of some numbers, with the smallest and the largest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// The spread of `values`; none where there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self { median: f64::midpoint(low, high), min, max })
    }
}

/// One measurement of each side, taken one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair {
    /// Castra's time.
    pub(crate) ours: Duration,
    /// The time of what it is compared with.
    pub(crate) theirs: Duration,
}

impl Pair {
    /// Castra's time in parts of the other's.
    pub(crate) fn ratio(&self) -> f64 {
        self.ours.as_secs_f64() / self.theirs.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// How much longer Castra took, in milliseconds.
    pub(crate) fn extra_ms(&self) -> f64 {
        ms(self.ours) - ms(self.theirs)
    }
}

/// A duration in milliseconds.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        let median = |values: &[f64]| Spread::of(values.iter().copied()).map(|spread| spread.median);
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
    }

    #[test]
    fn one_slow_moment_moves_the_range_and_not_the_median() {
        let spread = Spread::of([1.0, 1.1, 0.9, 50.0, 1.0]).unwrap();
        assert_eq!((spread.median, spread.min, spread.max), (1.0, 0.9, 50.0));
    }

    #[test]
    fn a_pair_is_compared_with_itself_only() {
        let pair = Pair { ours: Duration::from_millis(1500), theirs: Duration::from_secs(1) };
        assert!((pair.ratio() - 1.5).abs() < 1e-9);
        assert!((pair.extra_ms() - 500.0).abs() < 1e-9);
    }
}
