//! Proof of what can run guests here, fast: guest code that ran, timed.
//!
//! A `/dev/kvm` that exists, opens, creates processors and lets QEMU greet can still be useless:
//! inside some virtual machines it runs guests a thousand times slower than translation does. So
//! every accelerator runs the same small guest (`boot_sector.rs`), all of them at once, and the
//! fastest that ran it right is taken. In all this takes at most [`BOUND`]; the answer holds for
//! one boot of the host, one QEMU and one set of permissions, and is kept in a file.
//!
//! Owns: the guest, the measuring, the decision (pure, [`decide`]), the cache. Never does: start a
//! VM of a user's, or choose against what a user wrote in the config ([`Verdict::choose`]).
//! For hosts that are not x86_64 there is no test guest: there the native accelerator comes first
//! where its device opens, its reason says that it is not proven, and `castra up` still falls back
//! when QEMU dies on it. Tests: in each file.

use std::path::Path;
use std::thread;
use std::time::Duration;

use plasmavmc_types::Accelerator;
use serde::{Deserialize, Serialize};

use crate::FileLock;
use crate::qemu::{GuestArch, QemuBinary, QemuError};

mod boot_sector;
mod cache;
mod decide;
mod measure;

pub use cache::FILE as CACHE_FILE;
pub use decide::{Choice, NotUsable, Refusal, Verdict, decide};
pub use measure::measure;

/// Most time that [`prove`] takes to measure: the guests' share plus starting and ending QEMU.
pub const BOUND: Duration = Duration::from_millis(1500);

/// Time the test guest gets on each accelerator, QEMU's start included. A healthy accelerator
/// needs a third of it; what is left of [`BOUND`] is for ending QEMU on a busy host.
pub const GUEST_BOUND: Duration = Duration::from_millis(1100);

/// Time to wait for another process that measures: it takes at most [`BOUND`].
const LOCK_BOUND: Duration = Duration::from_secs(3);

/// Whether an answer from before will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Take the cached answer where it still holds.
    UseCache,
    /// Measure now.
    Measure,
}

/// How one accelerator did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measurement {
    /// The accelerator.
    pub accelerator: Accelerator,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of the test guest on one accelerator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The guest ran and calculated right.
    Ran {
        /// From QEMU's start to its end.
        elapsed_ms: u64,
    },
    /// The guest ran and calculated wrong.
    WrongAnswer,
    /// The guest did not end in time.
    TimedOut {
        /// The time it had.
        bound_ms: u64,
    },
    /// QEMU was ended by a signal.
    Crashed {
        /// The signal's number.
        signal: i32,
        /// What QEMU said.
        said: String,
    },
    /// QEMU gave up by itself.
    Failed {
        /// Its exit status.
        status: i32,
        /// What it said.
        said: String,
    },
    /// The device is not there.
    NoDevice,
    /// The device may not be opened by this user.
    NoPermission,
    /// Another hypervisor holds the processor.
    Busy,
    /// This QEMU was built without it.
    NotBuiltIn,
    /// No test guest exists for this architecture; the device opens.
    Unproven,
}

/// What was measured here, and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The version of QEMU, such as `10.0.2`.
    pub qemu_version: String,
    /// How each accelerator did.
    pub measurements: Vec<Measurement>,
    /// What follows.
    pub verdict: Verdict,
}

impl Proof {
    fn of(qemu_version: String, measurements: Vec<Measurement>) -> Self {
        let verdict = decide(&measurements);
        Self { qemu_version, measurements, verdict }
    }
}

