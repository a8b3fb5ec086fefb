//! Bytes of a text as lines and columns, the way editors count.
//!
//! Pure. Tests: below.

use std::ops::Range;

use schemars::JsonSchema;
use serde::Serialize;

/// The mark some editors put at the beginning of a file; there it takes no column.
pub const BYTE_ORDER_MARK: char = '\u{feff}';

/// A line and a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters (Unicode scalar values).
    pub column: usize,
}

/// A half-open range of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, JsonSchema)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last one; `start` where nothing stands there.
    pub end: usize,
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

/// A text and the beginnings of its lines.
#[derive(Debug)]
pub struct SourceMap<'t> {
    text: &'t str,
    line_starts: Vec<usize>,
}

impl<'t> SourceMap<'t> {
    /// Finds the lines of a text.
    pub fn new(text: &'t str) -> Self {
        let begin = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len_utf8() } else { 0 };
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, line_starts: std::iter::once(begin).chain(ends).collect() }
    }

    /// The text.
    pub const fn text(&self) -> &'t str {
        self.text
    }

    /// The line of byte `offset`, from 1. Unlike a column it costs little on a long line.
    pub fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset).max(1)
    }

    /// The position of the character that holds byte `offset`; past the end, the end.
    pub fn position(&self, offset: usize) -> Position {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.line(offset);
        // Within the mark nothing stands before.
        let before = self.text.get(self.line_starts[line - 1]..offset).unwrap_or_default();
        Position { line, column: before.chars().count() + 1 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_column_counts_characters_not_bytes() {
        let text = "aé\r\nü = 1\n";
        let (bare, marked) = (SourceMap::new(text), format!("{BYTE_ORDER_MARK}{text}"));
        let marked = SourceMap::new(&marked);
        for (offset, line, column) in
            [(0, 1, 1), (1, 1, 2), (2, 1, 2), (3, 1, 3), (5, 2, 1), (7, 2, 2), (12, 3, 1), (99, 3, 1)]
        {
            let expected = Position { line, column };
            assert_eq!(bare.position(offset), expected, "offset {offset}");
            assert_eq!(marked.position(offset + 3), expected, "offset {offset} after the mark");
        }
        assert_eq!(marked.position(1), Position { line: 1, column: 1 });
        assert_eq!(SourceMap::new("").position(0), Position { line: 1, column: 1 });
    }

    #[test]
    fn a_mark_that_begins_no_file_takes_a_column() {
        assert_eq!(SourceMap::new("a\u{feff}b").position(4), Position { line: 1, column: 3 });
    }

    proptest! {
        #[test]
        fn positions_grow_with_offsets(
            text in "\u{feff}?\\PC{0,20}\n?\\PC{0,20}", a in 0usize..60, b in 0usize..60
        ) {
            let map = SourceMap::new(&text);
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(map.position(low) <= map.position(high));
        }
    }
}
