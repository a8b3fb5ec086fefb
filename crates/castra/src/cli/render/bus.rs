//! Messages of the bus, and what was published. Tests: below.

use plasmavmc_guest::client::{BusMessage, BusSide};
use plasmavmc_term::text::printable;
use plasmavmc_term::{OutputFormat, Stdout, StdoutError, styled};
use serde::Serialize;

use super::style::DIM;
use crate::cli::face::View;
use crate::core::bus::{PublishOutcome, TailOutcome};

#[derive(Serialize)]
struct BusLine<'a> {
    bus: &'a BusMessage,
}

/// Writes a message: a line, or an object for programs.
///
/// # Errors
/// [`StdoutError`].
pub(crate) fn bus_message(
    message: &BusMessage,
    format: OutputFormat,
    out: &Stdout,
) -> Result<(), StdoutError> {
    match format {
        OutputFormat::Json => out.json(&BusLine { bus: message }),
        OutputFormat::Human => out.print(&line(message)),
    }
}

/// A message as a line: whatever a guest says, it cannot drive the reader's terminal.
fn line(message: &BusMessage) -> String {
    let arrow = match message.from {
        BusSide::Guest => "",
        BusSide::Host => "to ",
    };
    let place = format!("[{arrow}{} {}]", printable(&message.vm), printable(&message.topic));
    let said = match (&message.text, &message.hex) {
        (Some(text), _) => printable(text.trim_end_matches('\n')).replace('\n', "\n    "),
        (None, hex) => format!("0x{}", printable(hex.as_deref().unwrap_or_default())),
    };
    format!("{} {} {said}\n", styled(DIM, &printable(&message.at)), styled(DIM, &place))
}

pub(crate) fn published(outcome: &PublishOutcome, _: View) -> String {
    format!("Told VM `{}`: {} bytes on `{}`\n", outcome.vm, outcome.bytes, outcome.topic)
}

/// Nothing: the messages are the answer.
pub(crate) fn heard(_: &TailOutcome, _: View) -> String {
    String::new()
}

#[cfg(test)]
mod tests {
    use super::super::samples::plain;
    use super::*;

    #[test]
    fn a_message_is_a_line_that_cannot_drive_the_terminal() {
        let message = BusMessage {
            seq: 3,
            at: "2026-01-01T00:00:00.000Z".into(),
            vm: "web".into(),
            from: BusSide::Guest,
            topic: "build".into(),
            text: Some("\x1b[2Jdone\nin 3 s\n".into()),
            hex: None,
            dropped: 0,
        };
        insta::assert_snapshot!(plain(&line(&message)), @r"
        2026-01-01T00:00:00.000Z [web build] \u{1b}[2Jdone
            in 3 s
        ");
        let from_host = BusMessage { from: BusSide::Host, text: None, hex: Some("ff00".into()), ..message };
        insta::assert_snapshot!(plain(&line(&from_host)), @"2026-01-01T00:00:00.000Z [to web build] 0xff00");
    }
}
