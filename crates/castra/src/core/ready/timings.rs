//! How long the last runs of a VM took to come up: `metadata/timings/<vm>.jsonl`, one run a line.
//!
//! `up` adds a line for each run it brought up; `status --timings` reads. The last [`KEPT`] runs are
//! kept. A file that cannot be read or written never fails the operation it tells about. Tests: below.

use std::fs;

use plasmavmc_host::{HostError, Layout, publish};
use plasmavmc_types::{Accelerator, Stage, Timestamp, VmName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::up::{StageTime, WaitFor};

/// Runs that are kept.
const KEPT: usize = 20;

/// The most bytes of a file that are read; twenty runs have a tenth of it.
const READ_MAX: usize = 64 * 1024;

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunTiming {
    /// When its QEMU was launched.
    #[schemars(with = "String")]
    pub launched_at: Timestamp,
    /// What ran its guest code.
    pub accelerator: Accelerator,
    /// What was waited for.
    pub waited_for: WaitFor,
    /// Milliseconds until it was as ready as asked, set up included.
    pub ready_ms: u64,
    /// How far its guest got by then, and when.
    pub stages: Vec<StageTime>,
}

/// What `status --timings` tells of a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Timings {
    /// The last runs, the newest first.
    pub runs: Vec<RunTiming>,
    /// What the next run will take, going by those that are like the newest; null where there was
    /// none.
    pub estimate: Option<Estimate>,
}

/// What a run will probably take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Estimate {
    /// Milliseconds until it is ready: the median of the runs it is made from.
    pub ready_ms: u64,
    /// The quickest of them.
    pub fastest_ms: u64,
    /// The slowest of them.
    pub slowest_ms: u64,
    /// How many runs it is made from.
    pub runs: usize,
}

/// Keeps note of a run that came up.
///
/// # Errors
/// [`HostError`] where it cannot be written; what was noted before is then as it was.
pub fn note(layout: &Layout, vm: &VmName, run: RunTiming) -> Result<(), HostError> {
    let path = layout.timings(vm);
    let mut runs = read(layout, vm);
    runs.insert(0, run);
    runs.truncate(KEPT);
    if let Some(dir) = path.parent() {
        publish::private_dir_below(layout.root(), dir)?;
    }
    let lines = runs.iter().rev().map(|run| serde_json::to_string(run).expect("plain values serialise"));
    let text: String = lines.map(|line| line + "\n").collect();
    publish::write_for_this_boot(&path, text.as_bytes())
}

/// The last runs of a VM and what the next will take.
pub fn timings(layout: &Layout, vm: &VmName) -> Timings {
    let runs = read(layout, vm);
    Timings { estimate: estimate(&runs), runs }
}

/// The runs that are noted, the newest first. A line that is none is passed over.
fn read(layout: &Layout, vm: &VmName) -> Vec<RunTiming> {
    let bytes = fs::read(layout.timings(vm)).unwrap_or_default();
    let end = &bytes[bytes.len().saturating_sub(READ_MAX)..];
    let text = String::from_utf8_lossy(end);
    text.lines().rev().filter_map(|line| serde_json::from_str(line).ok()).take(KEPT).collect()
}

/// The median of the runs like the newest: the same accelerator, the same thing waited for, and the same
/// done once it was there. A bootstrap that finds its work done takes no time to speak of.
fn estimate(runs: &[RunTiming]) -> Option<Estimate> {
    let newest = runs.first()?;
    let did = |run: &RunTiming, stage| run.stages.iter().any(|reached| reached.stage == stage);
    let alike = |run: &&RunTiming| {
        let same = |stage| did(run, stage) == did(newest, stage);
        (run.accelerator, run.waited_for) == (newest.accelerator, newest.waited_for)
            && same(Stage::Mounts)
            && same(Stage::Bootstrap)
    };
    let mut times: Vec<u64> = runs.iter().filter(alike).map(|run| run.ready_ms).collect();
    times.sort_unstable();
    let (fastest_ms, slowest_ms) = (*times.first()?, *times.last()?);
    Some(Estimate { ready_ms: times[times.len() / 2], fastest_ms, slowest_ms, runs: times.len() })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn run(ready_ms: u64, accelerator: Accelerator) -> RunTiming {
        RunTiming {
            launched_at: (SystemTime::UNIX_EPOCH + Duration::from_secs(1)).into(),
            accelerator,
            waited_for: WaitFor::Ssh,
            ready_ms,
            stages: vec![StageTime { stage: Stage::Machine, at_ms: 40 }],
        }
    }

    fn lab() -> (tempfile::TempDir, Layout, VmName) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        (dir, layout, "web".parse().unwrap())
    }

    #[test]
    fn the_last_runs_are_kept_and_no_more() {
        let (_dir, layout, vm) = lab();
        for ready_ms in 0..30 {
            note(&layout, &vm, run(ready_ms, Accelerator::Tcg)).unwrap();
        }
        let runs = timings(&layout, &vm).runs;
        assert_eq!(runs.len(), KEPT);
        assert_eq!((runs[0].ready_ms, runs[KEPT - 1].ready_ms), (29, 10));
    }

    #[test]
    fn an_estimate_is_made_from_runs_like_the_newest_only() {
        let (tcg, kvm) = (Accelerator::Tcg, Accelerator::Kvm);
        let mut runs = vec![run(300, tcg), run(9_000, kvm), run(100, tcg), run(200, tcg)];
        let expected = Estimate { ready_ms: 200, fastest_ms: 100, slowest_ms: 300, runs: 3 };
        assert_eq!(estimate(&runs), Some(expected));
        runs.insert(0, RunTiming { waited_for: WaitFor::Running, ..run(7, tcg) });
        assert_eq!(estimate(&runs).unwrap().runs, 1);
        let mut set_up = run(60_000, tcg);
        set_up.stages.push(StageTime { stage: Stage::Bootstrap, at_ms: 59_990 });
        runs.insert(0, set_up);
        assert_eq!(estimate(&runs).unwrap().ready_ms, 60_000, "it is made from runs without a bootstrap");
        assert_eq!(estimate(&[]), None);
    }

    #[test]
    fn a_torn_line_hides_no_other() {
        let (_dir, layout, vm) = lab();
        note(&layout, &vm, run(1, Accelerator::Tcg)).unwrap();
        let path = layout.timings(&vm);
        let text = format!("{{\"launched\n{}", fs::read_to_string(&path).unwrap());
        fs::write(&path, text).unwrap();
        assert_eq!(timings(&layout, &vm).runs.len(), 1);
        fs::remove_file(&path).unwrap();
        assert_eq!(timings(&layout, &vm), Timings { runs: Vec::new(), estimate: None });
    }
}
