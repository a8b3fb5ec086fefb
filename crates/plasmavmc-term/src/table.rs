//! Tables: no borders, numbers to the right, as wide as the terminal and no wider.
//!
//! Into a pipe a table is as wide as it is, so that no value is ever broken where a program reads
//! it. Tests: below, as snapshots.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement};

use crate::Width;
use crate::screen::{style, styled};
use crate::text::printable;

/// To which side the cells of a column lean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Align {
    /// Left: words.
    Left,
    /// Right: numbers.
    Right,
}

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    heading: &'static str,
    align: Align,
}

impl Column {
    /// A column of words.
    pub const fn text(heading: &'static str) -> Self {
        Self { heading, align: Align::Left }
    }

    /// A column of numbers.
    pub const fn number(heading: &'static str) -> Self {
        Self { heading, align: Align::Right }
    }
}

/// A table with a line of headings.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

/// Spaces between two columns.
const GAP: u16 = 2;

impl Table {
    /// A table without rows.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row: one cell per column, in their order; missing ones are empty. An empty cell is
    /// shown as `-`, so that a program can split the line at its spaces.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) -> &mut Self {
        let cells = cells.into_iter().map(|cell| printable(&cell.into()).into_owned());
        let mut cells: Vec<String> = cells.take(self.columns.len()).collect();
        cells.resize(self.columns.len(), String::new());
        for cell in cells.iter_mut().filter(|cell| cell.is_empty()) {
            cell.push('-');
        }
        self.rows.push(cells);
        self
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text, its headings styled; cells are wrapped to fit `width`.
    pub fn render(&self, width: Width) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(NOTHING);
        table.set_header(self.columns.iter().map(|column| column.heading).collect::<Vec<_>>());
        table.add_rows(&self.rows);
        match width {
            Width::Unlimited => table.set_content_arrangement(ContentArrangement::Disabled),
            Width::Columns(columns) => {
                table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns)
            }
        };
        let last = self.columns.len().saturating_sub(1);
        for (index, column) in self.columns.iter().enumerate() {
            let Some(target) = table.column_mut(index) else { continue };
            target.set_padding((0, if index == last { 0 } else { GAP }));
            target.set_cell_alignment(match column.align {
                Align::Left => CellAlignment::Left,
                Align::Right => CellAlignment::Right,
            });
        }
        let mut text = String::new();
        for (number, line) in table.lines().enumerate() {
            let line = line.trim_end();
            text.push_str(&if number == 0 { styled(style::BOLD, line) } else { line.to_owned() });
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::plain;

    fn sample() -> Table {
        let mut table = Table::new([
            Column::text("VM"),
            Column::text("STATE"),
            Column::number("PID"),
            Column::text("FORWARDS"),
        ]);
        table.row(["web", "running", "4242", "127.0.0.1:8080 -> 80/tcp, 127.0.0.1:2222 -> 22/tcp"]);
        table.row(["db-0", "stopped", "", "\u{1b}[2J"]);
        table
    }

    #[test]
    fn into_a_pipe_no_cell_is_broken() {
        insta::assert_snapshot!(plain(&sample().render(Width::Unlimited)), @r"
        VM    STATE     PID  FORWARDS
        web   running  4242  127.0.0.1:8080 -> 80/tcp, 127.0.0.1:2222 -> 22/tcp
        db-0  stopped     -  \u{1b}[2J
        ");
    }

    #[test]
    fn a_narrow_terminal_wraps_cells_instead_of_lines() {
        let text = plain(&sample().render(Width::columns(50)));
        assert!(text.lines().all(|line| line.chars().count() <= 50), "{text}");
        insta::assert_snapshot!(text, @r"
        VM    STATE     PID  FORWARDS
        web   running  4242  127.0.0.1:8080 -> 80/tcp,
                             127.0.0.1:2222 -> 22/tcp
        db-0  stopped     -  \u{1b}[2J
        ");
    }

    #[test]
    fn missing_cells_are_shown_and_surplus_ones_are_not() {
        let mut table = Table::new([Column::text("A"), Column::text("B")]);
        assert!(table.is_empty());
        table.row(["1"]).row(["1", "2", "3"]);
        assert_eq!(plain(&table.render(Width::Unlimited)), "A  B\n1  -\n1  2\n");
    }
}
