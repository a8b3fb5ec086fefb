//! Mounts a VM's folders in its guest, and tells which of them are there.
//!
//! The guest's agent mounts. What came of it is written to `metadata/mounts/<vm>.json` with the boot of the
//! guest that it holds for: a guest that boots again has them no more, until the broker hears of it (`again`).
//! Telling reads that file and the session's, and asks nobody. Tests: below, and `tests/it/mounts.rs`.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use plasmavmc_guest::client::{Channel, ClientError, Request};
use plasmavmc_guest::record::SessionRecord;
use plasmavmc_host::{HostError, Layout, publish};
use plasmavmc_hypervisor::EventSink;
use plasmavmc_types::{EventKind, RunToken, ShareSpec, VmName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::error::Error;

/// The file system a guest mounts.
const FILE_SYSTEM: &str = "9p";
/// The most bytes of a record that are read: eight mounts with the longest paths there are.
const READ_MAX: u64 = 128 * 1024;

/// A folder of the host in a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MountRow {
    /// The folder of the host.
    pub host: PathBuf,
    /// Where the guest sees it.
    pub guest: String,
    /// Whether the guest may not write to it.
    pub read_only: bool,
    /// pending: not mounted since the guest booted; mounted; failed.
    pub state: MountState,
    /// Why it failed; null otherwise.
    pub reason: Option<String>,
}

/// Whether a folder is there in a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MountState {
    /// It was not mounted since the guest booted.
    Pending,
    /// It is there.
    Mounted,
    /// It could not be mounted.
    Failed,
}

/// What came of mounting, for one boot of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    run: RunToken,
    guest_boot_id: String,
    mounts: Vec<Entry>,
}

/// What came of one folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    guest: String,
    /// Why it failed; none where it is there.
    failed: Option<String>,
}

/// Mounts every folder of a VM whose guest is reachable, or becomes so until `deadline`.
///
/// All are tried. Those that are there already stay as they are.
///
/// # Errors
/// [`Error::NotMounted`] with the first that failed; where the guest cannot be reached, all of them did.
pub(crate) fn mount_all(
    layout: &Layout,
    vm: &VmName,
    shares: &[ShareSpec],
    deadline: Instant,
    sink: &dyn EventSink,
) -> Result<(), Error> {
    let mut shares: Vec<&ShareSpec> = shares.iter().collect();
    // A folder in a folder comes after it.
    shares.sort_by(|a, b| a.mount_point.cmp(&b.mount_point));
    let Some(first) = shares.first() else { return Ok(()) };
    let bound = deadline.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
    let mut channel = Channel::attach(layout, vm, bound).map_err(|source| {
        for share in &shares {
            tell(sink, vm, share, Some(source.to_string()));
        }
        failed(vm, first, source)
    })?;
    let (mut entries, mut error) = (Vec::new(), None);
    for share in shares {
        let mounted = channel.call(&Request::Mount {
            tag: share.id.to_string(),
            target: share.mount_point.clone(),
            file_system: FILE_SYSTEM.to_owned(),
            read_only: share.read_only,
        });
        let reason = mounted.as_ref().err().map(ToString::to_string);
        tell(sink, vm, share, reason.clone());
        entries.push(Entry { guest: share.mount_point.clone(), failed: reason });
        error = error.or(mounted.err().map(|source| failed(vm, share, source)));
    }
    note(layout, vm, entries)?;
    error.map_or(Ok(()), Err)
}

fn failed(vm: &VmName, share: &ShareSpec, source: ClientError) -> Error {
    Error::NotMounted {
        vm: vm.clone(),
        host: share.path.clone(),
        guest: share.mount_point.clone(),
        source: Box::new(source),
    }
}

fn tell(sink: &dyn EventSink, vm: &VmName, share: &ShareSpec, failed: Option<String>) {
    let (host, guest) = (share.path.clone(), share.mount_point.clone());
    let event = match failed {
        None => EventKind::MountReady { host, guest, read_only: share.read_only },
        Some(reason) => EventKind::MountFailed { host, guest, reason },
    };
    sink.emit(Some(vm), event);
}

/// Writes down what came of it, for the boot of the guest that is on now.
fn note(layout: &Layout, vm: &VmName, mounts: Vec<Entry>) -> Result<(), HostError> {
    let Some(session) = SessionRecord::read(layout, vm) else { return Ok(()) };
    let record = Record { run: session.run, guest_boot_id: session.guest_boot_id, mounts };
    let path = layout.mounts(vm);
    if let Some(dir) = path.parent() {
        publish::private_dir_below(layout.root(), dir)?;
    }
    let text = serde_json::to_vec(&record).expect("plain values serialise");
    publish::write_for_this_boot(&path, &text)
}

