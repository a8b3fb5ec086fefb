//! The journal: what QEMU itself reported of a run, kept by QEMU in a file.
//!
//! A second monitor writes to `metadata/journals/<vm>.jsonl` instead of a socket, so nobody has to
//! listen: why a VM stopped is known even when nobody watched, any number of subscribers can follow
//! the file, and the last known state is told although QEMU no longer answers. It is emptied before
//! each launch, while the VM's lock is held; what lies further back than anyone reads is given back to
//! the disk meanwhile ([`crate::watch`]), as a guest can make it grow. Pure but for [`read`]. Tests: below.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use plasmavmc_hypervisor::VmEvent;
use plasmavmc_types::VmState;
use serde_json::Value;

use crate::argv::AGENT_PORT_ID;
use crate::qmp::{Codec, Event, Message};

/// How much of a journal is read: its end. An ordinary run writes less than 4 KiB.
pub(crate) const READ_MAX: u64 = 1 << 20;

/// What a journal tells of its run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Journal {
    /// Whether QEMU got as far as answering on the journal's monitor: the guest's processors were
    /// let run in the same breath.
    pub(crate) begun: bool,
    /// Whether the guest was asked to power off.
    pub(crate) powerdown: bool,
    /// Whether the guest's processors were stopped and not let run on.
    pub(crate) paused: bool,
    /// Why QEMU ended.
    pub(crate) shutdown: Option<ShutdownCause>,
}

/// Why QEMU ended, as it reports it (`ShutdownCause` in its schema).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ShutdownCause {
    /// The guest powered off, or restarted where that ends it.
    Guest,
    /// The guest's kernel crashed.
    GuestPanic,
    /// A signal: SIGTERM, SIGINT or SIGHUP.
    Signal,
    /// A failure in QEMU.
    HostError,
    /// Someone asked over QMP.
    Quit,
    /// Something newer than this program.
    Other,
}

/// Reads a journal; an empty one where there is none. A line that was torn, as a full disk tears it,
/// is passed over.
pub(crate) fn read(path: &Path) -> Journal {
    let mut journal = Journal::default();
    for message in Codec::new().push_torn(&read_end(path).unwrap_or_default()) {
        journal.apply(&message);
    }
    journal
}

/// The last lines of a journal, each whole.
fn read_end(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(len.saturating_sub(READ_MAX)))?;
    file.take(READ_MAX).read_to_end(&mut bytes)?;
    if len > READ_MAX {
        let cut = bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |end| end + 1);
        bytes.drain(..cut);
    }
    Ok(bytes)
}

impl Journal {
    fn apply(&mut self, message: &Message) {
        let Message::Event(event) = message else {
            self.begun |= matches!(message, Message::Return { .. });
            return;
        };
        // Where the beginning was cut off, an event proves it.
        self.begun = true;
        match event.name.as_str() {
            "POWERDOWN" => self.powerdown = true,
            "STOP" => self.paused = true,
            "RESUME" => self.paused = false,
            "SHUTDOWN" => self.shutdown = Some(ShutdownCause::of(event)),
            _ => {}
        }
    }

    /// The state the run was last known in.
    pub(crate) fn state(&self) -> VmState {
        match self {
            Self { shutdown: Some(_), .. } => VmState::ShuttingDown,
            Self { begun: false, .. } => VmState::Starting,
            Self { paused: true, .. } => VmState::Paused,
            _ => VmState::Running,
        }
    }
}

impl ShutdownCause {
    fn of(event: &Event) -> Self {
        match event.data["reason"].as_str() {
            Some("guest-shutdown" | "guest-reset") => Self::Guest,
            Some("guest-panic") => Self::GuestPanic,
            Some("host-signal") => Self::Signal,
            Some("host-error") => Self::HostError,
            Some("host-qmp-quit") => Self::Quit,
            _ => Self::Other,
        }
    }
}

/// What a subscriber is told of a message; none where it is of no interest.
pub(crate) fn event(message: &Message) -> Option<VmEvent> {
    let Message::Event(event) = message else { return None };
    match event.name.as_str() {
        "STOP" | "SUSPEND" => Some(VmEvent::State(VmState::Paused)),
        "RESUME" | "WAKEUP" => Some(VmEvent::State(VmState::Running)),
        "SHUTDOWN" => Some(VmEvent::State(VmState::ShuttingDown)),
        "RESET" => Some(VmEvent::Reset),
        "GUEST_PANICKED" => Some(VmEvent::GuestPanicked),
        "BLOCK_IO_ERROR" => Some(VmEvent::BlockError {
            device: text(&event.data, &["node-name", "device", "qom-path"]),
            reason: text(&event.data, &["reason"]),
        }),
        _ => None,
    }
}

