//! The answer of `bkt vm capture`: what was written of each VM, and what cannot be said of it.

use plasmavmc_term::{Column, Table, Width, text};

use super::style::{BAD, BUSY, DIM, GOOD, header, listed};
use crate::cli::outcomes::CaptureOutcome;
use crate::vm::{Captured, Outcome};

pub(crate) fn capture(outcome: &CaptureOutcome, width: Width) -> String {
    let mut shown = header(&outcome.capture.uri, Some(&outcome.manifest));
    if outcome.capture.vms.is_empty() {
        return shown + "No VMs: neither the manifest nor libvirt has one\n";
    }
    let mut table = Table::new(["VM", "OUTCOME", "FIELDS"].map(Column::text));
    for vm in &outcome.capture.vms {
        let (word, style) = word(vm, outcome.wrote);
        table.styled_row([vm.name.clone(), word.to_owned(), listed(vm.values.keys())], 1, style);
    }
    shown.push_str(&table.render(width));
    for vm in &outcome.capture.vms {
        for loss in &vm.losses {
            let line = format!("{}: cannot say {}: {}", vm.name, loss.found, loss.why);
            shown.push_str(&text::printable(&line));
            shown.push('\n');
        }
        if vm.outcome == Outcome::Lossy {
            shown.push_str(&format!(
                "{0}: --lossy adds it; what cannot be said stays in its domain, and a VM made anew would lack it\n",
                vm.name
            ));
        }
    }
    shown.push_str(&last_line(outcome));
    shown
}

const fn word(vm: &Captured, wrote: bool) -> (&'static str, anstyle::Style) {
    match (vm.outcome, wrote) {
        (Outcome::Unchanged, _) => ("unchanged", DIM),
        (Outcome::Change, true) => ("changed", GOOD),
        (Outcome::Change, false) => ("would change", BUSY),
        (Outcome::Add, true) => ("added", GOOD),
        (Outcome::Add, false) => ("would be added", BUSY),
        (Outcome::Lossy, _) => ("left out", BAD),
        (Outcome::Unsayable, _) => ("cannot be said", BAD),
        (Outcome::Missing, _) => ("not in libvirt", BUSY),
    }
}

fn last_line(outcome: &CaptureOutcome) -> String {
    let left = if outcome.is_whole { "" } else { "; not every VM can be said" };
    match (outcome.wrote, outcome.capture.is_empty()) {
        (true, _) => format!("Wrote {}{left}\n", text::printable(&outcome.manifest.display().to_string())),
        // With a VM left out there may be no manifest at all.
        (false, true) if outcome.is_whole => "The manifest is what the VMs are\n".to_owned(),
        (false, _) => format!("Nothing was written{left}\n"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::samples::plain;
    use super::*;
    use crate::vm::{Capture, Field, Loss, Values};

    fn vm(name: &str, outcome: Outcome, values: &[Field], losses: &[(&str, &str)]) -> Captured {
        let loss = |(found, why): &(&str, &str)| Loss {
            field: None,
            found: (*found).to_owned(),
            why: (*why).to_owned(),
        };
        Captured {
            name: name.to_owned(),
            outcome,
            values: values.iter().map(|field| (*field, json!(1))).collect::<Values>(),
            losses: losses.iter().map(loss).collect(),
        }
    }

    #[test]
    fn a_manifest_is_what_the_vms_are_only_where_no_vm_was_left_out() {
        let last = |outcome| {
            let vms = vec![vm("a", outcome, &[], &[])];
            let capture_of = Capture { uri: "qemu:///system".to_owned(), vms };
            let outcome = CaptureOutcome::new("/src/manifests/vms.json".into(), capture_of, false);
            plain(&capture(&outcome, Width::Unlimited)).lines().last().unwrap().to_owned()
        };
        assert_eq!(last(Outcome::Unchanged), "The manifest is what the VMs are");
        assert_eq!(last(Outcome::Unsayable), "Nothing was written; not every VM can be said");
    }

    #[test]
    fn what_was_written_and_what_cannot_be_said_is_told() {
        let lost = [("a USB device", "a manifest has no word for it")];
        let vms = vec![
            vm("a", Outcome::Add, &[Field::Memory, Field::Vcpus], &[]),
            vm("b", Outcome::Change, &[Field::Memory], &[]),
            vm("c", Outcome::Unchanged, &[], &[]),
            vm("d", Outcome::Lossy, &[], &lost),
            vm("e", Outcome::Unsayable, &[], &lost),
            vm("f", Outcome::Missing, &[], &[]),
        ];
        let capture_of = Capture { uri: "qemu:///system".to_owned(), vms };
        let mut outcome = CaptureOutcome::new("/src/manifests/vms.json".into(), capture_of, true);
        assert!(!outcome.is_whole);
        let mut all = plain(&capture(&outcome, Width::Unlimited));
        outcome.wrote = false;
        all.push_str(&plain(&capture(&outcome, Width::Unlimited)));
        insta::assert_snapshot!(all);
    }
}
