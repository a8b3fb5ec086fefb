//! Which accelerator runs guests here, proven now, and in plain words why the others do not.
//!
//! Measures afresh and keeps nothing; an answer kept from before is only compared with it. Tests:
//! below, over every outcome a measuring can have.

use std::path::Path;

use plasmavmc_host::accelerator::{self, Choice, Measurement, Outcome, Verdict};
use plasmavmc_host::qemu::QemuBinary;
use plasmavmc_types::Accelerator;

use super::{AcceleratorRow, Check, CheckName};
use crate::core::session::Session;

/// Runs the test guest on every accelerator this host may have.
pub(super) fn check(session: &Session, qemu: Option<&QemuBinary>) -> (Check, Vec<AcceleratorRow>) {
    let Some(qemu) = qemu else {
        let check = Check::problem(CheckName::Accelerator, "cannot be told without QEMU");
        return (check, Vec::new());
    };
    let cache = session.cache_dir();
    let measurements = accelerator::measure_all(qemu);
    let kept = accelerator::cached(qemu, &cache);
    let verdict = accelerator::decide(&measurements);
    let check = judge(&measurements, &verdict);
    let check = match kept {
        Some(kept) => compare(check, &verdict, &kept.verdict, &cache.join(accelerator::CACHE_FILE)),
        None => check,
    };
    (check, rows(&measurements, &verdict))
}

/// The finding. Pure.
fn judge(measurements: &[Measurement], verdict: &Verdict) -> Check {
    let Some(best) = verdict.order.first() else {
        let check = Check::problem(CheckName::Accelerator, "nothing runs guests here");
        return with_reasons(check, measurements, verdict);
    };
    let time =
        elapsed(measurements, best.accelerator).map(|ms| format!(": it ran the test guest in {ms} ms"));
    let summary = format!("{} runs guests here{}", plain_name(best.accelerator), time.unwrap_or_default());
    // Working and slow is a finding of its own: most hosts have better.
    let check = match best.accelerator {
        Accelerator::Tcg => Check::warning(CheckName::Accelerator, summary).with_hint(
            "VMs start all the same: `castra up` takes tcg by itself, and guests are several times slower",
        ),
        Accelerator::Kvm | Accelerator::Hvf => Check::ok(CheckName::Accelerator, summary),
    };
    with_reasons(check, measurements, verdict)
}

/// Adds why every accelerator stands where it stands, and what can be done.
fn with_reasons(check: Check, measurements: &[Measurement], verdict: &Verdict) -> Check {
    let tcg_ms = elapsed(measurements, Accelerator::Tcg);
    let best = verdict.order.first().map(|best| best.accelerator);
    let reason = |measurement: &Measurement| {
        let place = if best == Some(measurement.accelerator) { "taken" } else { place(measurement, verdict) };
        format!("{} is {place}: {}", measurement.accelerator, explain(measurement, tcg_ms))
    };
    let mut check = check.with_details(measurements.iter().map(reason));
    if measurements.iter().all(|measurement| matches!(measurement.outcome, Outcome::TimedOut { .. })) {
        check.hints.push("look again when the host has less to do: `castra doctor`".to_owned());
        return check;
    }
    let hints = verdict.refused.iter().filter_map(|refusal| refusal.hint.clone());
    check.hints.extend(hints);
    check
}

fn place(measurement: &Measurement, verdict: &Verdict) -> &'static str {
    let usable = |choice: &Choice| choice.accelerator == measurement.accelerator;
    if verdict.order.iter().any(usable) { "kept in reserve" } else { "not used" }
}