/// Finds out which accelerators run guests here, fastest first, and QEMU's version.
///
/// Measuring starts one QEMU for each accelerator, all at once, and takes at most [`BOUND`]; while
/// another process measures, its answer is waited for instead. An answer from before costs reading
/// one file. A cache that is damaged, or in a directory that cannot be written, only costs time.
///
/// # Errors
/// [`QemuError`] where QEMU does not run at all.
pub fn prove(qemu: &QemuBinary, cache_dir: &Path, freshness: Freshness) -> Result<Proof, QemuError> {
    if freshness == Freshness::UseCache
        && let Some(proof) = cached(qemu, cache_dir)
    {
        return Ok(proof);
    }
    // Without the lock, twenty commands that start at once would measure each other's load.
    let lock = FileLock::acquire(&cache_dir.join("accelerator.lock"), LOCK_BOUND);
    if freshness == Freshness::UseCache
        && lock.is_ok()
        && let Some(proof) = cached(qemu, cache_dir)
    {
        return Ok(proof);
    }
    let (version, measurements) = thread::scope(|scope| {
        let version = scope.spawn(|| qemu.version());
        let measurements = measure_all(qemu);
        (version.join().expect("asking for a version does not panic"), measurements)
    });
    let proof = Proof::of(version?, measurements);
    cache::store(qemu, cache_dir, &proof);
    Ok(proof)
}

/// Runs the test guest on everything that may run guests here, all at once, and keeps nothing.
///
/// Takes at most [`BOUND`].
pub fn measure_all(qemu: &QemuBinary) -> Vec<Measurement> {
    thread::scope(|scope| {
        let runs: Vec<_> = candidates(qemu.arch())
            .map(|accelerator| {
                scope.spawn(move || Measurement { accelerator, outcome: measure(qemu, accelerator) })
            })
            .collect();
        runs.into_iter().map(|run| run.join().expect("measuring does not panic")).collect()
    })
}

/// The answer from before, where it still holds: reads one file, starts nothing, writes nothing.
pub fn cached(qemu: &QemuBinary, cache_dir: &Path) -> Option<Proof> {
    cache::load(qemu, cache_dir)
}

/// What may run guests of `arch` on this host at all.
fn candidates(arch: GuestArch) -> impl Iterator<Item = Accelerator> {
    let native = if cfg!(target_os = "macos") { Accelerator::Hvf } else { Accelerator::Kvm };
    let same = GuestArch::of_host() == Some(arch);
    same.then_some(native).into_iter().chain([Accelerator::Tcg])
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::qemu::locate;

    /// Held by tests that measure, so that they do not measure each other.
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

    #[test]
    fn the_proof_is_bounded_and_what_it_prefers_ran_guest_code() {
        let dir = tempfile::tempdir().unwrap();
        let qemu = locate(GuestArch::X86_64, None).unwrap();
        let _alone = ALONE.lock();
        let timed = || {
            let start = Instant::now();
            let proof = prove(&qemu, dir.path(), Freshness::Measure).unwrap();
            (start.elapsed(), proof)
        };
        // The best of three: what else this host runs at the moment is not the proof's fault.
        let (elapsed, proof) = (0..3).map(|_| timed()).min_by_key(|(elapsed, _)| *elapsed).unwrap();
        assert!(elapsed < BOUND, "took {elapsed:?}");
        assert!(proof.measurements.iter().any(|m| m.accelerator == Accelerator::Tcg));
        let best = proof.verdict.order.first().expect("TCG runs everywhere");
        assert!(!best.reason.is_empty());
        let outcome = &proof.measurements.iter().find(|m| m.accelerator == best.accelerator).unwrap().outcome;
        assert!(
            matches!(outcome, Outcome::Ran { .. }) || best.accelerator == Accelerator::Tcg,
            "{best:?} after {outcome:?}"
        );
        assert_eq!(proof.qemu_version, qemu.version().unwrap());
    }

    #[test]
    fn commands_that_start_at_once_get_one_answer() {
        let _alone = ALONE.lock();
        let dir = tempfile::tempdir().unwrap();
        let qemu = locate(GuestArch::X86_64, None).unwrap();
        let proofs: Vec<_> = thread::scope(|scope| {
            let runs: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| prove(&qemu, dir.path(), Freshness::UseCache).unwrap()))
                .collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect()
        });
        assert!(
            proofs
                .windows(2)
                .all(|pair| pair[0].verdict.order[0].accelerator == pair[1].verdict.order[0].accelerator)
        );
    }

    #[test]
    fn a_directory_that_cannot_be_written_costs_no_answer() {
        let _alone = ALONE.lock();
        let qemu = locate(GuestArch::X86_64, None).unwrap();
        let proof = prove(&qemu, Path::new("/proc/no/such"), Freshness::UseCache).unwrap();
        assert!(!proof.verdict.order.is_empty());
    }
}
