//! What is written down of a bootstrap that was done: on the guest's disk, which decides, and on the
//! host, so that `up --plan` can tell without asking a guest.
//!
//! Both are written last, after the check, and taken away before anything is changed. Tests: below.

use std::fs;
use std::path::PathBuf;

use plasmavmc_engine::{Recorded, Staged};
use plasmavmc_host::{HostError, Layout, publish};
use plasmavmc_types::{BootstrapDigest, Timestamp, VmName};
use serde::{Deserialize, Serialize};

/// The record on the guest's disk.
pub(super) const RECORD: &str = "/var/lib/castra/bootstrap.json";
/// Where script and payload lie in the guest.
pub(super) const DIR: &str = "/var/lib/castra/bootstrap";
/// What lies there.
pub(super) const STATE: &str = "/var/lib/castra/bootstrap/state.json";
/// The script in the guest.
pub(super) const SCRIPT: &str = "/var/lib/castra/bootstrap/script";
/// The payload's directory in the guest.
pub(super) const PAYLOAD: &str = "/var/lib/castra/bootstrap/payload";

/// The most bytes of a record that are believed to be one.
pub(super) const MAX_RECORD: usize = 16 * 1024;

/// A bootstrap that was done on a guest's disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Done {
    /// Which one.
    pub(super) digest: BootstrapDigest,
    /// When it was done, by the host's clock.
    pub(super) at: Timestamp,
}

/// What a record on a guest's disk says.
pub(super) fn recorded(bytes: Option<&[u8]>) -> Recorded {
    match bytes.map(serde_json::from_slice::<Done>) {
        None => Recorded::Nothing,
        Some(Ok(done)) => Recorded::Digest(done.digest),
        Some(Err(_)) => Recorded::Unreadable,
    }
}

/// What lies in a guest, as the note there says.
pub(super) fn staged(bytes: Option<&[u8]>) -> Option<Staged> {
    serde_json::from_slice(bytes?).ok()
}

/// What the host noted of the last bootstrap of a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HostNote {
    #[serde(flatten)]
    pub(super) done: Done,
    /// The log of its run.
    pub(super) log: Option<PathBuf>,
}

/// Notes on the host that a bootstrap was done.
pub(super) fn note(layout: &Layout, vm: &VmName, note: &HostNote) -> Result<(), HostError> {
    let path = layout.bootstrap_record(vm);
    if let Some(dir) = path.parent() {
        publish::private_dir_below(layout.root(), dir)?;
    }
    publish::write(&path, &serde_json::to_vec(note).expect("plain values serialise"))
}

/// What is expected of the disk a VM was bootstrapped on. The guest's own record decides.
pub(super) fn expected(layout: &Layout, vm: &VmName) -> Recorded {
    let bytes = fs::read(layout.bootstrap_record(vm)).ok();
    match bytes.map(|bytes| serde_json::from_slice::<HostNote>(&bytes)) {
        None => Recorded::Nothing,
        Some(Ok(note)) => Recorded::Digest(note.done.digest),
        Some(Err(_)) => Recorded::Unreadable,
    }
}

/// Forgets what was done: the disk is another, or is about to be changed.
pub(crate) fn forget(layout: &Layout, vm: &VmName) -> Result<(), HostError> {
    publish::remove(&layout.bootstrap_record(vm)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_record_is_none() {
        let digest = BootstrapDigest::from_bytes([7; 32]);
        let done = Done { digest: digest.clone(), at: "2026-01-01T00:00:00.000Z".parse().unwrap() };
        let text = serde_json::to_vec(&done).unwrap();
        assert_eq!(recorded(Some(&text)), Recorded::Digest(digest));
        assert_eq!(recorded(None), Recorded::Nothing);
        for text in [&b""[..], b"{}", b"\xff", b"{\"digest\":\"x\",\"at\":1}", &text[..text.len() - 1]] {
            assert_eq!(recorded(Some(text)), Recorded::Unreadable, "{}", String::from_utf8_lossy(text));
            assert_eq!(staged(Some(text)), None);
        }
    }

    #[test]
    fn the_host_expects_what_it_noted_until_it_is_told_to_forget() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, vm) = (Layout::new(dir.path()), "web".parse().unwrap());
        assert_eq!(expected(&layout, &vm), Recorded::Nothing);
        let digest = BootstrapDigest::from_bytes([7; 32]);
        let done = Done { digest: digest.clone(), at: "2026-01-01T00:00:00.000Z".parse().unwrap() };
        publish::private_dir(&layout.metadata()).unwrap();
        note(&layout, &vm, &HostNote { done, log: None }).unwrap();
        assert_eq!(expected(&layout, &vm), Recorded::Digest(digest));
        forget(&layout, &vm).unwrap();
        assert_eq!(expected(&layout, &vm), Recorded::Nothing);
    }
}
