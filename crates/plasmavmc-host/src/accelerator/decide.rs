//! From measurements to an order of accelerators, each with a reason for people. Pure.
//!
//! Guest code that ran counts, and nothing else: an accelerator of the hardware goes first only
//! where it beat TCG, and one that did not run is never used. TCG stays in the order even where it
//! was too slow to measure, because it needs nothing of the host. Tests: the table below.

use plasmavmc_types::{Accelerator, AcceleratorChoice, ErrorKind, Explain};

use super::{Measurement, Outcome};

/// An accelerator of the hardware counts as faster than TCG where it needed at most this share of
/// TCG's time, in percent. A healthy one needs a third; the margin is for noise.
const AT_MOST_PERCENT: u64 = 90;

/// Which accelerators to use, and why not the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Those that can be used, best first.
    pub order: Vec<Choice>,
    /// Those that cannot.
    pub refused: Vec<Refusal>,
}

/// An accelerator that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The accelerator.
    pub accelerator: Accelerator,
    /// Why it stands where it stands, as a clause: "ran the test guest in 380 ms".
    pub reason: String,
}

/// An accelerator that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The accelerator.
    pub accelerator: Accelerator,
    /// Why not, as a clause: "`/dev/kvm` does not exist".
    pub reason: String,
    /// What a person can do about it.
    pub hint: Option<String>,
}

/// The accelerator asked for cannot run guests here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotUsable {
    /// The config insists on one that does not work.
    #[error("`accelerator = \"{accelerator}\"` cannot be used here: {reason}")]
    Required {
        /// The accelerator.
        accelerator: Accelerator,
        /// Why not.
        reason: String,
        /// What can be done.
        hint: Option<String>,
    },
    /// None works.
    #[error("no accelerator runs guests here: {reasons}")]
    None {
        /// Why each does not.
        reasons: String,
    },
}

impl Verdict {
    /// The accelerators to try for a VM, best first: never empty, and more than one only for
    /// `auto`.
    ///
    /// # Errors
    /// [`NotUsable`] with the reason.
    pub fn choose(&self, asked: AcceleratorChoice) -> Result<Vec<&Choice>, NotUsable> {
        let Some(required) = asked.required() else {
            let reasons = || self.refused.iter().map(Refusal::to_string).collect::<Vec<_>>().join("; ");
            return match self.order.is_empty() {
                true => Err(NotUsable::None { reasons: reasons() }),
                false => Ok(self.order.iter().collect()),
            };
        };
        if let Some(choice) = self.order.iter().find(|choice| choice.accelerator == required) {
            return Ok(vec![choice]);
        }
        let refusal = self.refused.iter().find(|refusal| refusal.accelerator == required);
        Err(NotUsable::Required {
            accelerator: required,
            reason: refusal.map_or_else(
                || "it does not exist for this guest on this host".to_owned(),
                |refusal| refusal.reason.clone(),
            ),
            hint: refusal.and_then(|refusal| refusal.hint.clone()),
        })
    }
}

/// Orders the accelerators by what was measured.
pub fn decide(measurements: &[Measurement]) -> Verdict {
    let mut refused: Vec<Refusal> = measurements.iter().filter_map(refusal).collect();
    refused.sort_by_key(|refusal| refusal.accelerator);
    let tcg_ms = measurements.iter().find(|m| m.accelerator == Accelerator::Tcg).and_then(elapsed);
    let mut usable: Vec<&Measurement> =
        measurements.iter().filter(|measurement| refusal(measurement).is_none()).collect();
    usable.sort_by_key(|measurement| rank(measurement, tcg_ms));
    let order = usable.iter().enumerate().map(|(index, measurement)| Choice {
        accelerator: measurement.accelerator,
        reason: reason(measurement, tcg_ms, if index == 0 { &refused } else { &[] }),
    });
    Verdict { order: order.collect(), refused }
}

fn elapsed(measurement: &Measurement) -> Option<u64> {
    match measurement.outcome {
        Outcome::Ran { elapsed_ms } => Some(elapsed_ms),
        _ => None,
    }
}

/// Lower is better. Hardware that beat TCG, TCG, hardware that did not.
fn rank(measurement: &Measurement, tcg_ms: Option<u64>) -> (u8, u64) {
    let own = elapsed(measurement).unwrap_or(u64::MAX);
    match (measurement.accelerator, tcg_ms) {
        (Accelerator::Tcg, _) => (1, own),
        (_, Some(tcg))
            if own.saturating_mul(100) > tcg.saturating_mul(AT_MOST_PERCENT) && own != u64::MAX =>
        {
            (2, own)
        }
        _ => (0, own),
    }
}

