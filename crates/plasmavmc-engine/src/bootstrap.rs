//! Decides whether a VM's bootstrap runs, and at which step. Pure.
//!
//! ```text
//!              on the guest's disk:  nothing    unreadable   this one    another
//!  auto                              run        run          skip        run
//!  always                            run        run          run         run
//!  skip                              skip       skip         skip        skip
//! ```
//!
//! What is recorded on a guest's disk was verified there; it is taken away before anything is
//! changed, so a bootstrap that was cut short is never taken for one that was done. Tests: below, the
//! whole table and properties.

use std::fmt;

use plasmavmc_types::{BootstrapDigest, BootstrapMode, BootstrapStep};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a guest's disk says of the bootstrap that was done there last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// None was.
    Nothing,
    /// Something is there that nobody can read.
    Unreadable,
    /// The one of this digest.
    Digest(BootstrapDigest),
}

/// Whether a bootstrap runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "decision", content = "reason", rename_all = "snake_case")]
pub enum BootstrapDecision {
    /// It does.
    Run(RunReason),
    /// It does not.
    Skip(SkipReason),
}

/// Why a bootstrap runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunReason {
    /// Nothing of it is on the guest's disk.
    NeverDone,
    /// The guest's disk holds no record that can be read.
    Unreadable,
    /// Script, payload, environment, check or base image are others than last time.
    Changed,
    /// Its mode says so whatever was done before, or a person does.
    Always,
}

/// Why a bootstrap does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// The same was done on this disk, and verified.
    Unchanged,
    /// Its mode says so.
    Mode,
}

impl fmt::Display for RunReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NeverDone => "it was never done on this disk",
            Self::Unreadable => "the record on this disk cannot be read",
            Self::Changed => "it is not what was done on this disk",
            Self::Always => "it is to run every time",
        })
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unchanged => "unchanged since it was done on this disk",
            Self::Mode => "its mode is `skip`",
        })
    }
}

/// Decides whether a bootstrap runs.
pub fn decide_bootstrap(
    mode: BootstrapMode,
    desired: &BootstrapDigest,
    recorded: &Recorded,
) -> BootstrapDecision {
    use BootstrapDecision::{Run, Skip};
    match (mode, recorded) {
        (BootstrapMode::Skip, _) => Skip(SkipReason::Mode),
        (BootstrapMode::Always, _) => Run(RunReason::Always),
        (BootstrapMode::Auto, Recorded::Nothing) => Run(RunReason::NeverDone),
        (BootstrapMode::Auto, Recorded::Unreadable) => Run(RunReason::Unreadable),
        (BootstrapMode::Auto, Recorded::Digest(found)) if found == desired => Skip(SkipReason::Unchanged),
        (BootstrapMode::Auto, Recorded::Digest(_)) => Run(RunReason::Changed),
    }
}

/// The step a bootstrap begins at after those that are always needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FirstStep {
    /// Move script and payload.
    #[default]
    Transfer,
    /// Run the script that lies in the guest.
    Apply,
    /// Only verify.
    Verify,
}

impl FirstStep {
    /// Whether `step` is done where a bootstrap begins here.
    pub fn includes(self, step: BootstrapStep) -> bool {
        match step {
            BootstrapStep::WaitHandshake | BootstrapStep::Connect => true,
            BootstrapStep::Transfer => self == Self::Transfer,
            BootstrapStep::Apply => self != Self::Verify,
            BootstrapStep::Verify => true,
        }
    }

    /// The step's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transfer => BootstrapStep::Transfer.as_str(),
            Self::Apply => BootstrapStep::Apply.as_str(),
            Self::Verify => BootstrapStep::Verify.as_str(),
        }
    }
}

/// What lies in a guest of a bootstrap that got at least as far as its transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// Which bootstrap.
    pub digest: BootstrapDigest,
    /// Whether its script ran to a good end.
    pub applied: bool,
}

/// Whether a script's outcome is checked by something else than its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Check {
    /// By a program of its own.
    Program,
    /// By nothing.
    None,
}

/// Why a bootstrap cannot begin in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotResume {
    /// Nothing was moved into the guest.
    #[error("nothing of it lies in the guest")]
    NothingStaged,
    /// What was moved is something else.
    #[error("what lies in the guest is another one than in castra.toml")]
    Another,
    /// There is no program that could tell whether the script's work is there.
    #[error("its script did not run to a good end, and there is no `verify` to tell whether that matters")]
    NotApplied,
}

