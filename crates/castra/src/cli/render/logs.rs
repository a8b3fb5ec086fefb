//! Lines of logs as `castra logs` shows them.
//!
//! Whatever a guest wrote, it cannot drive the terminal of the person who reads it, unless they ask
//! for every byte. Lines are gathered and written in pieces. Tests: below.

use plasmavmc_term::{Stdout, StdoutError, sentence, styled};
use plasmavmc_types::Event;
use serde::Serialize;

use super::style::DIM;
use crate::cli::face::View;
use crate::core::logs::{LogItem, LogLine, LogSource, LogsOutcome};

/// Bytes gathered before they are written.
const GATHERED: usize = 32 * 1024;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looks {
    /// With where they come from, made harmless.
    Text,
    /// As they were written.
    Raw,
    /// As JSON.
    Json,
}

/// Writes lines of logs to standard output.
pub(crate) struct LogPrinter<'a> {
    looks: Looks,
    out: &'a Stdout,
    gathered: Vec<u8>,
}

/// A line for programs.
#[derive(Serialize)]
struct LogEnvelope<'a> {
    log: LogRecord<'a>,
}

#[derive(Serialize)]
struct LogRecord<'a> {
    source: LogSource,
    vm: Option<&'a str>,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Event>,
}

impl<'a> LogPrinter<'a> {
    pub(crate) const fn new(looks: Looks, out: &'a Stdout) -> Self {
        Self { looks, out, gathered: Vec::new() }
    }

    /// Takes a line, or the word that nothing follows for now.
    ///
    /// # Errors
    /// [`StdoutError`].
    pub(crate) fn take(&mut self, item: LogItem<'_>) -> Result<(), StdoutError> {
        match item {
            LogItem::Line(line) => self.line(&line),
            LogItem::Quiet => return self.flush(),
        }
        if self.gathered.len() >= GATHERED { self.flush() } else { Ok(()) }
    }

    fn line(&mut self, line: &LogLine<'_>) {
        match self.looks {
            Looks::Raw => self.gathered.extend_from_slice(line.bytes),
            Looks::Text => self.gathered.extend_from_slice(text(line).as_bytes()),
            Looks::Json => {
                let vm = line.vm.map(AsRef::as_ref);
                let event = line.event();
                let said = event.as_ref().and_then(|event| sentence(&event.kind));
                let text = said.unwrap_or_else(|| line.text());
                let record = LogRecord { source: line.source, vm, text, event };
                let json = serde_json::to_vec(&LogEnvelope { log: record });
                self.gathered.extend(json.expect("plain values serialise"));
            }
        }
        self.gathered.push(b'\n');
    }

    fn flush(&mut self) -> Result<(), StdoutError> {
        let gathered = std::mem::take(&mut self.gathered);
        match self.looks {
            _ if gathered.is_empty() => Ok(()),
            // Through the stream's own judgement of colour.
            Looks::Text => self.out.print(&String::from_utf8_lossy(&gathered)),
            Looks::Raw | Looks::Json => self.out.raw(&gathered),
        }
    }
}

/// A line with where it comes from.
fn text(line: &LogLine<'_>) -> String {
    let place = match (line.source, line.vm) {
        (LogSource::Broker, _) => "[host-broker]".to_owned(),
        (LogSource::Qemu | LogSource::Serial | LogSource::Bootstrap, Some(vm)) => {
            format!("[{vm}:{}]", line.source.as_str())
        }
        _ => "[host]".to_owned(),
    };
    let said = match line.event() {
        Some(event) => event_text(&event),
        None => line.text(),
    };
    format!("{} {said}", styled(DIM, &place)).trim_end().to_owned()
}

/// An event as a sentence, with its time and VM.
fn event_text(event: &Event) -> String {
    let vm = event.vm.as_ref().map(|vm| format!("{vm}: ")).unwrap_or_default();
    let what = sentence(&event.kind).unwrap_or_default();
    let what = plasmavmc_term::text::printable(&what).replace('\n', " ");
    format!("{} {vm}{what}", event.at)
}

/// Nothing: the lines are the answer.
pub(crate) fn logs(_: &LogsOutcome, _: View) -> String {
    String::new()
}

#[cfg(test)]
mod tests {
    use plasmavmc_term::Width;
    use plasmavmc_types::VmName;

    use super::super::samples::sink;
    use super::*;

    fn printed(looks: Looks) -> String {
        let (writer, seen) = sink();
        let out = Stdout::to(writer, Width::Unlimited);
        let mut printer = LogPrinter::new(looks, &out);
        let vm: VmName = "web".parse().unwrap();
        let event =
            br#"{"seq":1,"at":"2026-01-01T00:00:00.000Z","vm":"web","event":"VmReady","elapsed_ms":2700}"#;
        let lines: [(LogSource, Option<&VmName>, &[u8]); 5] = [
            (LogSource::Host, Some(&vm), event),
            (LogSource::Host, None, b"{broken"),
            (LogSource::Broker, None, b"2026-01-01T00:00:00.000Z hello from vm:web"),
            (LogSource::Qemu, Some(&vm), b"warning: TCG"),
            (LogSource::Serial, Some(&vm), b"\x1b[2J\x1b[31mlogin:\xff\r"),
        ];
        for (source, vm, bytes) in lines {
            printer.take(LogItem::Line(LogLine { source, vm, bytes })).unwrap();
        }
        printer.take(LogItem::Quiet).unwrap();
        let bytes = seen.lock().unwrap().clone();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn a_guest_cannot_drive_the_readers_terminal() {
        insta::assert_snapshot!(printed(Looks::Text), @r"
        [host] 2026-01-01T00:00:00.000Z web: up after 2.7 s
        [host] {broken
        [host-broker] 2026-01-01T00:00:00.000Z hello from vm:web
        [web:qemu] warning: TCG
        [web:serial] login:�
        ");
    }

    #[test]
    fn programs_get_one_object_per_line() {
        insta::assert_snapshot!(printed(Looks::Json), @r#"
        {"log":{"source":"host","vm":"web","text":"up after 2.7 s","event":{"seq":1,"at":"2026-01-01T00:00:00.000Z","vm":"web","event":"VmReady","elapsed_ms":2700}}}
        {"log":{"source":"host","vm":null,"text":"{broken"}}
        {"log":{"source":"broker","vm":null,"text":"2026-01-01T00:00:00.000Z hello from vm:web"}}
        {"log":{"source":"qemu","vm":"web","text":"warning: TCG"}}
        {"log":{"source":"serial","vm":"web","text":"login:�"}}
        "#);
    }

    #[test]
    fn raw_is_every_byte() {
        assert!(printed(Looks::Raw).contains("\x1b[2J\x1b[31mlogin:"));
    }
}
