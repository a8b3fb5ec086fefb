//! Decides what `up` does, as a value that can be shown (`--plan`) or driven.
//!
//! One pure function from what is wanted and what was observed to a list of steps for each VM.
//! Every step is idempotent: driving a plan twice ends in the same place. Never does: a step.
//! Tests: below, over every combination.

use std::fmt;

use plasmavmc_types::{Persistence, VmName, VmState};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{Admission, BootstrapDecision, Refusal, Request, admit};

/// What is wanted of one VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredVm {
    /// Its name.
    pub name: VmName,
    /// The base image, as a person would name it.
    pub image: String,
    /// Whether its overlay stays.
    pub persistence: Persistence,
}

/// What was observed of one VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObservedVm {
    /// Its state.
    pub state: VmState,
    /// Its base image.
    pub image: ImageState,
    /// Its overlay.
    pub overlay: OverlayState,
}

/// Whether a base image is at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageState {
    /// It is on this host, verified.
    Ready,
    /// It has to be fetched.
    Missing,
}

/// Whether an overlay is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OverlayState {
    /// It is not.
    Absent,
    /// It is, from an earlier run.
    Present,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Leave a VM alone that is up already, apart from waiting for its guest.
    LeaveRunning,
    /// Fetch and verify a base image. Undo: none, a cached image harms nobody.
    FetchImage {
        /// The image's name.
        image: String,
    },
    /// Delete the overlay a stopped run left behind.
    DiscardOverlay,
    /// Keep the overlay of a persistent VM.
    KeepOverlay,
    /// Make an empty overlay. Undo: discard it.
    CreateOverlay,
    /// Write the cloud-init seed. Undo: none, the next start overwrites it.
    WriteSeed,
    /// Start the VM. Undo: stop it.
    StartVm,
    /// Wait until its guest is as ready as asked.
    AwaitReady,
    /// Bootstrap its guest, or not. Undo: none, what a script does only another undoes.
    Bootstrap(BootstrapDecision),
}

/// The steps for one VM, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct VmPlan {
    /// The VM.
    #[schemars(with = "String")]
    pub vm: VmName,
    /// What to do.
    pub steps: Vec<Step>,
}

/// The steps for every VM. VMs are independent and may be driven in parallel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Plan {
    /// One entry a VM, in the order of the config.
    pub vms: Vec<VmPlan>,
}

impl Plan {
    /// Whether nothing has to be changed.
    pub fn is_empty(&self) -> bool {
        let is_nothing = |step: &Step| {
            use BootstrapDecision::Skip;
            matches!(step, Step::LeaveRunning | Step::AwaitReady | Step::Bootstrap(Skip(_)))
        };
        self.vms.iter().all(|vm| vm.steps.iter().all(is_nothing))
    }
}