fn reason(measurement: &Measurement, tcg_ms: Option<u64>, refused: &[Refusal]) -> String {
    let own = match (&measurement.outcome, tcg_ms) {
        (Outcome::Ran { elapsed_ms }, Some(tcg)) if measurement.accelerator != Accelerator::Tcg => {
            format!("ran the test guest in {elapsed_ms} ms, TCG in {tcg} ms")
        }
        (Outcome::Ran { elapsed_ms }, _) => format!("ran the test guest in {elapsed_ms} ms"),
        (Outcome::Unproven, _) if measurement.accelerator == Accelerator::Tcg => {
            "needs nothing of the host".to_owned()
        }
        (Outcome::Unproven, _) => "its device opens; no test guest exists for this architecture".to_owned(),
        (_, _) => "needs nothing of the host, which was too busy to measure it".to_owned(),
    };
    refused.iter().fold(own, |text, refusal| format!("{text}; {refusal}"))
}

/// Why an accelerator cannot be used; none where it can.
fn refusal(measurement: &Measurement) -> Option<Refusal> {
    let accelerator = measurement.accelerator;
    let hardware = accelerator != Accelerator::Tcg;
    let reason = match &measurement.outcome {
        Outcome::Ran { .. } | Outcome::Unproven => return None,
        Outcome::TimedOut { .. } if !hardware => return None,
        Outcome::TimedOut { bound_ms } => format!("did not finish the test guest within {bound_ms} ms"),
        Outcome::WrongAnswer => "made the test guest calculate wrong".to_owned(),
        Outcome::Crashed { signal, said } => format!("QEMU crashed on it with signal {signal}: {said}"),
        Outcome::Failed { said, .. } => format!("QEMU failed on it: {said}"),
        Outcome::NoDevice => "`/dev/kvm` does not exist".to_owned(),
        Outcome::NoPermission => "you may not open `/dev/kvm`".to_owned(),
        Outcome::Busy => "another hypervisor holds the processor".to_owned(),
        Outcome::NotBuiltIn => "this QEMU was built without it".to_owned(),
    };
    Some(Refusal { accelerator, reason, hint: hint(&measurement.outcome, hardware) })
}

fn hint(outcome: &Outcome, hardware: bool) -> Option<String> {
    let hint = match outcome {
        Outcome::NoDevice => {
            "turn on virtualization (VT-x, AMD-V) in the firmware, or nested virtualization where this host is itself a VM, then `sudo modprobe kvm_intel` or `sudo modprobe kvm_amd`"
        }
        Outcome::NoPermission => "join its group, then log in again: `sudo usermod -aG kvm $USER`",
        Outcome::Busy => "stop the other hypervisor (VirtualBox, VMware), then `castra doctor`",
        Outcome::TimedOut { .. } | Outcome::Crashed { .. } | Outcome::WrongAnswer if hardware => {
            "its device is here but does not work, as happens inside some virtual machines; `systemd-detect-virt` tells whether this is one"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Shows `kvm: /dev/kvm does not exist`.
impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.accelerator, self.reason)
    }
}