fn read(layout: &Layout, vm: &VmName) -> Option<Record> {
    let mut bytes = Vec::new();
    File::open(layout.mounts(vm)).ok()?.take(READ_MAX).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Whether the folders of a VM were mounted in this run, and its guest booted again since.
pub(super) fn are_gone(layout: &Layout, vm: &VmName) -> bool {
    let (record, session) = (read(layout, vm), SessionRecord::read(layout, vm));
    record.zip(session).is_some_and(|(record, session)| {
        record.run == session.run && record.guest_boot_id != session.guest_boot_id
    })
}

/// The folders of a live VM, and which of them its guest has. Reads only.
pub(crate) fn rows(layout: &Layout, vm: &VmName, shares: &[ShareSpec]) -> Vec<MountRow> {
    if shares.is_empty() {
        return Vec::new();
    }
    let session = SessionRecord::read(layout, vm);
    let holds = |record: &Record| {
        session.as_ref().is_some_and(|it| it.run == record.run && it.guest_boot_id == record.guest_boot_id)
    };
    let record = read(layout, vm).filter(holds);
    shares.iter().map(|share| row(share, record.as_ref())).collect()
}

fn row(share: &ShareSpec, record: Option<&Record>) -> MountRow {
    let entry = record.and_then(|record| record.mounts.iter().find(|it| it.guest == share.mount_point));
    let state = match entry {
        None => MountState::Pending,
        Some(Entry { failed: None, .. }) => MountState::Mounted,
        Some(_) => MountState::Failed,
    };
    MountRow {
        host: share.path.clone(),
        guest: share.mount_point.clone(),
        read_only: share.read_only,
        state,
        reason: entry.and_then(|entry| entry.failed.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_told_of_as_its_record_says() {
        let share = |guest: &str| ShareSpec {
            id: super::super::tag(guest),
            path: "/h".into(),
            mount_point: guest.to_owned(),
            read_only: true,
        };
        let entry = |guest: &str, failed: Option<&str>| Entry {
            guest: guest.to_owned(),
            failed: failed.map(str::to_owned),
        };
        let record = Record {
            run: "0123456789abcdef0123456789abcdef".parse().unwrap(),
            guest_boot_id: "b".to_owned(),
            mounts: vec![entry("/a", None), entry("/b", Some("why"))],
        };
        for (guest, record, expected) in [
            ("/a", Some(&record), (MountState::Mounted, None)),
            ("/b", Some(&record), (MountState::Failed, Some("why".to_owned()))),
            ("/c", Some(&record), (MountState::Pending, None)),
            ("/a", None, (MountState::Pending, None)),
        ] {
            let row = row(&share(guest), record);
            assert_eq!((row.state, row.reason), expected, "{guest}");
        }
    }

    #[test]
    fn a_record_of_an_earlier_boot_of_the_guest_holds_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, vm) = (Layout::new(dir.path()), "web".parse::<VmName>().unwrap());
        std::fs::create_dir_all(layout.sessions()).unwrap();
        let shares = [ShareSpec {
            id: super::super::tag("/a"),
            path: "/h".into(),
            mount_point: "/a".to_owned(),
            read_only: true,
        }];
        let session = |boot: &str| {
            let text = serde_json::json!({
                "run": "0123456789abcdef0123456789abcdef",
                "host_boot_id": "00000000-0000-0000-0000-000000000001",
                "broker": { "pid": 7, "start_time": 8, "boot_id": "00000000-0000-0000-0000-000000000001" },
                "agent": "castra", "agent_version": "1", "guest_boot_id": boot, "capabilities": [],
                "outcome": "ok", "handshake_at_ms": 1, "last_seen_ms": 2, "handshakes": 1, "dropped": 0,
                "flooded": false,
            });
            std::fs::write(layout.session(&vm), text.to_string()).unwrap();
            assert!(SessionRecord::read(&layout, &vm).is_some(), "not a session record");
        };
        let state = || rows(&layout, &vm, &shares)[0].state;
        assert_eq!(state(), MountState::Pending);
        session("first");
        note(&layout, &vm, vec![Entry { guest: "/a".to_owned(), failed: None }]).unwrap();
        assert_eq!(state(), MountState::Mounted);
        assert!(!are_gone(&layout, &vm));
        session("second");
        assert_eq!(state(), MountState::Pending);
        assert!(are_gone(&layout, &vm));
        std::fs::remove_file(layout.mounts(&vm)).unwrap();
        assert!(!are_gone(&layout, &vm), "folders that nobody mounted are missed");
    }
}
