//! Bytes of a text as lines and columns, the way editors count.
//!
//! Pure. Tests: below.

use std::ops::Range;

use schemars::JsonSchema;
use serde::Serialize;

/// A line and a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
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

impl From<jsonc_parser::common::Range> for Span {
    fn from(range: jsonc_parser::common::Range) -> Self {
        Self { start: range.start, end: range.end }
    }
}

/// A text and the beginnings of its lines.
#[derive(Debug)]
pub(super) struct SourceMap<'t> {
    text: &'t str,
    line_starts: Vec<usize>,
}

impl<'t> SourceMap<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, line_starts: std::iter::once(0).chain(ends).collect() }
    }

    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    /// The position of the character that holds byte `offset`; past the end, the end.
    pub(super) fn position(&self, offset: usize) -> Position {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let column = self.text[self.line_starts[line - 1]..offset].chars().count() + 1;
        Position { line, column }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_column_counts_characters_not_bytes() {
        let map = SourceMap::new("aé\r\nü = 1\n");
        for (offset, line, column) in
            [(0, 1, 1), (1, 1, 2), (2, 1, 2), (3, 1, 3), (5, 2, 1), (7, 2, 2), (12, 3, 1), (99, 3, 1)]
        {
            assert_eq!(map.position(offset), Position { line, column }, "offset {offset}");
        }
        assert_eq!(SourceMap::new("").position(0), Position { line: 1, column: 1 });
    }

    proptest! {
        #[test]
        fn positions_grow_with_offsets(text in "\\PC{0,20}\n?\\PC{0,20}", a in 0usize..60, b in 0usize..60) {
            let map = SourceMap::new(&text);
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(map.position(low) <= map.position(high));
        }
    }
}