/// Whether a bootstrap can begin at `first`.
///
/// # Errors
/// [`CannotResume`] where what it needs is not in the guest.
pub fn can_begin(
    first: FirstStep,
    desired: &BootstrapDigest,
    staged: Option<&Staged>,
    check: Check,
) -> Result<(), CannotResume> {
    match (first, staged) {
        (FirstStep::Transfer, _) => Ok(()),
        (_, None) => Err(CannotResume::NothingStaged),
        (_, Some(staged)) if staged.digest != *desired => Err(CannotResume::Another),
        (FirstStep::Verify, Some(staged)) if !staged.applied && check == Check::None => {
            Err(CannotResume::NotApplied)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(byte: u8) -> BootstrapDigest {
        BootstrapDigest::from_bytes([byte; 32])
    }

    #[test]
    fn the_table_is_exactly_this() {
        use BootstrapDecision::{Run, Skip};
        use BootstrapMode::{Always, Auto, Skip as Never};
        let records = [
            Recorded::Nothing,
            Recorded::Unreadable,
            Recorded::Digest(digest(1)),
            Recorded::Digest(digest(2)),
        ];
        let always = [Run(RunReason::Always); 4];
        let auto = [
            Run(RunReason::NeverDone),
            Run(RunReason::Unreadable),
            Skip(SkipReason::Unchanged),
            Run(RunReason::Changed),
        ];
        let never = [Skip(SkipReason::Mode); 4];
        for (mode, row) in [(Auto, auto), (Always, always), (Never, never)] {
            let decided = records.each_ref().map(|recorded| decide_bootstrap(mode, &digest(1), recorded));
            assert_eq!(decided, row, "{mode}");
        }
    }

    #[test]
    fn words_are_the_same_in_json() {
        for mode in BootstrapMode::ALL {
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.as_str());
        }
        for step in BootstrapStep::ALL {
            assert_eq!(serde_json::to_value(step).unwrap(), step.as_str());
        }
        let staged = r#"{"digest":"AB","applied":true}"#;
        assert!(serde_json::from_str::<Staged>(staged).is_err(), "what is no digest was read as one");
    }

    #[test]
    fn a_step_before_the_first_is_left_out_and_the_way_there_is_not() {
        let steps = |first: FirstStep| {
            BootstrapStep::ALL.into_iter().filter(|step| first.includes(*step)).collect::<Vec<_>>()
        };
        assert_eq!(steps(FirstStep::Transfer), BootstrapStep::ALL);
        let [wait, connect, _, apply, verify] = BootstrapStep::ALL;
        assert_eq!(steps(FirstStep::Apply), [wait, connect, apply, verify]);
        assert_eq!(steps(FirstStep::Verify), [wait, connect, verify]);
    }

    #[test]
    fn a_bootstrap_begins_in_the_middle_only_where_its_beginning_lies_in_the_guest() {
        let staged = |byte, applied| Some(Staged { digest: digest(byte), applied });
        for (first, staged, check, expected) in [
            (FirstStep::Transfer, None, Check::None, Ok(())),
            (FirstStep::Apply, None, Check::None, Err(CannotResume::NothingStaged)),
            (FirstStep::Apply, staged(2, true), Check::None, Err(CannotResume::Another)),
            (FirstStep::Apply, staged(1, false), Check::None, Ok(())),
            (FirstStep::Verify, staged(1, true), Check::None, Ok(())),
            (FirstStep::Verify, staged(1, false), Check::Program, Ok(())),
            (FirstStep::Verify, staged(1, false), Check::None, Err(CannotResume::NotApplied)),
        ] {
            assert_eq!(
                can_begin(first, &digest(1), staged.as_ref(), check),
                expected,
                "{first:?} {staged:?}"
            );
        }
    }

    fn recorded() -> impl Strategy<Value = Recorded> {
        prop_oneof![
            Just(Recorded::Nothing),
            Just(Recorded::Unreadable),
            any::<[u8; 32]>().prop_map(|bytes| Recorded::Digest(BootstrapDigest::from_bytes(bytes))),
        ]
    }

    proptest! {
        #[test]
        fn auto_skips_exactly_what_is_recorded(bytes: [u8; 32], recorded in recorded()) {
            let desired = BootstrapDigest::from_bytes(bytes);
            let skips = |recorded: &Recorded| {
                matches!(decide_bootstrap(BootstrapMode::Auto, &desired, recorded), BootstrapDecision::Skip(_))
            };
            prop_assert!(skips(&Recorded::Digest(desired.clone())));
            prop_assert_eq!(skips(&recorded), recorded == Recorded::Digest(desired.clone()));
        }

        #[test]
        fn what_was_done_is_not_done_again_whatever_was_there_before(bytes: [u8; 32], before in recorded()) {
            let desired = BootstrapDigest::from_bytes(bytes);
            // A run leaves its own digest; then there is nothing to do until something changes.
            let after = match decide_bootstrap(BootstrapMode::Auto, &desired, &before) {
                BootstrapDecision::Run(_) => Recorded::Digest(desired.clone()),
                BootstrapDecision::Skip(_) => before,
            };
            let again = decide_bootstrap(BootstrapMode::Auto, &desired, &after);
            prop_assert_eq!(again, BootstrapDecision::Skip(SkipReason::Unchanged));
        }
    }
}