/// Decides what `up` does for one VM.
///
/// # Errors
/// [`Refusal`] where the VM's state contradicts a start.
pub fn plan_up(desired: &DesiredVm, observed: ObservedVm) -> Result<VmPlan, Refusal> {
    let vm = desired.name.clone();
    if admit(observed.state, Request::Start)? == Admission::Ignore {
        return Ok(VmPlan { vm, steps: vec![Step::LeaveRunning, Step::AwaitReady] });
    }
    let mut steps = Vec::new();
    if observed.image == ImageState::Missing {
        steps.push(Step::FetchImage { image: desired.image.clone() });
    }
    match (desired.persistence, observed.overlay) {
        (Persistence::Persistent, OverlayState::Present) => steps.push(Step::KeepOverlay),
        (Persistence::Disposable, OverlayState::Present) => {
            steps.extend([Step::DiscardOverlay, Step::CreateOverlay]);
        }
        (_, OverlayState::Absent) => steps.push(Step::CreateOverlay),
    }
    steps.extend([Step::WriteSeed, Step::StartVm, Step::AwaitReady]);
    Ok(VmPlan { vm, steps })
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeaveRunning => f.write_str("leave it running"),
            Self::FetchImage { image } => write!(f, "fetch and verify image `{image}`"),
            Self::DiscardOverlay => f.write_str("discard the overlay of the last run"),
            Self::KeepOverlay => f.write_str("keep its persistent overlay"),
            Self::CreateOverlay => f.write_str("create an empty overlay"),
            Self::WriteSeed => f.write_str("write the cloud-init seed"),
            Self::StartVm => f.write_str("start QEMU"),
            Self::AwaitReady => f.write_str("wait until the guest is ready"),
            Self::Bootstrap(BootstrapDecision::Run(reason)) => write!(f, "bootstrap the guest: {reason}"),
            Self::Bootstrap(BootstrapDecision::Skip(reason)) => {
                write!(f, "leave the bootstrap out: {reason}")
            }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for vm in &self.vms {
            writeln!(f, "{}:", vm.vm)?;
            for (number, step) in vm.steps.iter().enumerate() {
                writeln!(f, "  {}. {step}", number + 1)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desired(persistence: Persistence) -> DesiredVm {
        DesiredVm { name: "web".parse().unwrap(), image: "alpine".to_owned(), persistence }
    }

    fn every_observation() -> impl Iterator<Item = ObservedVm> {
        VmState::ALL.into_iter().flat_map(|state| {
            [ImageState::Ready, ImageState::Missing].into_iter().flat_map(move |image| {
                [OverlayState::Absent, OverlayState::Present].map(|overlay| ObservedVm {
                    state,
                    image,
                    overlay,
                })
            })
        })
    }

    #[test]
    fn a_live_vm_never_loses_its_overlay() {
        for observed in every_observation().filter(|o| o.state.is_live()) {
            for persistence in [Persistence::Disposable, Persistence::Persistent] {
                let steps = plan_up(&desired(persistence), observed).map(|p| p.steps).unwrap_or_default();
                assert!(!steps.contains(&Step::DiscardOverlay), "{observed:?}");
                assert!(!steps.contains(&Step::CreateOverlay), "{observed:?}");
            }
        }
    }

    #[test]
    fn a_persistent_overlay_is_never_discarded() {
        for observed in every_observation() {
            let steps =
                plan_up(&desired(Persistence::Persistent), observed).map(|p| p.steps).unwrap_or_default();
            assert!(!steps.contains(&Step::DiscardOverlay), "{observed:?}");
        }
    }

    #[test]
    fn a_second_up_changes_nothing() {
        let observed =
            ObservedVm { state: VmState::Running, image: ImageState::Ready, overlay: OverlayState::Present };
        let plan = Plan { vms: vec![plan_up(&desired(Persistence::Disposable), observed).unwrap()] };
        assert!(plan.is_empty());
    }

    #[test]
    fn a_plan_with_a_bootstrap_to_run_changes_something_and_one_without_does_not() {
        use crate::{RunReason, SkipReason};
        let plan = |decision| Plan {
            vms: vec![VmPlan {
                vm: "web".parse().unwrap(),
                steps: vec![Step::LeaveRunning, Step::AwaitReady, Step::Bootstrap(decision)],
            }],
        };
        let run = plan(BootstrapDecision::Run(RunReason::Changed));
        assert!(!run.is_empty());
        assert!(plan(BootstrapDecision::Skip(SkipReason::Unchanged)).is_empty());
        assert_eq!(
            serde_json::to_value(&run.vms[0].steps[2]).unwrap(),
            serde_json::json!({ "step": "bootstrap", "decision": "run", "reason": "changed" })
        );
    }

    #[test]
    fn the_first_up_does_everything_in_order() {
        let observed =
            ObservedVm { state: VmState::Stopped, image: ImageState::Missing, overlay: OverlayState::Absent };
        let plan = Plan { vms: vec![plan_up(&desired(Persistence::Disposable), observed).unwrap()] };
        assert!(!plan.is_empty());
        let text = "web:\n  1. fetch and verify image `alpine`\n  2. create an empty overlay\n  \
                    3. write the cloud-init seed\n  4. start QEMU\n  5. wait until the guest is ready\n";
        assert_eq!(plan.to_string(), text);
    }

    #[test]
    fn a_vm_on_its_way_down_is_not_started() {
        let observed = ObservedVm {
            state: VmState::ShuttingDown,
            image: ImageState::Ready,
            overlay: OverlayState::Present,
        };
        assert!(plan_up(&desired(Persistence::Disposable), observed).is_err());
    }
}
