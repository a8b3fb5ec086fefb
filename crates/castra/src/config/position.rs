//! Byte offsets of a text as lines and columns, the way editors count.
//!
//! Pure. Tests: below.

use schemars::JsonSchema;
use serde::Serialize;

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

impl From<std::ops::Range<usize>> for Span {
    fn from(range: std::ops::Range<usize>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

/// The beginnings of the lines of a text.
#[derive(Debug)]
pub(super) struct SourceMap<'t> {
    text: &'t str,
    line_starts: Vec<usize>,
}

/// The mark some editors put at the beginning of a file; it takes no column.
const BYTE_ORDER_MARK: char = '\u{feff}';

impl<'t> SourceMap<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        Self { text, line_starts: std::iter::once(0).chain(ends).collect() }
    }

    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    /// The line of byte `offset`, from 1. Unlike a column it costs little on a long line.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    /// The position of the character that holds byte `offset`; past the end, the end.
    pub(super) fn position(&self, offset: usize) -> Position {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.line(offset);
        let before = &self.text[self.line_starts[line - 1]..offset];
        let column = before.chars().filter(|c| *c != BYTE_ORDER_MARK).count() + 1;
        Position { line, column }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_column_counts_characters_not_bytes() {
        let map = SourceMap::new("\u{feff}aé\r\nü = 1\n");
        for (offset, line, column) in [
            (0, 1, 1),
            (3, 1, 1),
            (4, 1, 2),
            (5, 1, 2),
            (6, 1, 3),
            (8, 2, 1),
            (10, 2, 2),
            (15, 3, 1),
            (99, 3, 1),
        ] {
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
