//! JSON lines: one value per line, each flushed as it is written.
//!
//! A reader sees whole lines only, and sees each as soon as it was written. Tests: below.

use std::io::{self, Write};

use serde::Serialize;

/// Writes values to `W`, one JSON value per line.
#[derive(Debug)]
pub struct JsonLines<W> {
    writer: W,
}

impl<W: Write> JsonLines<W> {
    /// Writes to `writer`.
    pub const fn new(writer: W) -> Self {
        Self { writer }
    }

    /// Writes one value, in one `write_all`, and flushes.
    ///
    /// # Errors
    /// What the writer answers. A value that has no JSON form (a map with keys that are not text)
    /// is an [`io::ErrorKind::InvalidData`] error, and nothing is written.
    pub fn write(&mut self, value: &impl Serialize) -> io::Result<()> {
        let line = line(value)?;
        self.writer.write_all(line.as_bytes())?;
        self.writer.flush()
    }

    /// The writer.
    pub fn into_inner(self) -> W {
        self.writer
    }
}

/// A value as one line of JSON, with its newline.
pub(crate) fn line(value: &impl Serialize) -> io::Result<String> {
    // serde_json escapes newlines inside texts, so the one at the end is the only one.
    let mut line = serde_json::to_string(value)?;
    line.push('\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_newlines_stays_on_one_line() {
        let mut lines = JsonLines::new(Vec::new());
        lines.write(&serde_json::json!({"text": "a\nb\r\n\u{2028}"})).unwrap();
        lines.write(&2).unwrap();
        let text = String::from_utf8(lines.into_inner()).unwrap();
        assert_eq!(text, "{\"text\":\"a\\nb\\r\\n\u{2028}\"}\n2\n");
    }

    #[test]
    fn a_value_without_json_form_writes_nothing() {
        let mut lines = JsonLines::new(Vec::new());
        let map = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert!(lines.write(&map).is_err());
        assert!(lines.into_inner().is_empty());
    }
}
