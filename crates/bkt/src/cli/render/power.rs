//! The answers of `bkt vm start`, `bkt vm stop` and `bkt vm fetch`.

use plasmavmc_term::Width;
use plasmavmc_term::text::printable;

use super::style::size;
use crate::cli::outcomes::{FetchOutcome, PowerOutcomes, PoweredVm};
use crate::vm::power::PowerOutcome;

pub(crate) fn power(outcome: &PowerOutcomes, _: Width) -> String {
    if outcome.vms.is_empty() {
        return format!("{}: none of the manifest's VMs is there\n", outcome.uri);
    }
    outcome.vms.iter().map(powered).collect()
}

/// What became of one VM, in a line.
pub(crate) fn powered(vm: &PoweredVm) -> String {
    let what = match vm.outcome {
        PowerOutcome::Started => "started",
        PowerOutcome::Restored => "goes on from its saved state",
        PowerOutcome::Resumed => "was paused, and goes on",
        PowerOutcome::RanAlready => "ran already",
        PowerOutcome::Stopped => "powered off",
        PowerOutcome::Forced => "its plug was pulled",
        PowerOutcome::WasOff => "was off already",
    };
    format!("{}: {what}\n", printable(&vm.vm))
}

pub(crate) fn fetched(outcome: &FetchOutcome, _: Width) -> String {
    let mut text = String::new();
    for vm in &outcome.vms {
        if vm.media.is_empty() {
            text.push_str(&format!("{}: names no medium by URL\n", printable(&vm.vm)));
        }
        for medium in &vm.media {
            let size = medium.size_bytes.map_or_else(|| "was there".to_owned(), size);
            let path = medium.path.display().to_string();
            text.push_str(&format!("{}: {} ({size})\n", printable(&vm.vm), printable(&path)));
        }
    }
    if text.is_empty() { "The manifest has no VMs\n".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_words() {
        use PowerOutcome as O;
        let all = [O::Started, O::Restored, O::Resumed, O::RanAlready, O::Stopped, O::Forced, O::WasOff];
        let vms = all.map(|outcome| PoweredVm { vm: "win11".to_owned(), outcome }).to_vec();
        insta::assert_snapshot!(power(&PowerOutcomes { uri: "qemu:///system".to_owned(), vms }, Width::Unlimited), @r"
        win11: started
        win11: goes on from its saved state
        win11: was paused, and goes on
        win11: ran already
        win11: powered off
        win11: its plug was pulled
        win11: was off already
        ");
        let none = PowerOutcomes { uri: "qemu:///system".to_owned(), vms: Vec::new() };
        assert_eq!(power(&none, Width::Unlimited), "qemu:///system: none of the manifest's VMs is there\n");
    }
}
