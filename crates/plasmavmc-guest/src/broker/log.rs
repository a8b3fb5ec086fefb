//! The broker's own log, `logs/host-broker.log`: a line for each handshake, and what else happened.
//!
//! ```text
//! 2026-11-25T12:00:00.000Z handshake vm=web capabilities=bus-v1,exec,files outcome=ok
//! 2026-11-25T12:00:00.000Z hello from vm:web
//! 2026-11-25T12:00:00.000Z handshake vm=db capabilities= outcome=declined reason="the agent says ..."
//! ```
//!
//! Each line is one `write`. A log that cannot be written stops nothing. Tests: below.

use std::fmt;
use std::fs::File;
use std::io::Write;

use castra_agent_proto::message::Outcome;
use plasmavmc_types::{Timestamp, VmName};

/// The log.
#[derive(Debug)]
pub(super) struct Log(pub(super) Option<File>);

impl Log {
    /// Writes one line.
    pub(super) fn line(&self, at: Timestamp, text: fmt::Arguments<'_>) {
        if let Some(mut file) = self.0.as_ref() {
            let _ = file.write_all(format!("{at} {text}\n").as_bytes());
        }
    }

    /// Tells of a handshake.
    pub(super) fn handshake(&self, at: Timestamp, vm: &VmName, capabilities: &[String], outcome: &Outcome) {
        let list = capabilities.join(",");
        match outcome {
            Outcome::Ok => self.line(at, format_args!("handshake vm={vm} capabilities={list} outcome=ok")),
            Outcome::Declined { reason } => self.line(
                at,
                format_args!(
                    "handshake vm={vm} capabilities={list} outcome=declined reason=\"{}\"",
                    Quoted(reason)
                ),
            ),
        }
    }
}

/// A text between quotes: printable ASCII, whatever it was.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_default().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_is_exactly_this_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let log = Log(Some(file.reopen().unwrap()));
        let (at, vm) = (Timestamp::from_unix_millis(0), "web".parse().unwrap());
        log.handshake(at, &vm, &["exec".to_owned(), "files".to_owned()], &Outcome::Ok);
        let reason = "it says \"db\"\n2026 hello from vm:db".to_owned();
        log.handshake(at, &vm, &[], &Outcome::Declined { reason });
        assert_eq!(
            std::fs::read_to_string(file.path()).unwrap(),
            "1970-01-01T00:00:00.000Z handshake vm=web capabilities=exec,files outcome=ok\n\
             1970-01-01T00:00:00.000Z handshake vm=web capabilities= outcome=declined \
             reason=\"it says \\\"db\\\"\\n2026 hello from vm:db\"\n"
        );
    }
}
