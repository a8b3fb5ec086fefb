//! What a program in a guest wrote, for programs; people get it byte for byte. Tests: below.

use std::io::{self, Write};

use plasmavmc_term::Stdout;
use serde::Serialize;

use crate::cli::face::View;
use crate::core::exec::ExecOutcome;

/// Nothing: what the program wrote is the answer.
pub(crate) fn exec(_: &ExecOutcome, _: View) -> String {
    String::new()
}

/// Writes what a program wrote as lines of JSON: as text where it is text, else in hexadecimal.
pub(crate) struct OutputLines<'a> {
    stream: &'static str,
    out: &'a Stdout,
    /// The beginning of a character whose end did not come yet.
    rest: Vec<u8>,
}

#[derive(Serialize)]
struct OutputLine<'a> {
    output: OutputRecord<'a>,
}

#[derive(Serialize)]
struct OutputRecord<'a> {
    stream: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

impl<'a> OutputLines<'a> {
    pub(crate) const fn new(stream: &'static str, out: &'a Stdout) -> Self {
        Self { stream, out, rest: Vec::new() }
    }

    /// Writes what is left of a character that never became whole.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        let rest = std::mem::take(&mut self.rest);
        if rest.is_empty() { Ok(()) } else { self.line(&rest) }
    }

    fn line(&self, bytes: &[u8]) -> io::Result<()> {
        let text = std::str::from_utf8(bytes).ok();
        let hex = text.is_none().then(|| bytes.iter().map(|byte| format!("{byte:02x}")).collect());
        let line = OutputLine { output: OutputRecord { stream: self.stream, text, hex } };
        self.out.json(&line).map_err(|error| match error {
            plasmavmc_term::StdoutError::Closed => io::ErrorKind::BrokenPipe.into(),
            plasmavmc_term::StdoutError::Write { source } => source,
        })
    }
}

impl Write for OutputLines<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.extend_from_slice(bytes);
        let whole = self.rest.len() - unfinished(&self.rest);
        let rest = self.rest.split_off(whole);
        let whole = std::mem::replace(&mut self.rest, rest);
        if !whole.is_empty() {
            self.line(&whole)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes at the end that may be the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => bytes.len() - error.valid_up_to(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use plasmavmc_term::Width;

    use super::super::samples::sink;
    use super::*;

    #[test]
    fn text_comes_as_text_however_it_is_cut_and_the_rest_in_hexadecimal() {
        let (writer, seen) = sink();
        let out = Stdout::to(writer, Width::Unlimited);
        let mut lines = OutputLines::new("stdout", &out);
        let text = "a\nä".as_bytes();
        lines.write_all(&text[..3]).unwrap();
        lines.write_all(&text[3..]).unwrap();
        lines.write_all(b"\xff\x00").unwrap();
        lines.write_all(b"\xc3").unwrap();
        lines.finish().unwrap();
        insta::assert_snapshot!(String::from_utf8(seen.lock().unwrap().clone()).unwrap(), @r#"
        {"output":{"stream":"stdout","text":"a\n"}}
        {"output":{"stream":"stdout","text":"ä"}}
        {"output":{"stream":"stdout","hex":"ff00"}}
        {"output":{"stream":"stdout","hex":"c3"}}
        "#);
    }
}
