//! What is written down of a guest's session: `metadata/sessions/<vm>.json`, whole at each handshake
//! and each answered keepalive.
//!
//! The broker writes, everyone reads. It means nothing after the host's next boot. What a guest said
//! stands in it only after it was checked. Tests: below; `fuzz/` feeds the reader.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use castra_agent_proto::message::{GuestStage, Outcome};
use plasmavmc_host::process::{BootId, ProcessIdentity};
use plasmavmc_host::{HostError, Layout, publish};
use plasmavmc_types::{RunToken, VmName};
use serde::{Deserialize, Serialize};

/// The most bytes of a record that are read. The largest there can be has a fifth of it.
const READ_MAX: u64 = 64 * 1024;

/// The last handshake with a VM's guest, and when it was heard last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// The run of the VM.
    pub run: RunToken,
    /// The boot of the host that times count from.
    pub host_boot_id: BootId,
    /// The broker that wrote it.
    pub broker: ProcessIdentity,
    /// Who answered.
    pub agent: AgentKind,
    /// Its version.
    pub agent_version: String,
    /// The guest's own boot id; empty where it is not told.
    pub guest_boot_id: String,
    /// What the guest can, sorted and unique.
    pub capabilities: Vec<String>,
    /// Whether the session is on, or why not.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Milliseconds from the host's boot to the handshake.
    pub handshake_at_ms: u64,
    /// Milliseconds from the guest kernel's start to the handshake, by the guest's clock; 0 where its
    /// agent does not tell.
    #[serde(default)]
    pub guest_uptime_ms: u64,
    /// Milliseconds from the guest kernel's start to its agent's, by the guest's clock.
    #[serde(default)]
    pub agent_started_ms: u64,
    /// Milliseconds from the host's boot to the last moment after which the guest is known to have
    /// answered: when what it answered was sent.
    pub last_seen_ms: u64,
    /// Whether the session ended and no new one began: what was heard last proves nothing any more.
    #[serde(default)]
    pub lost: bool,
    /// Handshakes of this run.
    pub handshakes: u64,
    /// Messages dropped because the channel, a listener or the guest's own queue was full.
    pub dropped: u64,
    /// Whether the guest sends more than it may and is held back.
    pub flooded: bool,
    /// Milliseconds from the guest's boot to each stage it reached.
    #[serde(default)]
    pub stages: BTreeMap<GuestStage, u64>,
}

/// Who speaks for a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentKind {
    /// Castra's own agent.
    Castra,
    /// `qemu-guest-agent`, which can less.
    Qga,
}

impl SessionRecord {
    /// The record of a VM; none where there is none or it is not one.
    pub fn read(layout: &Layout, vm: &VmName) -> Option<Self> {
        let mut bytes = Vec::new();
        File::open(layout.session(vm)).ok()?.take(READ_MAX).read_to_end(&mut bytes).ok()?;
        Self::parse(&bytes)
    }

    /// Reads the text of a record; none where it is not one.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Writes the record, whole.
    ///
    /// # Errors
    /// [`HostError::Io`]; what was there is then as it was.
    pub fn write(&self, layout: &Layout, vm: &VmName) -> Result<(), HostError> {
        let mut text = serde_json::to_vec(self).expect("plain values serialise");
        text.push(b'\n');
        publish::write_for_this_boot(&layout.session(vm), &text)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use uuid::Uuid;

    use super::*;

    pub(crate) fn record() -> SessionRecord {
        let boot_id = BootId::from_uuid(Uuid::from_u128(1));
        SessionRecord {
            run: "0123456789abcdef0123456789abcdef".parse().unwrap(),
            host_boot_id: boot_id,
            broker: ProcessIdentity { pid: 7, start_time: 8, boot_id },
            agent: AgentKind::Castra,
            agent_version: "0.1.0".to_owned(),
            guest_boot_id: "b".to_owned(),
            capabilities: vec!["exec".to_owned(), "files".to_owned()],
            outcome: Outcome::Ok,
            handshake_at_ms: 1_000,
            guest_uptime_ms: 900,
            agent_started_ms: 800,
            last_seen_ms: 2_000,
            lost: false,
            handshakes: 1,
            dropped: 0,
            flooded: false,
            stages: BTreeMap::from([(GuestStage::Init, 120), (GuestStage::CloudInit, 900)]),
        }
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let vm: VmName = "web".parse().unwrap();
        publish::private_dir(&layout.sessions()).unwrap();
        assert_eq!(SessionRecord::read(&layout, &vm), None);
        let declined = Outcome::Declined { reason: "the agent says it is VM \"db\"".to_owned() };
        for record in [record(), SessionRecord { outcome: declined, ..record() }] {
            record.write(&layout, &vm).unwrap();
            assert_eq!(SessionRecord::read(&layout, &vm), Some(record));
        }
    }

    #[test]
    fn the_fields_have_these_names() {
        let text = serde_json::to_string(&record()).unwrap();
        assert!(text.contains(r#""agent":"castra","agent_version":"0.1.0""#), "{text}");
        assert!(text.contains(r#""capabilities":["exec","files"],"outcome":"ok","handshake_at_ms":1000"#));
        assert!(text.contains(r#""stages":{"init":120,"cloud_init":900}"#), "{text}");
    }

    #[test]
    fn what_is_no_record_is_no_evidence() {
        let good = serde_json::to_vec(&record()).unwrap();
        for cut in 0..good.len() {
            assert_eq!(SessionRecord::parse(&good[..cut]), None);
        }
        let text = String::from_utf8(good).unwrap();
        for text in [text.replace("\"ok\"", "\"perhaps\""), text.replace("\"castra\"", "\"other\"")] {
            assert_eq!(SessionRecord::parse(text.as_bytes()), None, "{text}");
        }
    }
}
