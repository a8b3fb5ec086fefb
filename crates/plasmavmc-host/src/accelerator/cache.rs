//! Keeps measurements for as long as nothing changed that they depend on.
//!
//! One file, `accelerator.json`, written whole. It holds what was measured and not what follows, so
//! the decision can get better without measuring again. What cannot be read is ignored and written
//! anew. Never does: fail; a cache that does not work costs time and nothing else. Tests: below.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use plasmavmc_types::{Accelerator, Timestamp};
use serde::{Deserialize, Serialize};

use super::measure::KVM_DEVICE;
use super::{Measurement, Outcome, Proof};
use crate::process::BootId;
use crate::publish;
use crate::qemu::{FileStamp, QemuBinary};

/// How long measurements count that say more of the moment than of the host: long enough for
/// commands that start together, short enough to find a quieter moment.
const MOMENT: Duration = Duration::from_secs(60);

/// Raised when the test guest or the way of measuring changes.
const REVISION: u32 = 1;

/// What measurements depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    revision: u32,
    boot_id: String,
    kernel: String,
    qemu: FileStamp,
    user: u32,
    groups: Vec<u32>,
    kvm: Option<DeviceStamp>,
}

/// The permissions of the device behind KVM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct DeviceStamp {
    mode: u32,
    user: u32,
    group: u32,
    changed_ns: i64,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    key: Key,
    measured_at: Timestamp,
    qemu_version: String,
    measurements: Vec<Measurement>,
}

impl Key {
    /// What measurements made now depend on; none where the host does not tell.
    fn now(qemu: &QemuBinary) -> Option<Self> {
        let mut groups: Vec<u32> =
            rustix::process::getgroups().ok()?.into_iter().map(rustix::process::Gid::as_raw).collect();
        groups.push(rustix::process::getegid().as_raw());
        groups.sort_unstable();
        groups.dedup();
        let kvm = fs::metadata(KVM_DEVICE).ok().map(|meta| DeviceStamp {
            mode: meta.mode(),
            user: meta.uid(),
            group: meta.gid(),
            changed_ns: meta.ctime().saturating_mul(1_000_000_000).saturating_add(meta.ctime_nsec()),
        });
        Some(Self {
            revision: REVISION,
            boot_id: BootId::current().ok()?.to_string(),
            kernel: crate::facts::kernel_release(),
            qemu: qemu.stamp().clone(),
            user: rustix::process::geteuid().as_raw(),
            groups,
            kvm,
        })
    }
}

/// The name of the file that keeps measurements.
pub const FILE: &str = "accelerator.json";

fn file(cache_dir: &Path) -> PathBuf {
    cache_dir.join(FILE)
}

/// The proof kept in `cache_dir`, where it still holds.
pub(super) fn load(qemu: &QemuBinary, cache_dir: &Path) -> Option<Proof> {
    let bytes = fs::read(file(cache_dir)).ok()?;
    let entry: Entry = serde_json::from_slice(&bytes).ok()?;
    let counts = lasts(&entry.measurements) || is_recent(entry.measured_at, SystemTime::now().into());
    (counts && entry.key == Key::now(qemu)?).then(|| Proof::of(entry.qemu_version, entry.measurements))
}

/// Keeps a proof.
pub(super) fn store(qemu: &QemuBinary, cache_dir: &Path, proof: &Proof) {
    let Some(key) = Key::now(qemu) else { return };
    let entry = Entry {
        key,
        measured_at: SystemTime::now().into(),
        qemu_version: proof.qemu_version.clone(),
        measurements: proof.measurements.clone(),
    };
    if let Ok(bytes) = serde_json::to_vec(&entry) {
        // A directory that cannot be written costs a measuring next time, and no error now.
        let _ = publish::write(&file(cache_dir), &bytes);
    }
}

/// Whether measurements say something of the host rather than of the moment: a guest that ran out
/// of time means nothing while TCG did too, and another hypervisor may be gone the next minute.
fn lasts(measurements: &[Measurement]) -> bool {
    let timed_out = |accelerator| {
        measurements
            .iter()
            .any(|m| m.accelerator == accelerator && matches!(m.outcome, Outcome::TimedOut { .. }))
    };
    !timed_out(Accelerator::Tcg) && !measurements.iter().any(|m| m.outcome == Outcome::Busy)
}

/// Whether a time is within [`MOMENT`] of now; one in the future, after a clock was set back, is not.
fn is_recent(measured_at: Timestamp, now: Timestamp) -> bool {
    measured_at <= now && now.since(measured_at) < MOMENT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qemu::{GuestArch, locate};

    fn proof(kvm: Outcome, tcg: Outcome) -> Proof {
        let measurement = |accelerator, outcome| Measurement { accelerator, outcome };
        let both = vec![measurement(Accelerator::Kvm, kvm), measurement(Accelerator::Tcg, tcg)];
        Proof::of("10.0.2".to_owned(), both)
    }

    fn qemu() -> QemuBinary {
        locate(GuestArch::X86_64, None).unwrap()
    }

    #[test]
    fn what_was_kept_is_found_again_until_something_changes() {
        let dir = tempfile::tempdir().unwrap();
        let proof = proof(Outcome::NoPermission, Outcome::Ran { elapsed_ms: 380 });
        assert_eq!(load(&qemu(), dir.path()), None);
        store(&qemu(), dir.path(), &proof);
        assert_eq!(load(&qemu(), dir.path()), Some(proof));

        let copy = dir.path().join("qemu");
        fs::copy(qemu().path(), &copy).unwrap();
        let other = locate(GuestArch::X86_64, Some(&copy)).unwrap();
        assert_eq!(load(&other, dir.path()), None, "another QEMU took over the proof");

        let path = file(dir.path());
        let text = fs::read_to_string(&path).unwrap();
        let boot_id = BootId::current().unwrap().to_string();
        fs::write(&path, text.replace(&boot_id, &boot_id.replace('-', "x"))).unwrap();
        assert_eq!(load(&qemu(), dir.path()), None, "another boot took over the proof");
    }

    #[test]
    fn a_damaged_file_is_ignored_and_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let proof = proof(Outcome::NoDevice, Outcome::Ran { elapsed_ms: 380 });
        for bytes in [&b""[..], b"{", b"[]", b"\xff\xfe", b"{\"key\":{}}"] {
            fs::write(file(dir.path()), bytes).unwrap();
            assert_eq!(load(&qemu(), dir.path()), None);
            store(&qemu(), dir.path(), &proof);
            assert_eq!(load(&qemu(), dir.path()).as_ref(), Some(&proof));
        }
    }

    #[test]
    fn what_says_more_of_the_moment_than_of_the_host_counts_for_a_moment() {
        let at = |seconds: u64| Timestamp::from_unix_millis(seconds * 1000);
        assert!(is_recent(at(100), at(100)) && is_recent(at(100), at(159)));
        assert!(!is_recent(at(100), at(160)) && !is_recent(at(100), at(99)));
        let ran = || Outcome::Ran { elapsed_ms: 380 };
        let late = || Outcome::TimedOut { bound_ms: 1200 };
        for (kvm, tcg, lasting) in [
            (ran(), ran(), true),
            (late(), ran(), true),
            (late(), late(), false),
            (ran(), late(), false),
            (Outcome::Busy, ran(), false),
        ] {
            assert_eq!(lasts(&proof(kvm.clone(), tcg.clone()).measurements), lasting, "{kvm:?}, {tcg:?}");
        }
    }
}