/// What came of the test guest, in words for people who never heard of it.
fn explain(measurement: &Measurement, tcg_ms: Option<u64>) -> String {
    let native = measurement.accelerator != Accelerator::Tcg;
    match &measurement.outcome {
        Outcome::Ran { elapsed_ms } => match tcg_ms {
            Some(tcg) if native => format!("the test guest ran in {elapsed_ms} ms, under tcg in {tcg} ms"),
            _ => format!("the test guest ran in {elapsed_ms} ms"),
        },
        Outcome::TimedOut { bound_ms } if native => match tcg_ms {
            Some(tcg) => format!(
                "/dev/kvm exists, opens and creates processors, but guest code barely moves on it: the test guest was not done after {bound_ms} ms, which tcg ends in {tcg} ms"
            ),
            None => format!(
                "the test guest was not done after {bound_ms} ms, but neither was it under tcg: the host is too busy to tell"
            ),
        },
        Outcome::TimedOut { bound_ms } => {
            format!(
                "the host is so busy that the test guest was not done after {bound_ms} ms; it is used where nothing else runs"
            )
        }
        Outcome::Crashed { signal, said } => format!(
            "/dev/kvm exists and opens, but QEMU crashes (signal {signal}) as soon as a guest shall run on it: {said}"
        ),
        Outcome::WrongAnswer => {
            "the test guest ran on it and calculated wrong, so nothing it runs can be trusted".to_owned()
        }
        Outcome::Failed { status, said } => format!("QEMU gave up on it with status {status}: {said}"),
        Outcome::NoDevice => {
            "/dev/kvm does not exist: this host's processor or kernel offers no virtualization".to_owned()
        }
        Outcome::NoPermission => "/dev/kvm exists, but you may not open it".to_owned(),
        Outcome::Busy => {
            "another hypervisor, such as VirtualBox, holds the processor's virtualization".to_owned()
        }
        Outcome::NotBuiltIn => "this QEMU was built without it".to_owned(),
        Outcome::Unproven => "there is no test guest for this architecture, so this is not proven".to_owned(),
    }
}

/// Points out an answer from before that no longer fits: `up` would go by it.
fn compare(mut check: Check, now: &Verdict, kept: &Verdict, file: &Path) -> Check {
    let first = |verdict: &Verdict| verdict.order.first().map(|choice| choice.accelerator);
    if let (Some(now), Some(kept)) = (first(now), first(kept))
        && now != kept
    {
        check.status = check.status.max(super::CheckStatus::Warning);
        check
            .details
            .push(format!("`castra up` still goes by an earlier measuring, which found {kept} faster"));
        check.hints.push(format!("let it measure again: `rm {}`", file.display()));
    }
    check
}

fn rows(measurements: &[Measurement], verdict: &Verdict) -> Vec<AcceleratorRow> {
    let tcg_ms = elapsed(measurements, Accelerator::Tcg);
    let row = |measurement: &Measurement| {
        let own = measurement.accelerator;
        let rank = verdict.order.iter().position(|choice| choice.accelerator == own);
        let refusal = verdict.refused.iter().find(|refusal| refusal.accelerator == own);
        AcceleratorRow {
            accelerator: own,
            rank: rank.and_then(|rank| u32::try_from(rank + 1).ok()),
            elapsed_ms: elapsed(measurements, own),
            reason: explain(measurement, tcg_ms),
            hint: refusal.and_then(|refusal| refusal.hint.clone()),
        }
    };
    measurements.iter().map(row).collect()
}

fn elapsed(measurements: &[Measurement], accelerator: Accelerator) -> Option<u64> {
    let own = measurements.iter().find(|measurement| measurement.accelerator == accelerator)?;
    match own.outcome {
        Outcome::Ran { elapsed_ms } => Some(elapsed_ms),
        _ => None,
    }
}

fn plain_name(accelerator: Accelerator) -> &'static str {
    match accelerator {
        Accelerator::Kvm => "kvm (the processor's own virtualization)",
        Accelerator::Hvf => "hvf (the processor's own virtualization)",
        Accelerator::Tcg => "tcg (QEMU's translator, the slower way)",
    }
}

#[cfg(test)]
mod tests {
    use super::super::CheckStatus;
    use super::*;

    fn measured(kvm: Outcome) -> Vec<Measurement> {
        vec![
            Measurement { accelerator: Accelerator::Kvm, outcome: kvm },
            Measurement { accelerator: Accelerator::Tcg, outcome: Outcome::Ran { elapsed_ms: 380 } },
        ]
    }

