//! Lines out of measurements: ratios, differences, times.
//!
//! Pure. Tests: below.

use std::time::Duration;

use super::outcome::{Goal, Line, Skipped, Unit};
use super::stats::{Pair, Spread, ms};

/// Castra's time in parts of the other's.
pub(crate) fn ratio(what: &str, pairs: &[Pair], goal: Goal) -> Line {
    of_pairs(what, pairs, Pair::ratio, Unit::Times, goal)
}

/// How much longer Castra took.
pub(crate) fn extra(what: &str, pairs: &[Pair], goal: Goal) -> Line {
    of_pairs(what, pairs, Pair::extra_ms, Unit::Millis, goal)
}

/// Castra's time alone.
pub(crate) fn time(what: &str, times: &[Duration], goal: Goal) -> Line {
    let found = Spread::of(times.iter().map(|&time| ms(time)));
    line(what, found.ok_or_else(nothing), Unit::Millis, goal, times.len())
}

/// Figures of another kind, Castra's alone.
pub(crate) fn figures(what: &str, values: &[f64], unit: Unit, goal: Goal) -> Line {
    let found = Spread::of(values.iter().copied());
    line(what, found.ok_or_else(nothing), unit, goal, values.len())
}

/// A line that was not measured here.
pub(crate) fn skipped(what: &str, why: &str, unit: Unit, goal: Goal) -> Line {
    line(what, Err(Skipped(why.to_owned())), unit, goal, 0)
}

fn of_pairs(what: &str, pairs: &[Pair], measure: fn(&Pair) -> f64, unit: Unit, goal: Goal) -> Line {
    let found = Spread::of(pairs.iter().map(measure)).ok_or_else(nothing);
    Line {
        ours: Spread::of(pairs.iter().map(|pair| ms(pair.ours))),
        theirs: Spread::of(pairs.iter().map(|pair| ms(pair.theirs))),
        ..line(what, found, unit, goal, pairs.len())
    }
}

fn line(what: &str, found: Result<Spread, Skipped>, unit: Unit, goal: Goal, runs: usize) -> Line {
    Line { what: what.to_owned(), ours: None, theirs: None, found, unit, goal, runs }
}

fn nothing() -> Skipped {
    Skipped("no runs".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(ours: u64, theirs: u64) -> Pair {
        Pair { ours: Duration::from_millis(ours), theirs: Duration::from_millis(theirs) }
    }

    #[test]
    fn a_ratio_is_the_median_of_the_pairs_ratios_not_the_ratio_of_medians() {
        // The machine was three times as slow during the last pair.
        let line = ratio("x", &[pair(100, 100), pair(110, 100), pair(330, 300)], Goal::None);
        assert!((line.found.unwrap().median - 1.1).abs() < 1e-9);
        assert_eq!((line.ours.unwrap().median, line.theirs.unwrap().median), (110.0, 100.0));
    }

    #[test]
    fn no_measurement_is_never_a_number() {
        assert!(ratio("x", &[], Goal::None).found.is_err());
        assert!(time("x", &[], Goal::None).found.is_err());
    }
}
