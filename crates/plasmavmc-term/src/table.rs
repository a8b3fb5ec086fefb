//! Tables: no borders, numbers to the right, as wide as the terminal and no wider.
//!
//! Into a pipe a table is as wide as it is, so that no value is ever broken where a program reads
//! it. Tests: below, as snapshots.

use anstyle::Style;
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
    /// The styles of cells: row, column, style.
    styles: Vec<(usize, usize, Style)>,
}

/// Spaces between two columns.
const GAP: u16 = 2;

impl Table {
    /// A table without rows.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new(), styles: Vec::new() }
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

    /// Adds a row with the cell of one column in a style. Only helps to find it: a cell the table
    /// cannot keep on one line is left plain.
    pub fn styled_row<S: Into<String>>(
        &mut self,
        cells: impl IntoIterator<Item = S>,
        column: usize,
        style: Style,
    ) -> &mut Self {
        self.styles.push((self.rows.len(), column, style));
        self.row(cells)
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
        let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        let mut text = String::new();
        let mut styles = self.styles.iter().peekable();
        for (number, line) in lines.iter().enumerate() {
            let shown = match styles.peek() {
                _ if number == 0 => styled(style::BOLD, line),
                Some((row, column, style)) => match self.with_style(line, &lines[0], *row, *column, *style) {
                    Some(shown) => {
                        styles.next();
                        shown
                    }
                    None => line.clone(),
                },
                None => line.clone(),
            };
            text.push_str(&shown);
            text.push('\n');
        }
        text
    }

    /// The line with one cell styled; none where it is not the cell's line.
    fn with_style(
        &self,
        line: &str,
        headings: &str,
        row: usize,
        column: usize,
        style: Style,
    ) -> Option<String> {
        let cell = self.rows.get(row)?.get(column)?;
        // A column begins where its heading does.
        let mut start = 0;
        for heading in self.columns.iter().take(column + 1).map(|column| column.heading) {
            start += headings.get(start..)?.find(heading)?;
        }
        let (before, rest) = line.split_at_checked(start)?;
        let after = rest.strip_prefix(cell.as_str())?;
        // Of rows that look alike so far, the first is meant: cells before it have to be the row's.
        before
            .starts_with(self.rows[row].first()?.as_str())
            .then(|| format!("{before}{}{after}", styled(style, cell)))
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
    fn a_style_touches_its_cell_and_moves_nothing() {
        let styled = |state: &str| {
            let mut table = Table::new([Column::text("VM"), Column::text("STATE"), Column::text("X")]);
            table.row(["a", "running", ""]);
            table.styled_row(["running", state, "running"], 1, style::GOOD);
            table.row(["b", "running", ""]);
            table.render(Width::Unlimited)
        };
        let text = styled("running");
        let line = text.lines().nth(2).unwrap();
        assert_eq!(line, format!("running  {}  running", crate::styled(style::GOOD, "running")));
        assert_eq!(text.matches("\u{1b}[32m").count(), 1);
        assert_eq!(plain(&text), plain(&styled("running")));
    }

    #[test]
    fn missing_cells_are_shown_and_surplus_ones_are_not() {
        let mut table = Table::new([Column::text("A"), Column::text("B")]);
        assert!(table.is_empty());
        table.row(["1"]).row(["1", "2", "3"]);
        assert_eq!(plain(&table.render(Width::Unlimited)), "A  B\n1  -\n1  2\n");
    }
}