impl Explain for NotUsable {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Preflight
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Required { hint, .. } => hint
                .iter()
                .cloned()
                .chain(["or let Castra choose: `accelerator = \"auto\"`".to_owned()])
                .collect(),
            Self::None { .. } => vec!["`castra doctor` tells what each accelerator lacks".to_owned()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Accelerator::{Hvf, Kvm, Tcg};

    fn verdict(outcomes: &[(Accelerator, Outcome)]) -> Verdict {
        let measurement = |(accelerator, outcome): &(Accelerator, Outcome)| Measurement {
            accelerator: *accelerator,
            outcome: outcome.clone(),
        };
        decide(&outcomes.iter().map(measurement).collect::<Vec<_>>())
    }

    fn ran(elapsed_ms: u64) -> Outcome {
        Outcome::Ran { elapsed_ms }
    }

    fn late() -> Outcome {
        Outcome::TimedOut { bound_ms: 1200 }
    }

    fn crashed() -> Outcome {
        Outcome::Crashed { signal: 6, said: "failed to set MSR 0x10a".to_owned() }
    }

    #[test]
    fn what_ran_fastest_goes_first_and_what_did_not_run_is_never_used() {
        let cases: &[(&str, Outcome, Outcome, &[Accelerator], &str)] = &[
            ("healthy", ran(130), ran(380), &[Kvm, Tcg], "ran the test guest in 130 ms, TCG in 380 ms"),
            ("slower than TCG", ran(900), ran(380), &[Tcg, Kvm], "ran the test guest in 380 ms"),
            ("hardly faster", ran(350), ran(380), &[Tcg, Kvm], "ran the test guest in 380 ms"),
            (
                "too slow",
                late(),
                ran(380),
                &[Tcg],
                "ran the test guest in 380 ms; kvm: did not finish the test guest within 1200 ms",
            ),
            (
                "no device",
                Outcome::NoDevice,
                ran(380),
                &[Tcg],
                "ran the test guest in 380 ms; kvm: `/dev/kvm` does not exist",
            ),
            (
                "not allowed",
                Outcome::NoPermission,
                ran(380),
                &[Tcg],
                "ran the test guest in 380 ms; kvm: you may not open `/dev/kvm`",
            ),
            (
                "busy",
                Outcome::Busy,
                ran(380),
                &[Tcg],
                "ran the test guest in 380 ms; kvm: another hypervisor holds the processor",
            ),
            (
                "aborts",
                crashed(),
                ran(380),
                &[Tcg],
                "ran the test guest in 380 ms; kvm: QEMU crashed on it with signal 6: failed to set MSR 0x10a",
            ),
            (
                "wrong",
                Outcome::WrongAnswer,
                ran(380),
                &[Tcg],
                "ran the test guest in 380 ms; kvm: made the test guest calculate wrong",
            ),
            (
                "no TCG",
                ran(130),
                Outcome::NotBuiltIn,
                &[Kvm],
                "ran the test guest in 130 ms; tcg: this QEMU was built without it",
            ),
            (
                "busy host",
                late(),
                late(),
                &[Tcg],
                "needs nothing of the host, which was too busy to measure it; kvm: did not finish the test guest within 1200 ms",
            ),
            ("busy host, good KVM", ran(800), late(), &[Kvm, Tcg], "ran the test guest in 800 ms"),
            (
                "other architecture",
                Outcome::Unproven,
                Outcome::Unproven,
                &[Kvm, Tcg],
                "its device opens; no test guest exists for this architecture",
            ),
        ];
        for (name, kvm, tcg, order, reason) in cases {
            let verdict = verdict(&[(Kvm, kvm.clone()), (Tcg, tcg.clone())]);
            let found: Vec<_> = verdict.order.iter().map(|choice| choice.accelerator).collect();
            assert_eq!(found, *order, "{name}");
            assert_eq!(verdict.order[0].reason, *reason, "{name}");
            assert_eq!(verdict.order.len() + verdict.refused.len(), 2, "{name}");
        }
    }

    #[test]
    fn the_order_of_measuring_does_not_matter() {
        let outcomes = [(Hvf, ran(100)), (Kvm, late()), (Tcg, ran(400))];
        let mut reversed = outcomes.clone();
        reversed.reverse();
        assert_eq!(verdict(&outcomes), verdict(&reversed));
    }

    #[test]
    fn whoever_insists_gets_that_one_or_the_reason() {
        let verdict = verdict(&[(Kvm, Outcome::NoPermission), (Tcg, ran(380))]);
        let names = |asked| {
            verdict.choose(asked).map(|found| found.iter().map(|c| c.accelerator).collect::<Vec<_>>())
        };
        assert_eq!(names(AcceleratorChoice::Auto), Ok(vec![Tcg]));
        assert_eq!(names(AcceleratorChoice::Tcg), Ok(vec![Tcg]));
        let error = verdict.choose(AcceleratorChoice::Kvm).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`accelerator = \"kvm\"` cannot be used here: you may not open `/dev/kvm`"
        );
        assert!(error.hints()[0].contains("usermod -aG kvm"));
        let error = verdict.choose(AcceleratorChoice::Hvf).unwrap_err();
        assert!(error.to_string().ends_with("it does not exist for this guest on this host"));
    }

    #[test]
    fn with_nothing_that_runs_every_reason_is_told() {
        let verdict = verdict(&[(Kvm, Outcome::NoDevice), (Tcg, Outcome::NotBuiltIn)]);
        assert_eq!(
            verdict.choose(AcceleratorChoice::Auto).unwrap_err().to_string(),
            "no accelerator runs guests here: kvm: `/dev/kvm` does not exist; tcg: this QEMU was built without it"
        );
    }
}