/// What a message tells of the guest's end of the agent's port: whether it is open now.
pub(crate) fn agent_port(message: &Message) -> Option<bool> {
    let Message::Event(event) = message else { return None };
    let is_agents = event.name == "VSERPORT_CHANGE" && event.data["id"] == AGENT_PORT_ID;
    is_agents.then(|| event.data["open"].as_bool()).flatten()
}

/// The first of the members that is there and not empty.
fn text(data: &Value, members: &[&str]) -> String {
    let found = members.iter().filter_map(|member| data[*member].as_str()).find(|text| !text.is_empty());
    found.unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(name: &str, data: &Value) -> String {
        json!({ "timestamp": { "seconds": 1, "microseconds": 2 }, "event": name, "data": data }).to_string()
            + "\r\n"
    }

    fn shutdown(reason: &str) -> String {
        line("SHUTDOWN", &json!({ "guest": false, "reason": reason }))
    }

    fn journal(lines: &[String]) -> Journal {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), lines.concat()).unwrap();
        read(file.path())
    }

    #[test]
    fn the_state_follows_what_qemu_reported() {
        let opened = || "{\"return\": {}}\r\n".to_owned();
        let (stop, resume) = (line("STOP", &Value::Null), line("RESUME", &Value::Null));
        for (lines, state) in [
            (vec![], VmState::Starting),
            (vec![opened()], VmState::Running),
            (vec![opened(), stop.clone()], VmState::Paused),
            (vec![opened(), stop.clone(), resume.clone()], VmState::Running),
            (vec![opened(), shutdown("guest-shutdown")], VmState::ShuttingDown),
            (vec![opened(), stop, resume, line("NEW_THING", &json!({"a": []}))], VmState::Running),
        ] {
            assert_eq!(journal(&lines).state(), state, "{lines:?}");
        }
    }

    #[test]
    fn every_cause_of_an_end_is_told_apart() {
        for (reason, cause) in [
            ("guest-shutdown", ShutdownCause::Guest),
            ("guest-reset", ShutdownCause::Guest),
            ("guest-panic", ShutdownCause::GuestPanic),
            ("host-signal", ShutdownCause::Signal),
            ("host-error", ShutdownCause::HostError),
            ("host-qmp-quit", ShutdownCause::Quit),
            ("a-new-one", ShutdownCause::Other),
        ] {
            assert_eq!(journal(&[shutdown(reason)]).shutdown, Some(cause), "{reason}");
        }
    }

    #[test]
    fn a_journal_of_any_length_is_read_at_its_end() {
        let mut lines = vec![line("RTC_CHANGE", &json!({ "offset": 7 })); 20_000];
        lines.push(shutdown("host-signal"));
        assert_eq!(journal(&lines).shutdown, Some(ShutdownCause::Signal));
    }

    #[test]
    fn a_torn_line_hides_nothing_that_was_reported_before_or_after() {
        let (stop, resume) = (line("STOP", &Value::Null), line("RESUME", &Value::Null));
        let torn = stop[..stop.len() / 2].to_owned() + &resume;
        let end = shutdown("guest-shutdown");
        assert_eq!(journal(&[stop.clone(), torn.clone()]).state(), VmState::Paused);
        assert_eq!(journal(&[stop, torn, end]).shutdown, Some(ShutdownCause::Guest));
    }

    #[test]
    fn a_missing_journal_tells_nothing() {
        assert_eq!(read(Path::new("/nonexistent")), Journal::default());
    }

    #[test]
    fn only_the_agents_own_port_is_told_of() {
        let change = |id: &str, open: bool| {
            let data = json!({ "id": id, "open": open });
            agent_port(&Message::Event(Event { name: "VSERPORT_CHANGE".to_owned(), data }))
        };
        assert_eq!((change("agent-port", true), change("agent-port", false)), (Some(true), Some(false)));
        assert_eq!(change("qga-port", true), None);
    }

    #[test]
    fn a_block_error_names_its_device() {
        let data = json!({ "device": "", "node-name": "root", "reason": "No space left on device" });
        let message = Message::Event(Event { name: "BLOCK_IO_ERROR".to_owned(), data });
        let reason = "No space left on device".to_owned();
        assert_eq!(event(&message), Some(VmEvent::BlockError { device: "root".to_owned(), reason }));
    }
}
