//! What a row found, whether that reaches its goal, and how a table shows it.
//!
//! Pure. Tests: below.

use super::stats::Spread;

/// What is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Milliseconds.
    Millis,
    /// Parts of what it is compared with.
    Times,
    /// Hundredths of one processor.
    Percent,
    /// Mebibytes.
    Mib,
}

/// What a measurement shall not exceed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    /// At most this.
    AtMost(f64),
    /// Less than this.
    Under(f64),
    /// None: a figure beside the others.
    None,
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    /// What is measured.
    pub(crate) what: String,
    /// Castra's time in milliseconds, where it is not the measurement itself.
    pub(crate) ours: Option<Spread>,
    /// The other's time in milliseconds.
    pub(crate) theirs: Option<Spread>,
    /// The measurement.
    pub(crate) found: Result<Spread, Skipped>,
    /// What it is in.
    pub(crate) unit: Unit,
    /// What it should be.
    pub(crate) goal: Goal,
    /// How often it was taken.
    pub(crate) runs: usize,
}

/// Why a line has no measurement although nothing failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Skipped(pub(crate) String);

/// The table's columns.
pub(crate) const COLUMNS: [&str; 7] = ["what", "castra", "compared with", "measured", "goal", "runs", ""];

impl Line {
    /// The cells under [`COLUMNS`].
    pub(crate) fn cells(&self) -> [String; 7] {
        let time =
            |spread: &Option<Spread>| spread.map_or_else(String::new, |spread| shown(spread, Unit::Millis));
        let found = match &self.found {
            Ok(spread) => shown(*spread, self.unit),
            Err(Skipped(why)) => format!("not measured: {why}"),
        };
        [
            self.what.clone(),
            time(&self.ours),
            time(&self.theirs),
            found,
            self.goal.shown(self.unit),
            self.runs.to_string(),
            self.verdict().to_owned(),
        ]
    }

    /// Whether the median reaches the goal.
    fn verdict(&self) -> &'static str {
        let reached = match (&self.found, self.goal) {
            (Err(_), _) | (_, Goal::None) => return "",
            (Ok(found), Goal::AtMost(bound)) => found.median <= bound,
            (Ok(found), Goal::Under(bound)) => found.median < bound,
        };
        if reached { "reached" } else { "missed" }
    }
}

impl Goal {
    fn shown(self, unit: Unit) -> String {
        match self {
            Self::AtMost(bound) => format!("≤ {}", number(bound, unit)),
            Self::Under(bound) => format!("< {}", number(bound, unit)),
            Self::None => String::new(),
        }
    }
}

/// A median with its range.
fn shown(spread: Spread, unit: Unit) -> String {
    let [median, min, max] = [spread.median, spread.min, spread.max].map(|value| figure(value, unit));
    format!("{median}{} ({min}–{max})", suffix(unit))
}

fn number(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Millis | Unit::Percent | Unit::Mib => format!("{value}{}", suffix(unit)),
        Unit::Times => format!("{value:.2}{}", suffix(unit)),
    }
}

fn figure(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Times => format!("{value:.3}"),
        Unit::Percent => format!("{value:.2}"),
        Unit::Mib => format!("{value:.1}"),
        Unit::Millis if value.abs() < 10.0 => format!("{value:.2}"),
        Unit::Millis => format!("{value:.0}"),
    }
}

const fn suffix(unit: Unit) -> &'static str {
    match unit {
        Unit::Millis => " ms",
        Unit::Times => " ×",
        Unit::Percent => " %",
        Unit::Mib => " MiB",
    }
}

/// The lines as a table in Markdown.
pub(crate) fn markdown(lines: &[Line]) -> String {
    let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head = row(&COLUMNS.map(ToOwned::to_owned));
    let rule = format!("|{}\n", " --- |".repeat(COLUMNS.len()));
    let body: String = lines.iter().map(|line| row(&line.cells())).collect();
    format!("{head}{rule}{body}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(median: f64, goal: Goal) -> Line {
        let spread = Spread { median, min: median / 2.0, max: median * 2.0 };
        Line {
            what: "one".into(),
            ours: Some(spread),
            theirs: None,
            found: Ok(spread),
            unit: Unit::Times,
            goal,
            runs: 5,
        }
    }

    #[test]
    fn a_goal_of_at_most_holds_at_its_bound_and_one_of_under_does_not() {
        for (goal, at, above) in [
            (Goal::AtMost(1.0), "reached", "missed"),
            (Goal::Under(1.0), "missed", "missed"),
            (Goal::None, "", ""),
        ] {
            assert_eq!((line(1.0, goal).verdict(), line(1.01, goal).verdict()), (at, above), "{goal:?}");
            assert_ne!(line(0.5, goal).verdict(), "missed");
        }
    }

    #[test]
    fn a_line_that_was_skipped_says_why_and_is_no_success() {
        let skipped = Line { found: Err(Skipped("no virsh".into())), ..line(1.0, Goal::AtMost(1.0)) };
        assert_eq!(skipped.cells()[3], "not measured: no virsh");
        assert_eq!(skipped.verdict(), "");
    }

    #[test]
    fn the_table_has_a_row_per_line_and_shows_medians_with_ranges() {
        let text = markdown(&[line(1.0, Goal::AtMost(1.03))]);
        assert_eq!(text.lines().count(), 3);
        let last = text.lines().last().unwrap();
        assert_eq!(last, "| one | 1.00 ms (0.50–2.00) |  | 1.000 × (0.500–2.000) | ≤ 1.03 × | 5 | reached |");
    }
}