    fn finding(kvm: Outcome) -> Check {
        let measurements = measured(kvm);
        judge(&measurements, &accelerator::decide(&measurements))
    }

    #[test]
    fn a_kvm_that_is_there_and_useless_is_explained_with_numbers() {
        let check = finding(Outcome::TimedOut { bound_ms: 1200 });
        assert_eq!(check.status, CheckStatus::Warning);
        assert_eq!(
            check.summary,
            "tcg (QEMU's translator, the slower way) runs guests here: it ran the test guest in 380 ms"
        );
        assert_eq!(
            check.details,
            [
                "kvm is not used: /dev/kvm exists, opens and creates processors, but guest code barely moves on it: the test guest was not done after 1200 ms, which tcg ends in 380 ms",
                "tcg is taken: the test guest ran in 380 ms",
            ]
        );
        assert!(check.hints[0].starts_with("VMs start all the same"), "{:?}", check.hints);
        assert_eq!(check.hints.len(), 2, "{:?}", check.hints);
    }

    #[test]
    fn a_host_too_busy_to_measure_blames_no_accelerator() {
        let timed_out =
            |accelerator| Measurement { accelerator, outcome: Outcome::TimedOut { bound_ms: 1200 } };
        let measurements = [timed_out(Accelerator::Kvm), timed_out(Accelerator::Tcg)];
        let check = judge(&measurements, &accelerator::decide(&measurements));
        assert!(check.details[0].ends_with("the host is too busy to tell"), "{check:?}");
        assert!(check.hints.iter().any(|hint| hint.contains("less to do")), "{check:?}");
        assert!(!check.hints.iter().any(|hint| hint.contains("does not work")), "{check:?}");
    }

    #[test]
    fn every_way_to_fail_has_words_of_its_own_and_most_have_a_way_out() {
        let crashed = Outcome::Crashed { signal: 6, said: "failed to set MSR 0x10a".to_owned() };
        let failed = Outcome::Failed { status: 1, said: "no such device".to_owned() };
        for (outcome, words, has_hint) in [
            (crashed, "crashes (signal 6)", true),
            (failed, "status 1: no such device", false),
            (Outcome::WrongAnswer, "calculated wrong", true),
            (Outcome::NoDevice, "does not exist", true),
            (Outcome::NoPermission, "may not open", true),
            (Outcome::Busy, "VirtualBox", true),
            (Outcome::NotBuiltIn, "built without", false),
        ] {
            let check = finding(outcome.clone());
            assert_eq!(check.status, CheckStatus::Warning, "{outcome:?}");
            assert!(check.details[0].starts_with("kvm is not used: "), "{check:?}");
            assert!(check.details[0].contains(words), "{check:?}");
            assert_eq!(check.hints.len() > 1, has_hint, "{check:?}");
        }
    }

    #[test]
    fn a_kvm_that_ran_the_guest_faster_is_simply_good() {
        let check = finding(Outcome::Ran { elapsed_ms: 120 });
        assert_eq!((check.status, check.hints.len()), (CheckStatus::Ok, 0));
        assert_eq!(check.details[0], "kvm is taken: the test guest ran in 120 ms, under tcg in 380 ms");
        let rows = rows(
            &measured(Outcome::Ran { elapsed_ms: 120 }),
            &accelerator::decide(&measured(Outcome::Ran { elapsed_ms: 120 })),
        );
        assert_eq!(rows.iter().map(|row| row.rank).collect::<Vec<_>>(), [Some(1), Some(2)]);
    }

    #[test]
    fn an_answer_from_before_that_no_longer_fits_is_pointed_out() {
        let now = measured(Outcome::NoPermission);
        let before = measured(Outcome::Ran { elapsed_ms: 120 });
        let (now, before) = (accelerator::decide(&now), accelerator::decide(&before));
        let check = compare(finding(Outcome::NoPermission), &now, &before, Path::new("/c/accelerator.json"));
        assert!(check.hints.contains(&"let it measure again: `rm /c/accelerator.json`".to_owned()));
        let same = finding(Outcome::NoPermission);
        assert_eq!(compare(same.clone(), &now, &now, Path::new("/c")), same);
    }
}
